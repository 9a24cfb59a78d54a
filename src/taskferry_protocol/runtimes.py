"""The programs that act as one agent: how they bind, which of them an item goes to, and who may still answer.

Pure decisions over what a daemon stores; the daemon carries them out and is the only one who knows of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

import attrs

from .ids import Hash, Instant
from .limits import MINUTE_MS
from .records import NOBODY, LeaseRecord, Place, RuntimeId, RuntimeRecord, RuntimeStatus, Settled, WaitingItem

__all__ = [
    "LEASE_LEAST_MS",
    "LEASE_MOST_MS",
    "LEASE_MS",
    "RUNTIMES_KEPT",
    "RUNTIMES_LIVE",
    "Activity",
    "Binding",
    "HandedOut",
    "Nudge",
    "Presence",
    "bind",
    "bridged",
    "carried_over",
    "given_back",
    "hand_out",
    "has_left",
    "heartbeat_ms",
    "is_live",
    "left",
    "look_over",
    "may_answer",
    "nudge",
    "presence",
    "renewed",
    "runtime_name",
    "settled_for",
    "taken",
]

#: How long a program that says nothing keeps what it was handed, unless it asks for another time.
LEASE_MS: Final = 90_000
LEASE_LEAST_MS: Final = 15_000
#: For programs that cannot send heartbeats while they think.
LEASE_MOST_MS: Final = 60 * MINUTE_MS
#: Live programs of one agent: more are a program that binds again and again without a key.
RUNTIMES_LIVE: Final = 32
#: Runtimes of one agent that are remembered, live ones among them, so that names come back with their keys.
RUNTIMES_KEPT: Final = 96
#: A sign of life this soon after the last says nothing new, and is not written down.
_NEWS_MS: Final = 1_000
#: Programs that were live when the daemon stopped, no longer ago than this, get one lease to come back.
_BRIDGE_MS: Final = 15 * MINUTE_MS
#: However often the daemon starts: who was not heard of for a lease and this long is gone.
_SILENT_MS: Final = 60 * MINUTE_MS
_NAME_CHARS: Final = 24


def is_live(runtime: RuntimeRecord, now: Instant) -> bool:
    """Whether it was heard of within its lease."""
    return now < runtime.expires_at


def heartbeat_ms(lease_ms: int) -> int:
    """How often a program should be heard of, so that two lost heartbeats cost it nothing."""
    return lease_ms // 3


def runtime_name(program: str, taken: Collection[str]) -> str:
    """A short name after the program that nobody has yet: `claude-code`, `claude-code-2`."""
    base = re.sub("[^a-z0-9]+", "-", program.lower()).strip("-")[:_NAME_CHARS].strip("-") or "program"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


@attrs.frozen
class Binding:
    """A runtime as it is to be stored; `again` if it was there before. `drop` are to be forgotten for it."""

    runtime: RuntimeRecord
    again: bool
    drop: tuple[RuntimeId, ...] = ()


def bind(
    known: Sequence[RuntimeRecord],
    *,
    agent: str,
    program: str,
    key: str,
    lease_ms: int,
    fresh: RuntimeId,
    now: Instant,
) -> Binding | None:
    """Bind a program to an agent, whose runtimes are `known`; None if too many are live already.

    The same program under the same key is the same runtime, whatever became of it meanwhile.
    """
    until = Instant(now + lease_ms)
    live = sum(1 for runtime in known if is_live(runtime, now))
    before = next((r for r in known if key and (r.program, r.key) == (program, key)), None)
    if before is not None:
        if not is_live(before, now) and live >= RUNTIMES_LIVE:
            return None
        bound = attrs.evolve(
            before,
            status=RuntimeStatus.IDLE,
            since=now,
            bound_at=now,
            seen_at=now,
            expires_at=until,
            lease_ms=lease_ms,
        )
        return Binding(bound, again=True)
    if live >= RUNTIMES_LIVE:
        return None
    gone = sorted((r for r in known if not is_live(r, now)), key=lambda r: (bool(r.key), r.expires_at))
    dropped = gone[: max(0, len(known) + 1 - RUNTIMES_KEPT)]
    name = runtime_name(program, {r.name for r in known if r not in dropped})
    runtime = RuntimeRecord(
        fresh, agent, program, key, name, RuntimeStatus.IDLE, now, now, now, until, lease_ms
    )
    return Binding(runtime, again=False, drop=tuple(r.id for r in dropped))


def renewed(
    runtime: RuntimeRecord, now: Instant, status: RuntimeStatus | None = None
) -> RuntimeRecord | None:
    """The runtime after a sign of life; None if that says nothing worth writing down."""
    word = runtime.status if status is None else status
    changed = word is not runtime.status or not is_live(runtime, now)
    if not changed and 0 <= now - runtime.seen_at < _NEWS_MS:
        return None
    return attrs.evolve(
        runtime,
        status=word,
        since=now if changed else runtime.since,
        seen_at=now,
        expires_at=Instant(now + runtime.lease_ms),
    )


def left(runtime: RuntimeRecord, now: Instant) -> RuntimeRecord:
    """The runtime once it was unbound: what it says from now on counts no more, until it binds again."""
    return attrs.evolve(runtime, seen_at=now, expires_at=now)


def has_left(runtime: RuntimeRecord) -> bool:
    """Whether it was unbound, and did not only fall silent."""
    return runtime.expires_at <= runtime.seen_at


def bridged(runtime: RuntimeRecord, now: Instant) -> RuntimeRecord | None:
    """The runtime at a start of the daemon, if it may only have been unable to reach it; None if it is gone.

    Nobody could be heard while the daemon was away, so that time counts against nobody; but a daemon that
    starts again and again does not keep for ever what a program had that is dead.
    """
    # Not what it says itself: the clock may have been set back meanwhile.
    heard = min(runtime.seen_at, now)
    silent = heard <= now - runtime.lease_ms - _SILENT_MS
    if silent or runtime.expires_at <= now - _BRIDGE_MS or has_left(runtime):
        return None
    return attrs.evolve(runtime, seen_at=heard, expires_at=Instant(now + runtime.lease_ms))


def carried_over(runtime: RuntimeRecord, step_ms: int, now: Instant) -> RuntimeRecord | None:
    """The runtime after a step of the clock, in which no time has passed; None if nothing of it changes.

    What was left of its lease is left of it now. Who was gone before is not live again by that.
    """
    if has_left(runtime) or not is_live(runtime, Instant(now - step_ms)):
        return None
    until = min(Instant(runtime.expires_at + step_ms), Instant(now + runtime.lease_ms))
    return attrs.evolve(runtime, seen_at=min(Instant(runtime.seen_at + step_ms), now), expires_at=until)


# --- Who gets what ------------------------------------------------------------------------------------------


@attrs.frozen
class HandedOut:
    """Which items a runtime gets, in their order, and the leases that it takes for them.

    `more` says that others are left that it could have.
    """

    given: tuple[WaitingItem, ...]
    taken: tuple[LeaseRecord, ...]
    more: bool


def hand_out(
    items: Sequence[WaitingItem],
    me: RuntimeRecord,
    live: Collection[RuntimeId],
    *,
    after: Place | None,
    limit: int,
    now: Instant,
    passed: Collection[Hash] = (),
    since: Instant | None = None,
) -> HandedOut:
    """The first `limit` items that no other live runtime has, of those that wait for the agent.

    What belongs to a task goes to the runtime that has the task, however late it comes. Of what `me` has
    already, only items after the place `after` are new to it; of what it takes now, all are, and of what it
    took after `since`, the newest taking that it knows of: an answer with that was lost. What is `passed` it
    has given back, and does not get again.
    """
    # A clock that stands, or was set back, makes no taking older than one that is known.
    at = now if since is None else Instant(max(now, since + 1))
    given: list[WaitingItem] = []
    taken: dict[Hash, LeaseRecord] = {}
    for item in items:
        lease = taken.get(item.unit) or item.lease
        is_mine = lease is not None and lease.runtime == me.id
        if lease is not None and not is_mine and lease.runtime in live:
            continue
        is_known = lease is not None and (since is None or lease.at <= since)
        if is_mine and is_known and item.unit not in taken and after is not None and item.place <= after:
            continue
        if not is_mine and item.unit in passed:
            continue
        if len(given) == limit:
            return HandedOut(tuple(given), tuple(taken.values()), more=True)
        if not is_mine:
            fence = 1 if lease is None else lease.fence + 1
            taken[item.unit] = LeaseRecord(item.unit, me.agent, me.id, fence, at)
        given.append(item)
    return HandedOut(tuple(given), tuple(taken.values()), more=False)


def settled_for(
    me: RuntimeRecord, live: Collection[RuntimeId], after: Place | None, since: Instant | None
) -> Settled:
    """What `hand_out` and `look_over` give `me` nothing of, so that a store need not bring it."""
    return Settled(frozenset(live) - {me.id}, me.id, after, since)


def look_over(
    items: Sequence[WaitingItem],
    me: RuntimeRecord,
    live: Collection[RuntimeId],
    *,
    after: Place | None,
    limit: int,
) -> HandedOut:
    """The first `limit` items after a place that no other live runtime has; `me` takes none of them."""
    given: list[WaitingItem] = []
    for item in items:
        lease = item.lease
        if lease is not None and lease.runtime != me.id and lease.runtime in live:
            continue
        if after is not None and item.place <= after:
            continue
        if len(given) == limit:
            return HandedOut(tuple(given), (), more=True)
        given.append(item)
    return HandedOut(tuple(given), (), more=False)


def taken(
    lease: LeaseRecord | None, unit: Hash, me: RuntimeRecord, live: Collection[RuntimeId], now: Instant
) -> LeaseRecord | None:
    """The lease by which `me` has a unit from now on; None while another live runtime has it.

    What it has already, it has under the same fence as before.
    """
    if lease is not None and lease.runtime == me.id:
        return lease
    if lease is not None and lease.runtime in live:
        return None
    return LeaseRecord(unit, me.agent, me.id, 1 if lease is None else lease.fence + 1, now)


def may_answer(
    lease: LeaseRecord | None, me: RuntimeId, fence: int | None, live: Collection[RuntimeId]
) -> bool:
    """Whether a runtime may still act on a unit: nobody has taken it over since it was handed out.

    A fence that is named must be the present one; without one, nobody else who is live may have the unit.
    """
    if lease is None:
        return fence is None
    if fence is not None and fence != lease.fence:
        return False
    return lease.runtime == me or (fence is None and lease.runtime not in live)


class Nudge(StrEnum):
    """Whether a program is woken by something: now, later, or not while another one has it."""

    NOW = "now"
    LATER = "later"
    THEIRS = "theirs"


def nudge(lease: LeaseRecord | None, me: RuntimeRecord, live: Collection[RuntimeId], now: Instant) -> Nudge:
    """Whether news in a unit wakes `me`, among other programs of which `live` are live.

    What it has wakes it even while it is busy; what nobody has wakes those that are not.
    """
    if lease is not None and lease.runtime == me.id:
        return Nudge.NOW
    if lease is not None and lease.runtime in live:
        return Nudge.THEIRS
    return Nudge.LATER if me.status is RuntimeStatus.BUSY and is_live(me, now) else Nudge.NOW


def given_back(lease: LeaseRecord, now: Instant) -> LeaseRecord:
    """The lease when its holder lets go of it: anybody may take it, and its fence goes on from here."""
    return attrs.evolve(lease, runtime=NOBODY, at=now)


# --- Whether somebody is there ------------------------------------------------------------------------------


class Activity(StrEnum):
    """What an agent is doing, by what the programs that act as it say."""

    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"


@attrs.frozen
class Presence:
    """`since` is None where nobody ever was there."""

    activity: Activity
    since: Instant | None


def presence(runtimes: Sequence[RuntimeRecord], last_seen: Instant | None, now: Instant) -> Presence:
    """Whether an agent has a program now; `last_seen` is when one that need not be bound last acted as it."""
    live = [runtime for runtime in runtimes if is_live(runtime, now)]
    busy = [runtime.since for runtime in live if runtime.status is RuntimeStatus.BUSY]
    if busy:
        return Presence(Activity.BUSY, min(busy))
    if live:
        return Presence(Activity.IDLE, min(runtime.since for runtime in live))
    times = [runtime.seen_at for runtime in runtimes]
    times += [] if last_seen is None else [last_seen]
    return Presence(Activity.OFFLINE, max(times, default=None))
