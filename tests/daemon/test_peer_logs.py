"""What a daemon does about the logs of peers that were robbed, took their account back, or changed names."""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon import logbook
from taskferry_apps.daemon.alarms import alarms
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.identity_changes import changed_owners
from taskferry_apps.daemon.log_news import moved, take_news, take_own_news
from taskferry_apps.daemon.logbook import LogBook
from taskferry_protocol import calls
from taskferry_protocol.accounts import (
    AccountLog,
    add_device,
    consent_to_stand,
    create,
    fold,
    recover,
    rename,
    revoke_device,
    set_agent,
)
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import Instant, LogPosition
from taskferry_protocol.messages import AccountUpdate, TextMessage
from taskferry_protocol.records import Place
from taskferry_protocol.sealing import wrap_for

from .forger import Forger, codes, forging
from .worlds import OWNER, texts


async def _bob_pins(forger: Forger, log: AccountLog) -> None:
    draft = Draft(forger.bob)
    draft.take_log(await forger.bob.logs.get(log.account), log)
    await draft.commit()


@pytest.mark.parametrize("is_put_out", [False, True])
async def test_a_look_that_took_long_brings_no_older_log_back(monkeypatch, is_put_out):
    """Alice's log is read while news of it is pinned: what stands then stays, also once it made room."""
    async with forging() as (forger, _):
        log = await forger.alice.own_log()
        news = _renamed(forger, log, "alicia")
        core = forger.bob
        read, asked, go_on = core.store.accounts, trio.Event(), trio.Event()

        async def slow(accounts):
            found = await read(accounts)
            if not asked.is_set():
                asked.set()
                await go_on.wait()
            return found

        monkeypatch.setattr(core.store, "accounts", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.logs.get, log.account)
            await asked.wait()
            await _bob_pins(forger, news)
            if is_put_out:
                monkeypatch.setattr(logbook, "KEPT", 1)
                await core.own_log()
            go_on.set()
        assert await core.logs.get(log.account) == news
        assert await core.logs.owner_name(log.account) == "alicia"


async def _held(forger: Forger) -> str:
    account = forger.alice.own
    return (await forger.bob.store.accounts((account,)))[account].record.held


def _stolen(forger: Forger, log: AccountLog, times: int = 1) -> AccountLog:
    """The branch of somebody with alice's manage key, who lets a device of his own in."""
    for number in range(times):
        thief = DeviceKeys.generate(f"thief {number}", system.entropy)
        consent = consent_to_stand(thief, log.account, log.state.length)
        now, manage = forger.clock.now(), forger.alice.manage
        log = log.extend([add_device(log.state, thief.record, consent, at=now, by=manage)])
    return log


def _recovered(forger: Forger, log: AccountLog) -> AccountLog:
    """The branch of alice, who takes her account back and keeps her one device."""
    device = log.state.devices[forger.alice.device]
    statement = recover(
        log.state,
        [(device.record, b"")],
        {"requester": [device.id]},
        at=forger.clock.now(),
        by=forger.recovery,
    )
    return log.extend([statement])


@pytest.mark.parametrize("ahead", [0, 1, 2])
async def test_who_pinned_a_thiefs_branch_follows_the_owners_recovery(ahead):
    """Whether the true branch is as long as the pinned one or shorter: it is fetched whole, and wins."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        true = _recovered(forger, log)
        await _bob_pins(forger, _stolen(forger, log, 1 + ahead))
        forger.shown = true.statements
        forger.alice.logs.put(true)
        await forger.deliver(await forger.seal(TextMessage("it is me again")))
        assert await codes(bob) == []
        assert await texts(bob) == ["it is me again"]
        assert await forger.bob.logs.get(log.account) == true
        assert any("taken the account back" in alarm for alarm in (await bob.status()).alarms)


async def test_a_longer_recovery_is_followed_too():
    """What the relay sends as the continuation continues nothing: then all of it is asked for."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        true = _recovered(forger, log)
        true = true.extend([rename(true.state, "alice-again", at=forger.clock.now(), by=forger.alice.manage)])
        await _bob_pins(forger, _stolen(forger, log))
        forger.shown = true.statements
        forger.alice.logs.put(true)
        await forger.deliver(await forger.seal(TextMessage("it is me again")))
        assert await texts(bob) == ["it is me again"]


