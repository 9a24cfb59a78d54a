"""The account goes on, by its recovery key, from before this machine was let in: it is no device now."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.daemon.log_news import judge, take
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.phrase import seed_of
from taskferry_protocol.accounts import DeviceStatus, recover, refold
from taskferry_protocol.crypto import SigningKey
from tests.daemon.worlds import OWNER

from .machines import a_pair, log_of


async def test_a_machine_that_the_recovered_log_does_not_know_keeps_house_and_answers():
    """A relay put back from an older copy had no statement about it when the owner took the account back."""
    async with a_pair() as pair:
        core = pair.second._core
        whole = await log_of(pair.second)
        added = next(
            number
            for number in range(1, whole.state.length)
            if pair.device in whole.state_at(number + 1).devices
        )
        before = refold(whole.statements[:added])
        assert pair.device not in before.state.devices
        kept = before.state.devices[pair.first._core.device]
        key = SigningKey.from_seed(seed_of(pair.recovery))
        true = before.extend(
            [recover(before.state, [(kept.record, b"")], {"requester": [kept.id]}, at=core.now(), by=key)]
        )
        assert await take(core, await judge(core, true.account, 0, true.statements))
        assert (await log_of(pair.second)).position == true.position
        with trio.fail_after(10):
            await pair.second._upkeep.round()
        assert (await pair.second.status()).set_up
        await pair.second.devices.overview(OWNER)
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.devices.rotate(OWNER)
        assert refused.value.code == "device-gone"


async def test_a_machine_that_was_put_out_is_told_that_fresh_keys_are_of_no_use():
    """Nothing is said to have been done that nobody would heed."""
    async with a_pair() as pair:
        await pair.first.devices.revoke(OWNER, pair.device.hex(), "lost", lose=True)
        core = pair.second._core
        news = await judge(core, core.own, 0, (await log_of(pair.first)).statements)
        await take(core, news)
        mine = (await log_of(pair.second)).state.devices[pair.device]
        assert mine.status is not DeviceStatus.ACTIVE
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.devices.rotate(OWNER)
        assert refused.value.code == "device-gone"
