"""The fold of `tasks.md` section 2, written from the text alone, to say what a story must come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spec.generate.kit import Value
from spec.generate.vector import Json

REQUESTER, WORKER = "requester", "worker"
FINAL = {"completed", "declined", "cancelled", "expired", "failed"}

# Section 3, cell by cell; what is not here is superseded. Conditions are in `Fold.judge`.
TABLE: Mapping[str, Mapping[str, str]] = {
    "task_accept": {"sent": "accepted"},
    "task_decline": {"sent": "declined"},
    "task_progress": {"accepted": "working", "working": "working", "revision_requested": "working"},
    "artifact_submit": {
        "accepted": "submitted",
        "working": "submitted",
        "submitted": "resubmitted",
        "revision_requested": "resubmitted",
        "resubmitted": "resubmitted",
    },
    "revision_request": {"submitted": "revision_requested", "resubmitted": "revision_requested"},
    "task_complete": dict.fromkeys(
        ("working", "submitted", "revision_requested", "resubmitted"), "completed"
    ),
    "task_cancel": dict.fromkeys(
        ("sent", "accepted", "working", "submitted", "revision_requested", "resubmitted"), "cancelled"
    ),
    "task_fail": dict.fromkeys(
        ("accepted", "working", "submitted", "revision_requested", "resubmitted"), "failed"
    ),
    "task_expire": dict.fromkeys(("sent", "accepted", "working", "revision_requested"), "expired"),
}


@dataclass(frozen=True)
class Event:
    """One held event."""

    hash: bytes
    side: str
    device: bytes
    kind: str
    n: int
    prev: bytes | None
    seen: tuple[int, bytes | None]
    body: Mapping[str, Value]
    created_at: int
    adopt: bool = False


@dataclass
class Fold:
    """A fold in progress; `run` brings it to its end."""

    events: Sequence[Event]
    revoked: frozenset[bytes] = frozenset()
    viewer: str = "elsewhere"
    state: str = "sent"
    asks: int = 0
    taken: dict[str, list[Event]] = field(default_factory=lambda: {REQUESTER: [], WORKER: []})
    order: list[Event] = field(default_factory=list)
    effects: dict[bytes, str] = field(default_factory=dict)
    submissions: int = 0
    versions: list[tuple[int, bytes]] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    unconfirmed_from: dict[str, int] = field(default_factory=dict)
    home: bytes = b""

    # --- Which event is next ---------------------------------------------------------------------------

    def run(self) -> Fold:
        """Take what can be taken."""
        while self._take_next(REQUESTER) or self._take_next(WORKER):
            pass
        self._close_unknowable()
        return self

    def _close_unknowable(self) -> None:
        """Whoever writes a side holds all of it: what another has seen of it beyond that was never made."""
        bound = any(event.seen[0] > 0 for event in self.taken[REQUESTER])
        if self.viewer == "home":
            mine, other = REQUESTER, WORKER
        elif self.viewer == "worker" and bound:
            mine, other = WORKER, REQUESTER
        else:
            return
        candidate = self.candidate(other)
        if candidate is not None:
            count, name = candidate.seen
            held = {(event.n, event.hash) for event in self.events if event.side == mine}
            if (count - 1, name) not in held:
                self.closed[other] = "unknown-seen"

    def _take_next(self, side: str) -> bool:
        candidate = self.candidate(side)
        if candidate is None:
            return False
        other = self.taken[WORKER if side == REQUESTER else REQUESTER]
        count, named = candidate.seen
        before = self.taken[side][-1].seen[0] if self.taken[side] else 0
        if count <= len(other) and named != (other[count - 1].hash if count else None):
            self.closed[side] = "unknown-seen"
            return False
        if count < before:
            self.closed[side] = "bad-link"
            return False
        if count > len(other):
            return False
        self._take(candidate)
        return True

    def candidate(self, side: str) -> Event | None:
        """The event of a side that comes next, forks decided."""
        if side in self.closed:
            return None
        mine = self.taken[side]
        prev = mine[-1].hash if mine else None
        found = [
            event
            for event in self.events
            if event.side == side
            and event.n == len(mine)
            and event.prev == prev
            and self._right_device(event)
        ]
        if len(found) < 2:
            return found[0] if found else None
        return self._choose(side, found)

    def _right_device(self, event: Event) -> bool:
        mine = self.taken[event.side]
        if not mine:
            return True
        if event.side == WORKER:
            return event.device == mine[0].device
        if event.device == self.home:
            return True
        bound = any(taken.seen[0] > 0 for taken in mine)
        return event.adopt and bound and self.home in self.revoked

    def _choose(self, side: str, found: list[Event]) -> Event:
        held = {event.hash: event for event in self.events if event.side == side}
        namers = [event for event in self.events if event.side != side and self._may_name(event)]
        for namer in sorted(namers, key=lambda event: (event.n, event.hash)):
            count, at = namer.seen
            if at not in held or held[at].n + 1 != count:
                continue
            while at is not None and at in held:
                for candidate in found:
                    if candidate.hash == at:
                        return candidate
                at = held[at].prev
        self.unconfirmed_from.setdefault(side, len(self.taken[side]))
        return min(found, key=lambda event: event.hash)

    def _may_name(self, event: Event) -> bool:
        if event.side == WORKER:
            return True
        request = next(one for one in self.events if one.kind == "task_request")
        if event.device == request.device:
            return True
        adopters = {one.device for one in self.events if one.side == REQUESTER and one.adopt}
        return request.device in self.revoked and event.device in adopters

    # --- What it does ------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        if event.side == REQUESTER:
            self.home = event.device
        self.taken[event.side].append(event)
        self.order.append(event)
        self.effects[event.hash] = self.judge(event)

    def judge(self, event: Event) -> str:
        """Apply one event; say `effective`, `kept`, `superseded` or `none`."""
        if event.kind == "task_request":
            return "effective"
        if event.kind == "task_seen":
            return "none"
        if event.kind == "artifact_submit":
            self.submissions += 1
        if self.state in FINAL:
            return "superseded"
        to = TABLE[event.kind].get(self.state)
        if to is None or not self._allowed(event):
            return "superseded"
        if event.kind == "artifact_submit":
            self.versions.append((self.submissions, event.hash))
            if _number(event.body["answers"]) < self.asks:
                return "kept"
            if self.state == "working" and self.asks > 0:
                to = "resubmitted"
        if event.kind == "revision_request":
            self.asks += 1
        self.state = to
        return "effective"

    def _allowed(self, event: Event) -> bool:
        request = self.taken[REQUESTER][0].body
        newest = self.versions[-1] if self.versions else None
        match event.kind:
            case "artifact_submit":
                return _number(event.body["answers"]) <= self.asks
            case "revision_request":
                asked = (event.body["version"], event.body["hash"]) == newest
                return asked and self.asks < _number(request["revisions"])
            case "task_complete":
                named = (event.body["version"], event.body["hash"]) == newest
                return named and (self.state != "working" or self.asks > 0)
            case "task_expire":
                deadline = request["deadline"]
                return isinstance(deadline, int) and (
                    event.body["deadline"] == deadline and event.created_at >= deadline
                )
            case _:
                return True

    # --- What is told ------------------------------------------------------------------------------------

    def refused(self) -> dict[bytes, str]:
        """What is held and cannot be taken as things stand, with its code."""
        codes: dict[bytes, str] = {}
        for side in (REQUESTER, WORKER):
            mine = self.taken[side]
            rest = sorted((e for e in self.events if e.side == side and e not in mine), key=lambda e: e.n)
            chosen = None if side in self.closed else self.candidate(side)
            for event in rest:
                displaced = event.n < len(mine) or (event.n == len(mine) and event is not chosen)
                if side in self.closed and event.n >= len(mine):
                    codes[event.hash] = self.closed[side]
                elif displaced or event.prev in codes:
                    codes[event.hash] = "fork"
        return codes

    def waiting(self) -> list[Event]:
        """What is held and can still be taken."""
        out = {event.hash for event in self.order} | self.refused().keys()
        return [event for event in self.events if event.hash not in out]

    def gaps(self) -> list[tuple[str, int]]:
        """Places that are missing before what waits: in its own chain, and in what its `seen` counts."""
        refused = self.refused()
        held = {(event.side, event.n) for event in self.events if event.hash not in refused}
        missing = set()
        for event in self.waiting():
            other = WORKER if event.side == REQUESTER else REQUESTER
            for side, end in ((event.side, event.n), (other, event.seen[0])):
                missing |= {(side, n) for n in range(len(self.taken[side]), end)} - held
        return sorted(missing)

    def settled(self) -> list[Event]:
        """Taken events that will stay as they are."""
        noticed = max((event.seen[0] for event in self.taken[WORKER]), default=0)
        doubtful = [event for event in self.taken[REQUESTER] if event.adopt and event.n >= noticed]
        sure = self.order[: self.order.index(doubtful[0])] if doubtful else list(self.order)
        if self.viewer == "home":
            return sure
        named = max((event.seen[0] for event in sure if event.side == REQUESTER), default=0)
        return [event for event in sure if event.side == REQUESTER or event.n < named]

    def is_final(self) -> bool:
        """Whether the state is final for this viewer."""
        if self.state not in FINAL:
            return False
        settled = {event.hash for event in self.settled()}
        deciding = [event for event in self.order if self.effects[event.hash] == "effective"][-1]
        return deciding.hash in settled

    def json(self) -> dict[str, Json]:
        """The outcome as vectors write it."""
        unconfirmed = [
            event.hash.hex()
            for event in self.order
            if event.n >= self.unconfirmed_from.get(event.side, 1 << 62)
        ]
        outcome: dict[str, Json] = {
            "state": self.state if self.order else None,
            "asks": self.asks,
            "versions": [[number, name.hex()] for number, name in self.versions],
            "taken": [[event.hash.hex(), self.effects[event.hash]] for event in self.order],
            "waiting": sorted(event.hash.hex() for event in self.waiting()),
            "gaps": [[side, n] for side, n in self.gaps()],
            "refused": {name.hex(): code for name, code in sorted(self.refused().items())},
            "unconfirmed": unconfirmed,
        }
        if not unconfirmed:
            outcome["final"] = self.is_final()
            outcome["settled"] = [event.hash.hex() for event in self.settled()]
        return outcome


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def folded(events: Iterable[Event], revoked: Iterable[bytes] = (), viewer: str = "elsewhere") -> Fold:
    """The fold of some events, whatever their order."""
    return Fold(list(events), frozenset(revoked), viewer).run()
