"""What several programs of one agent share: an item is one's at a time, and only who has it may answer it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.records import (
    NOBODY,
    DaemonChange,
    LeaseRecord,
    Mark,
    MarkMessages,
    Place,
    PutLeases,
    PutRuntime,
    RuntimeId,
    RuntimeRecord,
    WaitingItem,
)
from taskferry_protocol.runtimes import (
    HandedOut,
    hand_out,
    has_left,
    heartbeat_ms,
    is_live,
    look_over,
    may_answer,
    renewed,
    settled_for,
    taken,
)

from .clock_steps import carry_over, look_at_clock
from .core import Core
from .names import may_use
from .port import Caller, DaemonRefusal, Handing, Hold
from .telling import note_run, tells

__all__ = [
    "check_hold",
    "find_runtime",
    "hand_over",
    "other_agent",
    "pass_on",
    "pause",
    "sign_of_life",
    "take",
]

#: Items of one inbox that are looked at for a runtime at once.
SCANNED: Final = 2_000


async def find_runtime(core: Core, caller: Caller, text: str) -> RuntimeRecord:
    """A runtime of an agent that the caller may act as. Raises DaemonRefusal(unknown-runtime)."""
    try:
        id = RuntimeId(bytes.fromhex(text))
    except ValueError:
        id = NOBODY
    runtime = await core.store.runtime(id)
    # Whoever left on purpose is not there, whatever a copy of it still says.
    if runtime is None or has_left(runtime) or not may_use(caller, runtime.agent):
        raise DaemonRefusal(
            "unknown-runtime",
            "No program is bound here under that id.",
            "Bind it again: POST /runtimes, with the same key as before.",
            status=404,
            detail={"field": "runtime"},
        )
    return runtime


def sign_of_life(core: Core, runtime: RuntimeRecord, now: Instant) -> tuple[DaemonChange, ...]:
    """What to commit because a runtime looked or acted."""
    if runtime.id in core.acted:
        core.acted[runtime.id] = now
    after = renewed(runtime, now)
    return (PutRuntime(after),) if after is not None else ()


async def _live(core: Core, agent: str, now: Instant) -> dict[RuntimeId, RuntimeRecord]:
    return {found.id: found for found in await core.store.runtimes(agent) if is_live(found, now)}


async def hand_over(
    core: Core,
    caller: Caller,
    text: str,
    after: Place | None,
    since: Instant | None,
    limit: int,
    marks: tuple[Mark, ...],
    handing: Handing,
) -> tuple[HandedOut, dict[Hash, LeaseRecord]]:
    """Give a runtime what it may have now, commit that with its marks, and say which leases it has of it.

    Raises DaemonRefusal(unknown-runtime) for one that was unbound meanwhile.
    """
    async with core.lock:
        await carry_over(core)
        now = core.now()
        runtime = await find_runtime(core, caller, text)
        live = await _live(core, runtime.agent, now)
        handed = await _chosen(core, runtime, live, after, since, limit, now, handing)
        note_run(core, runtime.agent)
        tell = await tells(core, caller, runtime.agent, text)
        changes = [*sign_of_life(core, runtime, now)]
        if handed.taken:
            changes.append(PutLeases(handed.taken))
        for mark in marks:
            fresh = [
                item
                for item in handed.given
                if not (item.read if mark is Mark.READ else item.offered) or (tell and item.told < mark.order)
            ]
            if fresh:
                hashes = tuple(item.hash for item in fresh)
                changes.append(MarkMessages(runtime.agent, hashes, mark, now, tell))
        if changes:
            await core.commit(changes)
    leases = {item.unit: item.lease for item in handed.given if item.lease is not None}
    leases |= {lease.unit: lease for lease in handed.taken}
    return handed, {
        item.hash: lease
        for item in handed.given
        if (lease := leases.get(item.unit)) is not None and lease.runtime == runtime.id
    }


async def _chosen(
    core: Core,
    runtime: RuntimeRecord,
    live: Collection[RuntimeId],
    after: Place | None,
    since: Instant | None,
    limit: int,
    now: Instant,
    handing: Handing,
) -> HandedOut:
    """What a runtime may have of all that waits, however much there is that it may not."""
    passed = core.passed.get(runtime.id, ())
    given: list[WaitingItem] = []
    # What a unit was taken with for an item is what it is taken with for the next.
    leases: dict[Hash, LeaseRecord] = {}
    place = after if handing is Handing.SHOWN else None
    settled = settled_for(runtime, live, None if handing is Handing.SHOWN else after, since)
    while True:
        items = await core.store.waiting(runtime.agent, SCANNED, place, settled=settled)
        left = limit - len(given)
        if handing is Handing.TAKEN:
            handed = hand_out(
                items, runtime, live, after=after, limit=left, now=now, passed=passed, since=since
            )
        else:
            handed = look_over(items, runtime, live, after=after, limit=left)
        given += handed.given
        leases |= {lease.unit: lease for lease in handed.taken}
        if handed.more or len(items) < SCANNED:
            return HandedOut(tuple(given), tuple(leases.values()), handed.more)
        place = items[-1].place


async def take(core: Core, runtime: RuntimeRecord, unit: Hash, *, only_left: bool) -> LeaseRecord:
    """Give a runtime one unit, and commit that; the core's lock is held.

    With `only_left`, only what some program has had before. Raises DaemonRefusal: taken-over, conflict.
    """
    now = core.now()
    lease = (await core.store.leases(runtime.agent, (unit,))).get(unit)
    if only_left and lease is None:
        raise DaemonRefusal(
            "conflict",
            "No program has had this, so none has left it.",
            "Leave it to whoever works on it without a binding, or take it without only_left.",
            status=409,
        )
    live = await _live(core, runtime.agent, now)
    mine = taken(lease, unit, runtime, live, now)
    if mine is None:
        raise _taken_over(runtime, live.get(lease.runtime) if lease is not None else None, now)
    core.passed.get(runtime.id, {}).pop(unit, None)
    changes = sign_of_life(core, runtime, now)
    if mine != lease:
        changes += (PutLeases((mine,)),)
    if changes:
        await core.commit(changes)
    return mine


def pass_on(core: Core, runtime: RuntimeId, unit: Hash) -> None:
    """Hand a unit to this runtime no more until it is bound anew, or the daemon starts anew."""
    passed = core.passed.setdefault(runtime, {})
    passed[unit] = None
    while len(passed) > SCANNED:
        del passed[next(iter(passed))]


async def pause(core: Core, me: RuntimeRecord) -> float:
    """Seconds after which a program that waits looks again: it is to be heard of, and others may be gone."""
    await look_at_clock(core)
    now = core.now()
    live = await _live(core, me.agent, now)
    ends = [found.expires_at - now for found in live.values() if found.id != me.id]
    return max(0.0, min([heartbeat_ms(me.lease_ms), *ends])) / 1000


async def check_hold(
    core: Core, caller: Caller, agent: str, unit: Hash, hold: Hold | None
) -> tuple[DaemonChange, ...]:
    """Nothing to refuse if `hold` may answer for a task or message; what to commit with the answer.

    The core's lock is held. Raises DaemonRefusal: taken-over, unknown-runtime, bad-value.
    """
    if hold is None:
        return ()
    await carry_over(core)
    now = core.now()
    runtime = await find_runtime(core, caller, hold.runtime)
    if runtime.agent != agent:
        raise other_agent(runtime, agent)
    lease = (await core.store.leases(agent, (unit,))).get(unit)
    live = await _live(core, agent, now)
    if not may_answer(lease, runtime.id, hold.fence, live):
        holder = live.get(lease.runtime) if lease is not None else None
        raise _taken_over(runtime, holder, now)
    changes = sign_of_life(core, runtime, now)
    if lease is None or lease.runtime != runtime.id:
        # Its holder is gone, and this one answers: from now on it is this one's.
        fence = 1 if lease is None else lease.fence + 1
        changes += (PutLeases((LeaseRecord(unit, agent, runtime.id, fence, now),)),)
    return changes


def _taken_over(me: RuntimeRecord, holder: RuntimeRecord | None, now: Instant) -> DaemonRefusal:
    detail: dict[str, object] = {}
    if holder is None:
        text = "This was handed out anew since, or given back."
    elif holder.id == me.id:
        text = "This program was bound again since, and this was handed to it anew."
    else:
        text = f"Another program has this now: {holder.name}."
        detail = {"retry_after": max(1, (holder.expires_at - now + 999) // 1000)}
    step = "Leave it, and look into the inbox again for what is yours now."
    return DaemonRefusal("taken-over", text, step, status=409, detail=detail)


def other_agent(runtime: RuntimeRecord, agent: str) -> DaemonRefusal:
    """A runtime acts as the agent that it is bound to alone."""
    return DaemonRefusal(
        "bad-value",
        f"{runtime.name} is bound to {runtime.agent}, not to {agent}.",
        "Bind a program for that agent, too.",
        detail={"field": "runtime"},
    )