async def test_news_from_the_owner_need_no_relay():
    """The recovery that a message of alice's brings itself is followed, though the relay hides it."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        true = _recovered(forger, log)
        await _bob_pins(forger, _stolen(forger, log))
        forger.alice.logs.put(true)
        body = AccountUpdate(true.after(log.state.length), log.state.length)
        await forger.deliver(await forger.seal(body, from_="", to=""))
        assert await codes(bob) == []
        assert await forger.bob.logs.get(log.account) == true


async def test_a_recovery_ends_the_hold_of_a_forked_account():
    """Two branches of the manage key hold the account; the recovery key settles it, and the alarm goes."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        other, manage, now = _stolen(forger, log), forger.alice.manage, forger.clock.now()
        await _bob_pins(forger, log.extend([rename(log.state, "alice-one", at=now, by=manage)]))
        for text in ("one", "two"):
            forger.shown = other.statements
            forger.alice.logs.put(other)
            await forger.deliver(await forger.seal(TextMessage(text)))
        assert await codes(bob) == ["account-held", "account-held"]
        assert await _held(forger)
        (alarm,) = (await bob.status()).alarms
        assert "two histories" in alarm
        assert len((await forger.bob.store.evidence(Place(0), 9)).items) == 1
        true = _recovered(forger, log)
        forger.shown = true.statements
        forger.alice.logs.put(true)
        await forger.deliver(await forger.seal(TextMessage("settled")))
        assert await texts(bob) == ["settled"]
        assert not await _held(forger)
        (alarm,) = (await bob.status()).alarms
        assert "taken the account back" in alarm


async def test_what_was_held_is_taken_when_it_comes_again():
    """A message quarantined because a log was kept back is no duplicate once the log is there."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        longer = log.extend([rename(log.state, "alicia", at=forger.clock.now(), by=forger.alice.manage)])
        forger.alice.logs.put(longer)
        sealed = await forger.seal(TextMessage("late"))
        await forger.deliver(sealed)
        assert await codes(bob) == ["not-an-extension"]
        forger.shown = longer.statements
        await forger.deliver(sealed)
        assert await texts(bob) == ["late"]
        assert await codes(bob) == []


async def test_a_spoilt_wrap_does_not_lose_the_message():
    """The relay spoils what nobody signs, or exchanges it, and then delivers the good one: it counts."""
    async with forging() as (forger, bob):
        sealed = await forger.seal(TextMessage("welcome"))
        (stray,) = wrap_for(bytes(32), [forger.bob.keys.device.encryption.public], system.entropy)
        for wrap, code in ((bytes(80), "bad-wrap"), (stray.sealed, "bad-commit")):
            await forger.hand_over(sealed.envelope.raw, wrap)
            assert code in ("bad-wrap", "bad-commit")
        assert await codes(bob) == ["bad-wrap"]
        assert await forger.bob.store.receipts_owed(10) == ()
        for _ in range(2):
            await forger.deliver(sealed)
        assert await texts(bob) == ["welcome"]
        assert await codes(bob) == []
        owed = await forger.bob.store.receipts_owed(10)
        assert [item.outcome for item in owed] == ["applied"]
        assert (await bob.inbox(OWNER, "writer", False, "", 50, 0)).messages


async def test_a_rename_to_a_name_that_is_taken_keeps_out_no_revocation():
    """The log with both is taken, the peer is still called as before, and the owner hears of it."""
    async with forging() as (forger, bob):
        log, manage, now = await forger.alice.own_log(), forger.alice.manage, forger.clock.now()
        log = _stolen(forger, log)
        await _bob_pins(forger, log)
        (thief,) = (device for device in log.state.devices if device != forger.alice.device)
        log = log.extend([rename(log.state, "bob", at=now, by=manage)])
        log = log.extend([revoke_device(log.state, thief, "stolen", at=now, by=manage)])
        forger.shown = log.statements
        forger.alice.logs.put(log)
        for text in ("one", "two"):
            await forger.deliver(await forger.seal(TextMessage(text)))
        assert await texts(bob) == ["one", "two"]
        assert await forger.bob.logs.get(log.account) == log
        (alarm,) = (await bob.status()).alarms
        assert "second account claims the name @bob" in alarm
        fresh = LogBook(forger.bob.store)
        for book in (forger.bob.logs, fresh):
            assert await book.owner_name(log.account) == "alice"
        page = await bob.inbox(OWNER, "writer", False, "", 50, 0)
        assert {item.peer for item in page.messages if item.type == "message"} == {"@alice/requester"}


@attrs.define
class _Ready:
    log: LogPosition


@attrs.define
class _SlowRelay:
    """Answers for one account; before its first answer is there, the owner's own mail is pinned."""

    forger: Forger
    shown: Sequence[bytes]
    mail: AccountLog
    """What is pinned meanwhile."""
    asked: int = 0

    @property
    def ready(self) -> _Ready:
        """What it said when the session began."""
        return _Ready(LogPosition(len(self.shown), self.mail.position.head))

    async def call(self, request: calls.CallRequest) -> calls.CallAnswer:
        """As `RelayClient.call`."""
        assert isinstance(request, calls.GetAccount)
        if not self.asked:
            await _bob_pins(self.forger, self.mail)
        self.asked += 1
        return calls.AccountFound(request.account, request.start, tuple(self.shown[request.start :]))


