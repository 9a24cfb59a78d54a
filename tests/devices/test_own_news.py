"""Mail for an agent that this device serves, by a log of the owner's that it has not heard of yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import pytest
import trio
import trio.testing

from taskferry_apps import system
from taskferry_apps.daemon.bonds import all_bonds
from taskferry_apps.daemon.draft import LIFETIME_MS, Draft
from taskferry_apps.daemon.ending import end_withdrawn
from taskferry_apps.daemon.own_news import UNTOLD, announce, heard_of, note_lately_signed, note_untold
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.publications import Publication, Subject, noted
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol import accounts, calls
from taskferry_protocol.accounts import AccountLog, set_agent
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.frames import Frame, ReplyFrame
from taskferry_protocol.ids import AccountId, AgentRef, Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.messages import AccountUpdate, TextMessage
from taskferry_protocol.records import DeferOutbox, DropSetting, Generation, PutOutbox
from tests.daemon.forger import Forger, codes, forging
from tests.daemon.worlds import OWNER, a_world, connected, texts, until

from .machines import Pair, a_pair, brought_up, leave_to, log_of, say


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
        await forger.deliver(await forger.seal(TextMessage("in time"), to_log=newest.position))
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
            return await texts(pair.bob, "writer") == ["all the same"]

        await until(came)
        assert await _is_put_out(pair)


async def _break_off(pair: Pair) -> None:
    """The first machine puts the second one out, and its link breaks before it hears so."""
    before = (await log_of(pair.first)).position.to_cbor()

    def broken(frame: Frame) -> Frame:
        # Other machines ask the relay, too: the answer to the statement is a position alone. The second one
        # may be offering what it knows of the log, and is answered where that ended before.
        if (
            isinstance(frame, ReplyFrame)
            and not isinstance(frame.outcome, Refusal)
            and set(frame.outcome) == {"log"}
            and frame.outcome["log"] != before
        ):
            pair.world.tamper = None
            raise trio.BrokenResourceError
        return frame

    pair.world.tamper = broken
    with pytest.raises(DaemonRefusal, match="relay"):
        await pair.first.devices.revoke(OWNER, pair.device.hex(), "lost", lose=True)
    assert not await _is_put_out(pair)


async def test_a_change_whose_answer_was_lost_is_found_at_the_relay():
    """The link broke after the relay had taken the statement: the daemon asks what became of it."""
    async with a_pair() as pair:
        await _break_off(pair)
        await until(lambda: _is_put_out(pair))


async def _knows(pair: Pair, length: int) -> bool:
    """Whether Bob holds so much of Alice's log."""
    held = await pair.bob._core.logs.get(pair.first._core.own)
    return held is not None and held.state.length == length


async def _untold(daemon: Daemon) -> bool:
    return UNTOLD in await daemon._core.store.settings((UNTOLD,))


async def test_peers_hear_of_a_revocation_that_was_cut_off_before_anybody_was_told():
    """Nothing else is sent to them, and a relay that lies would let the device speak to them for ever."""
    async with a_pair() as pair:
        before = (await log_of(pair.first)).state.length
        await until(lambda: _knows(pair, before))
        await _break_off(pair)
        await until(lambda: _is_put_out(pair))
        assert await _untold(pair.first)
        await pair.first._upkeep.round()
        assert await _untold(pair.first)
        pair.world.clock.ahead_ms += 3 * MINUTE_MS
        await pair.first._upkeep.round()
        await until(lambda: _knows(pair, before + 1))
        assert not await _untold(pair.first)


async def test_what_another_machine_has_told_of_is_not_told_again():
    """Two statements that nobody announced: the first word of them ends the wait of both machines."""
    async with a_pair() as pair:
        core, log = pair.first._core, await log_of(pair.first)
        longer = log
        for name in ("alice-one", "alice-two"):
            longer = longer.extend([accounts.rename(longer.state, name, at=core.now(), by=core.manage)])
        await pair.first._link.call(calls.AppendStatements(log.state.length, longer.after(log.state.length)))
        for daemon in (pair.first, pair.second):
            daemon._link._own_is_stale = True
            daemon._core.outgoing.ring()
            await until(partial(_untold, daemon))
        second = pair.second._core
        async with second.lock:
            draft = Draft(second)
            await announce(draft, log.state.length, longer.statements[log.state.length : -1])
            await draft.commit()

        async def half() -> bool:
            raw = (await core.store.settings((UNTOLD,)))[UNTOLD]
            return bool(json.loads(raw)["from"] == longer.state.length - 1)

        await until(half)
        pair.world.clock.ahead_ms += 3 * MINUTE_MS
        await pair.first._upkeep.round()
        assert not await _untold(pair.first)
        await until(lambda: _knows(pair, longer.state.length))


