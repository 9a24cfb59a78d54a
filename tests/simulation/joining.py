"""A second device of an owner, taken in without the words that two people would compare."""

from __future__ import annotations

from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.entering import Pending
from taskferry_apps.daemon.keys import make_keys
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.sharing import History, Job
from taskferry_protocol import accounts
from taskferry_protocol.accounts import DeviceStatus, consent_to_stand
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import PutSetting
from tests.daemon.worlds import URL

from .power import Meter, Power
from .programs import DaemonMachine

__all__ = ["link_second"]

LINKING_MS = 600_000


async def link_second(first: Daemon, second: DaemonMachine) -> str:
    """Make the machine, whose program has not run yet, a device of the first one's account; what was done."""
    if second.lives:
        return ""
    now = second.clock.now()
    core = first._core
    async with core.lock:
        draft = Draft(core)
        log = await draft.own_log()
        ring = second.vault.ring
        known = log.state.devices.get(ring.device.id) if ring is not None else None
        if ring is None or (known is not None and known.status is not DeviceStatus.ACTIVE):
            # Keys that were put out are done with; those of a try that was cut off are gone on with.
            tries = ("keys",) if ring is None else ("keys", log.state.length)
            ring = make_keys("second", second.around.chance.entropy(second.name, *tries), now)
            known = None
        if known is None:
            # As the new machine does it: what the consent binds it to is on its disk before it is given.
            record = ring.device.record
            second.vault.ring = ring
            pending = Pending(log.account, log.position, URL, Instant(now + LINKING_MS))
            async with second.disk.opened(Power(Meter())) as store:
                await store.commit((PutSetting("linking", pending.encode()),))
            consent = consent_to_stand(ring.device, log.account, log.state.length)
            await first._owner.extend(
                draft, accounts.add_device(log.state, record, consent, at=now, by=core.manage)
            )
            await first._sharing.begin(draft, Job.begin(record.id, History.ALL, now))
            await draft.commit()
    second.around.nursery.start_soon(second.run)
    first._sharing.go()
    return f"{second.name} is a device now"
