"""What a relay sweeps away in its time, whatever was done to its clock before."""

from __future__ import annotations

from typing import Any, cast

import pytest
import trio
from structlog.testing import capture_logs

from taskferry_apps.relay.expiry import EXPIRE_EVERY_MS, PATIENCE_S, PURGE_EVERY_MS, Housekeeping
from taskferry_protocol.audit import RelayAuditKind, audit_note
from taskferry_protocol.limits import CONTACTS, DAY_MS, MINUTE_MS, SEEN_MS
from taskferry_protocol.records import AppendAudit, Counted, Expire, Expired, PurgeSeen
from taskferry_stores.memory import MemoryRelayStore

from ..daemon.worlds import Clock
from .conftest import GENERATION, codes, take
from .people import seal, seal_raw


class Engine:
    """Keeps house by noting what it is asked for."""

    acknowledged = 0
    stored = 0
    quiet_for = 0.0

    def __init__(self) -> None:
        self.asked: list[type[Any]] = []

    async def keep_house(self, change: object) -> object:
        """There is never anything to do."""
        await trio.lowlevel.checkpoint()
        self.asked.append(type(change))
        return Expired(0, ()) if isinstance(change, Expire) else Counted(0)


async def test_a_clock_that_was_ahead_puts_off_no_sweeping():
    """What expires by the right clock does not stay until the time is come that the wrong one showed."""
    engine, clock = Engine(), Clock(ahead_ms=5_000 * DAY_MS)
    house = Housekeeping(cast("Any", engine), clock.now)
    await house.step()
    await house.step()
    assert engine.asked.count(Expire) == engine.asked.count(PurgeSeen) == 1
    clock.ahead_ms = 0
    await house.step()
    assert engine.asked.count(Expire) == engine.asked.count(PurgeSeen) == 2
    clock.ahead_ms += EXPIRE_EVERY_MS - 1_000
    await house.step()
    assert engine.asked.count(Expire) == 2
    clock.ahead_ms += PURGE_EVERY_MS
    await house.step()
    assert engine.asked.count(Expire) == engine.asked.count(PurgeSeen) == 3


@pytest.mark.parametrize("is_put_right", [False, True])
async def test_a_clock_that_leapt_while_the_relay_was_off_sweeps_nothing_before_it_may_be_put_right(
    autojump_clock, is_put_right
):
    """All mail and every invite would be gone by a minute of a wrong clock; a true absence costs ten."""
    store, engine, clock = MemoryRelayStore(GENERATION), Engine(), Clock()
    await store.commit([AppendAudit(audit_note(RelayAuditKind.STARTED, "here", {}, clock.now()))])
    clock.ahead_ms = 5_000 * DAY_MS
    await store.commit([AppendAudit(audit_note(RelayAuditKind.STARTED, "here", {}, clock.now()))])
    house = Housekeeping(cast("Any", engine), clock.now, store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.run)
        await trio.sleep(PATIENCE_S - 10)
        assert engine.asked == []
        if is_put_right:
            clock.ahead_ms = 0
        await trio.sleep(2 if is_put_right else 12)
        assert Expire in engine.asked
        nursery.cancel_scope.cancel()


async def test_a_relay_that_is_started_again_by_the_same_wrong_clock_goes_on_waiting(autojump_clock):
    """Whoever sees to it while its clock is wrong starts it again, and mail would be gone by that."""
    store, engine, clock = MemoryRelayStore(GENERATION), Engine(), Clock()
    for ahead_ms in (0, 5_000 * DAY_MS, 5_000 * DAY_MS + 2 * MINUTE_MS):
        clock.ahead_ms = ahead_ms
        await store.commit([AppendAudit(audit_note(RelayAuditKind.STARTED, "here", {}, clock.now()))])
    house = Housekeeping(cast("Any", engine), clock.now, store)
    with capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.run)
            await trio.sleep(PATIENCE_S - 10)
            assert engine.asked == []
            # Whoever runs it is told.
            assert [entry["log_level"] for entry in logged] == ["warning"]
            await trio.sleep(12)
            assert Expire in engine.asked
            nursery.cancel_scope.cancel()


async def forgets(world, sent):
    """A month goes by, and a relay no longer knows that it had these of alice's."""
    ids = [(world.alice.keys.id, one.sealed.envelope.header.id) for one in sent]
    assert len(await world.store.accepted(ids)) == len(ids)
    world.clock.ahead_ms += SEEN_MS + PURGE_EVERY_MS
    with trio.fail_after(20):
        while await world.store.accepted(ids):
            await trio.sleep(0.01)


async def test_what_is_forgotten_is_not_taken_once_more(friends):
    """Mail that a relay knew and has forgotten has had its time by then."""
    sent = [
        seal(friends.alice, friends.bob, "once", friends.now),
        seal_raw(friends.alice, friends.bob, friends.now),
    ]
    parcels = [one.parcel for one in sent]
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        assert codes(await alice.send([*parcels, *parcels])) == ["accepted"] * 4
        assert len(await take(bob, 2)) == 2
    await forgets(friends, sent)
    async with friends.open(friends.alice) as alice:
        assert codes(await alice.send(parcels)) == ["expired", "expired"]


async def test_who_asked_three_times_in_vain_is_not_heard_again_because_it_was_long_ago(world):
    """Neither the old requests nor a new one: that they were three is never forgotten."""
    async with world.open(world.bob), world.open(world.alice) as alice:
        sent = [seal_raw(world.alice, world.bob, world.now) for _ in range(CONTACTS)]
        parcels = [one.parcel for one in sent]
        assert codes(await alice.send(parcels)) == ["accepted"] * CONTACTS
    await forgets(world, sent)
    async with world.open(world.alice) as alice:
        again = seal_raw(world.alice, world.bob, world.now)
        assert codes(await alice.send([*parcels, again.parcel])) == ["expired"] * CONTACTS + ["contact-limit"]