def _renamed(forger: Forger, log: AccountLog, name: str) -> AccountLog:
    return log.extend([rename(log.state, name, at=forger.clock.now(), by=forger.alice.manage)])


def _stale(log: AccountLog) -> Refusal:
    """A relay's answer to a parcel that quotes this log without its last statement."""
    start = log.state.length - 1
    return Refusal(RejectCode.STALE_LOG, Detail(statements=log.after(start), start=start))


async def test_news_that_mail_brings_while_the_relay_is_asked_put_no_identity_in_question():
    """A late refusal has the relay asked; what it shows is pinned by the time that it is compared."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        news = _renamed(forger, log, "alicia")
        relay = _SlowRelay(forger, news.statements, news)
        assert await take_news(forger.bob, relay, log.account, _stale(log))  # type: ignore[arg-type]
        assert relay.asked
        assert (await forger.bob.logs.get(log.account)) == news
        assert await changed_owners(forger.bob.store) == ()
        assert (await bob.status()).alarms == ()


@pytest.mark.parametrize("lie", ["another branch", "what is no statement"])
async def test_mail_that_comes_while_the_relay_is_asked_covers_no_lie(lie):
    """What the relay shows beside the true news still stops what is sent, and is told."""
    async with forging() as (forger, bob):
        log = await forger.alice.own_log()
        news = _renamed(forger, log, "alicia")
        false = _renamed(forger, log, "malice").statements
        shown = false if lie == "another branch" else (*news.statements, b"nothing")
        relay = _SlowRelay(forger, shown, news)
        assert not await take_news(forger.bob, relay, log.account, _stale(log))  # type: ignore[arg-type]
        assert await changed_owners(forger.bob.store) == ("@alicia",)
        assert any("another history" in alarm for alarm in (await bob.status()).alarms)


@pytest.mark.parametrize("lies", [False, True])
async def test_own_news_that_mail_brings_while_the_relay_is_asked_are_told_from_a_lie(lies):
    """So it is with what another device of the owner's has signed: no alarm, but for another branch."""
    async with forging() as (forger, _):
        log = await forger.alice.own_log()
        news, false = _renamed(forger, log, "alicia"), _renamed(forger, log, "malice")
        core = forger.alice
        relay = _SlowRelay(attrs.evolve(forger, bob=core), (false if lies else news).statements, news)
        await take_own_news(core, relay)  # type: ignore[arg-type]
        assert await core.own_log() == news
        assert any("another history" in alarm for alarm in await alarms(core.store)) is lies
        assert bool(await alarms(core.store)) is lies


@pytest.mark.parametrize("shows", ["the recovery", "the lost branch", "nothing"])
async def test_a_refusal_from_before_a_recovery_is_no_other_history(shows):
    """The relay refused with what it had then; it is asked anew, and judged by what it shows now."""
    async with forging() as (forger, _):
        log = await forger.alice.own_log()
        lost, true = _renamed(forger, log, "alicia"), _recovered(forger, log)
        shown = {"the recovery": true.statements, "the lost branch": lost.statements, "nothing": ()}[shows]
        await _bob_pins(forger, true)
        relay = _SlowRelay(forger, shown, true, asked=1)
        believed = await take_news(forger.bob, relay, log.account, _stale(lost))  # type: ignore[arg-type]
        assert believed is (shows == "the recovery")
        assert bool(await changed_owners(forger.bob.store)) is not believed
        assert (await forger.bob.logs.get(log.account)) == true


def test_agents_have_moved_where_a_device_went_and_others_serve_them():
    """A further device alone moves nothing: the older one passes on what comes late."""
    entropy = random.Random(5).randbytes
    first, second = DeviceKeys.generate_managing("laptop", entropy), DeviceKeys.generate("phone", entropy)
    manage, now = first.manage, Instant(0)
    assert manage is not None
    log = fold([create("alice", first, SigningKey.from_seed(entropy(32)), at=now)])
    log = log.extend([set_agent(log.state, "writer", [first.id], at=now, by=manage)])
    one = log.state
    consent = consent_to_stand(second, one.account, one.length)
    log = log.extend([add_device(one, second.record, consent, at=now, by=manage)])
    both = sorted([first.id, second.id])
    log = log.extend([set_agent(log.state, "writer", both, at=now, by=manage)])
    two = log.state
    log = log.extend([revoke_device(two, second.id, "", at=now, by=manage)])
    assert (moved(one, two), moved(two, two), moved(two, log.state)) == ((), (), ("", "writer"))
    assert moved(log.state, log.state) == ()
