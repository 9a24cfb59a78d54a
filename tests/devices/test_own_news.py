"""Mail for an agent that this device serves, by a log of the owner's that it has not heard of yet."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from taskferry_apps import system
from taskferry_apps.daemon.draft import Draft
from taskferry_protocol import accounts, calls
from taskferry_protocol.accounts import AccountLog, set_agent
from taskferry_protocol.frames import Frame, ReplyFrame
from taskferry_protocol.ids import AccountId
from taskferry_protocol.messages import TextMessage
from tests.daemon.forger import Forger, codes, forging, texts
from tests.daemon.worlds import OWNER, until

from .machines import Pair, a_pair, log_of, say
from .machines import texts as texts_of


async def _behind(forger: Forger) -> AccountLog:
    """Bob's device holds a log in which it does not serve the writer; the newest one says it does."""
    full = await forger.bob.own_log()
    withdrawn = full.extend([set_agent(full.state, "writer", (), at=system.now(), by=forger.bob.manage)])
    newest = withdrawn.extend(
        [set_agent(withdrawn.state, "writer", (forger.bob.device,), at=system.now(), by=forger.bob.manage)]
    )
    draft = Draft(forger.bob)
    draft.take_log(full, withdrawn)
    await draft.commit()
    return newest


async def test_the_own_log_is_fetched_before_such_mail_is_refused():
    """The peer heard first that this device serves the agent: nothing is quarantined."""
    async with forging() as (forger, bob):
        newest = await _behind(forger)

        async def fetch(account: AccountId, start: int) -> Sequence[bytes]:
            await trio.lowlevel.checkpoint()
            return newest.statements[start:] if account == newest.account else ()

        forger.inbound._fetch = fetch
        await forger.deliver(await forger.seal(TextMessage("in time")))
        assert await codes(bob) == []
        assert await texts(bob) == ["in time"]


async def test_mail_for_somebody_else_asks_once_and_is_quarantined():
    """A relay that delivers to the wrong device costs one question, and is found out."""
    async with forging() as (forger, bob):
        await _behind(forger)
        asked: list[AccountId] = []

        async def fetch(account: AccountId, start: int) -> Sequence[bytes]:
            await trio.lowlevel.checkpoint()
            asked.append(account)
            return ()

        forger.inbound._fetch = fetch
        await forger.deliver(await forger.seal(TextMessage("not for you")))
        assert await codes(bob) == ["wrong-recipient"]
        assert asked == [forger.bob.own]


async def _is_put_out(pair: Pair) -> bool:
    log = await log_of(pair.first)
    return log.state.devices[pair.device].status is not accounts.DeviceStatus.ACTIVE


async def test_a_device_whose_own_log_went_on_without_it_learns_so_from_what_it_may_not_send():
    """The relay has put the other machine out, and this one, which still wraps for it, was not told."""
    async with a_pair() as pair:
        core, log = pair.first._core, await log_of(pair.first)
        statement = accounts.revoke_device(log.state, pair.device, "lost", at=core.now(), by=core.manage)
        await pair.first._link.call(calls.AppendStatements(log.state.length, (statement,)))
        await say(pair.first, "requester", "@bob/writer", "all the same")

        async def came() -> bool:
            return await texts_of(pair.bob, "writer") == ["all the same"]

        await until(came)
        assert await _is_put_out(pair)


async def test_a_change_that_nobody_waited_for_is_found_at_the_relay():
    """Whoever asked hung up after the relay had taken the statement: the daemon asks what became of it."""
    async with a_pair() as pair:
        scope = trio.CancelScope()

        def hang_up(frame: Frame) -> Frame:
            if isinstance(frame, ReplyFrame):
                scope.cancel()
            return frame

        with scope:
            pair.world.tamper = hang_up
            await pair.first.devices.revoke(OWNER, pair.device.hex(), "lost", lose=True)
        assert scope.cancelled_caught
        assert not await _is_put_out(pair)
        await until(lambda: _is_put_out(pair))
