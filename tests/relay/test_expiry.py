"""What a relay sweeps away in its time, whatever was done to its clock before."""

from __future__ import annotations

from typing import Any, cast

import trio

from taskferry_apps.relay.expiry import EXPIRE_EVERY_MS, PURGE_EVERY_MS, Housekeeping
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import Counted, Expire, Expired, PurgeSeen

from ..daemon.worlds import Clock


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