async def test_what_an_older_copy_of_the_relay_has_lost_of_the_account_is_told_again():
    """A machine was put out, and the word of it was lost with the relay: whoever was to hear it does."""
    async with a_pair() as pair:
        before = (await log_of(pair.first)).state.length
        await until(lambda: _knows(pair, before))
        pair.world.stop_relay()
        core, log = pair.first._core, await log_of(pair.first)
        async with core.lock:
            draft = Draft(core)
            statement = accounts.revoke_device(log.state, pair.device, "lost", at=core.now(), by=core.manage)
            draft.take_log(log, log.extend([statement]))
            await draft.commit()
        await pair.world.relay_store.renew_generation(Generation(b"another-one-here"))
        await pair.world.start_relay()
        await until(partial(_untold, pair.first))
        pair.world.clock.ahead_ms += 3 * MINUTE_MS
        await pair.first._upkeep.round()
        await until(lambda: _knows(pair, before + 1))
        assert not await _untold(pair.first)


async def test_what_was_signed_long_ago_is_not_told_again():
    """After the time that mail lives, nothing of an account's log was on its way to anybody."""
    async with a_pair() as pair:
        core = pair.first._core
        pair.world.clock.ahead_ms += LIFETIME_MS + MINUTE_MS
        async with core.lock:
            draft = Draft(core)
            await note_lately_signed(draft)
            assert draft.changes == []


async def test_a_word_about_something_else_ends_no_wait():
    """A machine that announces statements which the log has not is not believed to have told anybody."""
    async with a_pair() as pair:
        core, log = pair.first._core, await log_of(pair.first)
        start = log.state.length
        async with core.lock:
            draft = Draft(core)
            await note_untold(draft, AccountLog(log.statements[:-1], log.state, log.heads[:-1]), log)
            wrong = AccountUpdate((log.statements[0],), start - 1)
            await heard_of(draft, core.own, wrong)
            await heard_of(draft, pair.bob._core.own, AccountUpdate(log.after(start - 1), start - 1))
            await heard_of(draft, core.own, AccountUpdate(log.after(start - 2)[:1], start - 2))
            assert not any(isinstance(change, DropSetting) for change in draft.changes)
            await heard_of(draft, core.own, AccountUpdate(log.after(start - 2), start - 2))
            assert any(isinstance(change, DropSetting) for change in draft.changes)


async def test_peers_hear_of_an_agent_that_went_with_a_machine_also_where_that_was_cut_off():
    """The news ends what they had with this owner, and the relay carries it while that stands there."""
    async with a_pair() as pair:
        core = pair.first._core
        await brought_up(pair.first)
        await leave_to(pair.first, "requester", pair.device)
        length = (await log_of(pair.first)).state.length
        await until(lambda: _knows(pair, length))
        await _break_off(pair)
        await until(lambda: _is_put_out(pair))
        (ended,) = await pair.first.connections(OWNER, "ended", "")

        async def ended_there() -> bool:
            held = await pair.world.relay_store.connections_by_request([ended.id])
            return bool(held[ended.id].end_raw)

        core.outgoing.ring()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not await ended_there()
        pair.world.clock.ahead_ms += 3 * MINUTE_MS
        await pair.first._upkeep.round()
        await until(lambda: _knows(pair, length + 1))
        await until(ended_there)


async def test_an_end_waits_for_news_that_the_relay_has_put_off():
    """It asked to come again later with the news: told of the end first, it would carry none to that peer."""
    async with a_world() as world, connected(world) as (alice, bob):
        core = bob._core
        account = AgentRef(alice._core.own, "")
        (bond,) = await all_bonds(core.store)
        published = Publication(Subject.END, bond.record.request)
        async with core.lock:
            draft = Draft(core)
            log = await draft.own_log()
            await announce(draft, log.state.length - 1, log.statements[-1:])
            (news,) = [one.entry for one in draft.changes if isinstance(one, PutOutbox)]
            assert news.to == account
            draft.add(DeferOutbox(news.hash, 1, Instant(core.now() + MINUTE_MS)))
            await end_withdrawn(draft, bond)
            await draft.commit()
        core.outgoing.ring()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert published in await noted(core.store)
        await core.commit((DeferOutbox(news.hash, 1, core.now()),))
        core.outgoing.ring()

        async def told() -> bool:
            return published not in await noted(core.store)

        await until(told)
        assert await core.store.outbox((news.hash,)) == {}
