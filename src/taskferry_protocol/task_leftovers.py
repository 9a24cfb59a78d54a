"""What becomes of a chain's events that were not taken: waiting, kept out, proof of a fork."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs

from .errors import RejectCode
from .ids import DeviceId, Hash
from .links import Role
from .task_chain import Chain, at_place, by_place
from .task_events import TaskEvent

__all__ = ["Fork", "Gap", "Leftovers", "Refused", "find_forks", "find_gaps", "sort_leftovers"]


@attrs.frozen
class Gap:
    """Places `first` to `last` of a chain, both included, that something waiting needs and nobody showed."""

    role: Role
    first: int
    last: int


@attrs.frozen
class Refused:
    """An event that cannot be taken as things stand: fork, or the code that closed its chain."""

    hash: Hash
    role: Role
    n: int
    code: RejectCode


@attrs.frozen
class Fork:
    """Several events that claim place `n` of one chain, or one that does not stand on the chain taken.

    `chosen` is the one that counts, once it is taken; `others` are the rest. `evidence` are pairs of events
    that one device signed and that exclude each other. Claims by two devices prove nothing about either.
    """

    role: Role
    n: int
    chosen: Hash | None
    others: tuple[Hash, ...]
    evidence: tuple[tuple[Hash, Hash], ...]


@attrs.frozen
class Leftovers:
    """The events of one chain that were not taken, by place."""

    waiting: tuple[TaskEvent, ...]
    refused: tuple[Refused, ...]


def sort_leftovers(chain: Chain) -> Leftovers:
    """Tell what waits from what cannot be taken as things stand."""
    waiting: list[TaskEvent] = []
    refused: list[Refused] = []
    taken = {event.hash for event in chain.taken}
    codes: dict[Hash, RejectCode | None] = {}
    for event in sorted(chain.held.values(), key=by_place):
        if event.hash in taken:
            continue
        code = codes[event.hash] = _obstacle(chain, event, codes)
        if code is None:
            waiting.append(event)
        else:
            refused.append(Refused(event.hash, chain.role, event.link.n, code))
    return Leftovers(tuple(waiting), tuple(refused))


def _obstacle(chain: Chain, event: TaskEvent, codes: Mapping[Hash, RejectCode | None]) -> RejectCode | None:
    n, length = event.link.n, len(chain.taken)
    if n >= length and chain.closed is not None:
        return chain.closed.code
    if n <= length:
        return None if event is chain.candidate else RejectCode.FORK
    before = at_place(chain.held, event.link.prev, n - 1)
    return None if before is None else codes[before.hash]


def find_gaps(chain: Chain, mine: Leftovers, theirs: Leftovers) -> tuple[Gap, ...]:
    """The places of `chain` that are not held and that waiting events of either side need."""
    present = {event.link.n for event in mine.waiting}
    end = max((*present, *(event.link.seen.count for event in theirs.waiting)), default=0)
    gaps: list[Gap] = []
    at = len(chain.taken)
    # A number is a peer's claim and may be huge: ranges, never one entry a place.
    for n in (*sorted(n for n in present if n < end), end):
        if at < n:
            gaps.append(Gap(chain.role, at, n - 1))
        at = max(at, n + 1)
    return tuple(gaps)


def find_forks(chain: Chain, leftovers: Leftovers) -> tuple[Fork, ...]:
    """The places of `chain` that several events claim, or that one claims from another past; with proofs."""
    places: defaultdict[int, list[TaskEvent]] = defaultdict(list)
    for event in sorted(chain.held.values(), key=by_place):
        places[event.link.n].append(event)
    kept_out = {out.n for out in leftovers.refused if out.code is RejectCode.FORK}
    forks: list[Fork] = []
    for n, claims in places.items():
        evidence = _evidence(chain, claims, places.get(n - 1, ()))
        if len(claims) > 1 or n in kept_out or evidence:
            chosen = chain.taken[n].hash if n < len(chain.taken) else None
            others = tuple(event.hash for event in claims if event.hash != chosen)
            forks.append(Fork(chain.role, n, chosen, others, evidence))
    return tuple(forks)


def _evidence(
    chain: Chain, claims: Iterable[TaskEvent], before: Iterable[TaskEvent]
) -> tuple[tuple[Hash, Hash], ...]:
    earlier: dict[DeviceId, Hash] = {}
    for event in before:
        earlier.setdefault(event.device, event.hash)
    pairs: list[tuple[Hash, Hash]] = []
    signed: dict[DeviceId, Hash] = {}
    for event in claims:
        if event.device in signed:
            pairs.append((signed[event.device], event.hash))
        elif event.device in earlier and event.link.prev not in chain.held:
            # It stands on an event that nobody showed, where the same device showed another.
            pairs.append((earlier[event.device], event.hash))
        signed.setdefault(event.device, event.hash)
    return tuple(pairs)
