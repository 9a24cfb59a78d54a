"""Mail that was sealed before its sender had heard of the owner's new machine: it has it all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.late_mail import LATE, pass_on_late
from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.frame_items import Mail
from taskferry_protocol.ids import AccountId, AgentRef, ConversationId, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import (
    AccountUpdate,
    Body,
    Content,
    DeviceShare,
    SharedAccount,
    SharedLabel,
    SharedMessage,
    TextMessage,
)
from taskferry_protocol.records import Generation, Offset, RelayCursor
from taskferry_protocol.sealing import Address, Sealed, seal_envelope, wrap_for
from tests.daemon.worlds import OWNER, Machine, MemoryVault, texts, until

from .machines import Pair, a_pair, link_to, log_of
from .test_history_choice import Tap

_OTHER = Generation(b"o" * 16)


async def _nobody_knows(account: AccountId, start: int) -> Sequence[bytes]:
    await trio.lowlevel.checkpoint()
    return ()


@attrs.define
class Late:
    """Alice's two machines, and Bob's keys in hands that quote whatever length of Alice's log they like."""

    pair: Pair
    tap: Tap
    before: int
    """The length of Alice's log before her second machine stood in it."""
    count: int = 1_000

    async def seal(self, body: Body, length: int) -> Sealed:
        """An envelope to Alice's agent by so much of her log."""
        self.count += 1
        core = self.pair.bob._core
        own, peer = await core.own_log(), await log_of(self.pair.first)
        return seal_envelope(
            Content(body, ConversationId(bytes(16))),
            Address(
                AgentRef(own.account, "writer"),
                AgentRef(peer.account, "requester"),
                self.count,
                own.position,
                peer.position_at(length),
            ),
            created_at=core.now(),
            expires_at=Instant(core.now() + 3_600_000),
            device_key=core.keys.device.signing,
            entropy=system.entropy,
        )

    async def seal_news(self, log: AccountLog, start: int) -> Sealed:
        """Bob's word of what is new in such a log of his, by Alice's log of before."""
        self.count += 1
        core, peer = self.pair.bob._core, await log_of(self.pair.first)
        return seal_envelope(
            Content(AccountUpdate(log.after(start), start), ConversationId(bytes(16))),
            Address(
                AgentRef(log.account, ""),
                AgentRef(peer.account, ""),
                self.count,
                log.position,
                peer.position_at(self.before),
            ),
            created_at=core.now(),
            expires_at=Instant(core.now() + 3_600_000),
            device_key=core.keys.device.signing,
            entropy=system.entropy,
        )

    async def hand_over(self, sealed: Sealed) -> None:
        """Deliver it to the first machine alone, whose mailbox had it before the second one served."""
        core = self.pair.first._core
        (wrap,) = wrap_for(sealed.key, [core.keys.device.encryption.public], system.entropy)
        mail = Mail(self.count, sealed.envelope.raw, wrap.sealed)
        at = RelayCursor("somewhere", _OTHER, Offset(self.count))
        await Inbound(core, _nobody_knows).take(mail, at)

    async def comes(self, text: str) -> Hash:
        """A message that was sealed for the first machine alone comes to it."""
        sealed = await self.seal(TextMessage(text), self.before)
        await self.hand_over(sealed)
        return sealed.envelope.hash

    async def noted(self) -> bool:
        """Whether the first machine has noted something to be passed on."""
        return LATE in await self.pair.first._core.store.settings((LATE,))

    async def pass_on(self) -> None:
        """Some seconds later."""
        self.pair.world.clock.ahead_ms += 20_000
        await self.pair.first._upkeep.round()

    async def second_has(self, *wanted: str) -> None:
        """Wait until the second machine holds just these."""

        async def has() -> bool:
            return await texts(self.pair.second, "requester") == list(wanted)

        await until(has)

    def given(self, kind: type) -> int:
        """How many such things the second machine was given since."""
        return sum(isinstance(item, kind) for item in self.tap.opened_by(self.pair.second))


async def _done(pair: Pair) -> bool:
    """Whether every machine has been brought up to date."""
    jobs = await pair.first._sharing.jobs()
    if any(job.through and job.phase == "history" for job in jobs):
        pair.world.clock.ahead_ms += 61_000  # what may still come to the first one is not waited for
    return not jobs


@asynccontextmanager
async def linked(*, manage: bool = True) -> AsyncIterator[Late]:
    """The second machine has been brought up to date."""
    async with a_pair(manage=manage) as pair:
        await until(partial(_done, pair))
        tap = Tap()
        pair.world.tamper = tap.listen
        yield Late(pair, tap, (await log_of(pair.first)).state.devices[pair.device].since)


async def test_mail_that_only_the_old_machine_can_open_reaches_the_new_one(autojump_clock):
    """It comes long after history was shared: the old machine passes it on, and tells nobody twice."""
    async with linked() as late:
        await late.comes("written before")
        assert await late.noted()
        await late.pass_on()
        await late.second_has("written before")
        assert not await late.noted()
        inbox = await late.pair.second.inbox(OWNER, "requester", True, "", 9, 0)
        assert "message" not in {message.type for message in inbox.messages}


async def test_it_is_passed_on_once(autojump_clock):
    """The same mail again, which a relay may deliver as often as it likes, is not passed on again."""
    async with linked() as late:
        sealed = await late.seal(TextMessage("once"), late.before)
        await late.hand_over(sealed)
        await late.pass_on()
        await late.second_has("once")
        await late.hand_over(sealed)
        assert not await late.noted()
        await late.pass_on()
        await late.comes("and another")
        await late.pass_on()
        await late.second_has("once", "and another")
        assert late.given(SharedMessage) == 2


async def test_what_came_within_seconds_goes_together_with_its_senders_log_once(autojump_clock):
    """However many commits that takes; what comes within the next hour does without the log."""
    async with linked() as late:
        many = [str(number) for number in range(10)]
        for text in many:
            await late.comes(text)
        assert late.given(SharedMessage) == 0
        await late.pass_on()
        await late.second_has(*many)
        await late.comes("later")
        await late.pass_on()
        await late.second_has(*many, "later")
        assert late.given(SharedAccount) == 1


async def test_more_than_a_note_holds_goes_at_once(autojump_clock):
    """A flood of such mail makes no note that grows without end."""
    async with linked() as late:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("taskferry_apps.daemon.late_mail._MOST", 2)
            for text in ("one", "two", "three"):
                await late.comes(text)
            await late.second_has("one", "two")
        await late.pass_on()
        await late.second_has("one", "two", "three")


async def test_what_a_daemon_noted_before_it_was_killed_its_next_start_passes_on(autojump_clock):
    """The note stands in the store, in the commit that took the mail."""
    async with linked() as late:
        await late.comes("written before")
        core = late.pair.first._core
        assert isinstance(core.vault, MemoryVault)
        late.pair.world.clock.ahead_ms += 20_000
        again = await late.pair.world.open_daemon(Machine("alice", core.store, core.vault))
        await pass_on_late(again._core)
        core.outgoing.ring()
        await late.second_has("written before")


async def test_it_is_passed_on_once_the_clock_is_right(autojump_clock):
    """Nothing is signed by a clock that the relay contradicts, and nothing is forgotten meanwhile."""
    async with linked() as late:
        await late.comes("written before")
        clock, world = late.pair.first._core.clock, late.pair.world.clock
        clock.compare(Instant(world.now() - DAY_MS))
        await late.pass_on()
        assert await late.noted()
        clock.compare(world.now())
        await late.pass_on()
        await late.second_has("written before")


async def test_mail_that_was_sealed_for_all_machines_is_noted_nowhere(autojump_clock):
    """Also where its sender has not heard of the newest statement, which was about something else."""
    async with linked() as late:
        log = await log_of(late.pair.first)
        served = next(
            length
            for length in range(late.before, log.state.length + 1)
            if log.served_at(late.pair.device, "requester", length)
        )
        await late.pair.first._owner.rotate_now(OWNER)
        newest = (await log_of(late.pair.first)).state.length
        assert served < newest
        for length in (served, newest):
            await late.hand_over(await late.seal(TextMessage(str(length)), length))
            assert not await late.noted()
        await late.hand_over(await late.seal(TextMessage("before"), served - 1))
        assert await late.noted()


async def test_a_machine_that_was_put_out_meanwhile_is_given_nothing(autojump_clock):
    """What was noted for it goes nowhere, and nothing is left to be done."""
    async with linked() as late:
        await late.comes("written before")
        await late.pair.first.devices.revoke(OWNER, late.pair.device.hex(), "lost", lose=True)
        await late.pass_on()
        assert not await late.noted()
        assert late.given(SharedMessage) == 0


async def test_whoever_has_not_heard_of_a_machine_for_a_month_is_not_helped_any_more(autojump_clock):
    """No mail lives so long: who quotes such a log makes work on purpose."""
    async with linked() as late:
        late.pair.world.clock.ahead_ms += 31 * DAY_MS
        await late.comes("very late")
        assert "very late" in await texts(late.pair.first, "requester")
        assert not await late.noted()


async def test_a_machine_without_power_passes_nothing_on(autojump_clock):
    """The other one would not believe it."""
    async with linked(manage=False) as late:
        sealed = await late.seal(TextMessage("for the second"), late.before)
        core = late.pair.second._core
        (wrap,) = wrap_for(sealed.key, [core.keys.device.encryption.public], system.entropy)
        mail = Mail(late.count, sealed.envelope.raw, wrap.sealed)
        await Inbound(core, _nobody_knows).take(mail, RelayCursor("somewhere", _OTHER, Offset(late.count)))
        assert await texts(late.pair.second, "requester") == ["for the second"]
        assert not await core.store.settings((LATE,))


async def test_what_one_machine_says_to_all_reaches_one_that_it_has_not_heard_of(autojump_clock):
    """The second machine names a device while it does not know of the third: the first passes that on."""
    async with linked() as late:
        pair, log = late.pair, await log_of(late.pair.first)
        three = Machine("alice3")
        await link_to(pair.world, pair.first, three, label="third")
        await until(partial(_done, pair))
        core, to = pair.second._core, AgentRef(log.account, "")
        sealed = seal_envelope(
            Content(DeviceShare((SharedLabel(pair.device, "attic"),)), ConversationId(bytes(16))),
            Address(to, to, 1_000, log.position, log.position),
            created_at=core.now(),
            expires_at=Instant(core.now() + 3_600_000),
            device_key=core.keys.device.signing,
            entropy=system.entropy,
        )
        await late.hand_over(sealed)
        async with pair.world.running(three) as third:

            async def told() -> bool:
                if third._core.account is None:
                    return False
                return "attic" in {view.label for view in (await third.devices.overview(OWNER)).devices}

            await until(told)


async def test_news_of_a_peers_account_that_left_the_new_machine_out_are_shared_with_it(autojump_clock):
    """They stood in a message that only the old machine could open, and came in no other way."""
    async with linked() as late:
        bob, account = late.pair.bob._core, late.pair.bob._core.own
        log = await bob.own_log()
        longer = log.extend([accounts.rename(log.state, "robert", at=bob.now(), by=bob.manage)])
        sealed = await late.seal_news(longer, log.state.length)
        await late.hand_over(sealed)

        async def knows() -> bool:
            held = await late.pair.second._core.logs.get(account)
            return held is not None and held.position == longer.position

        await until(knows)


async def test_what_cannot_be_shared_holds_up_nothing_else(monkeypatch, autojump_clock):
    """A peer's log does not fit into an envelope: its messages are passed on, and no daemon ends."""

    def too_large(pinned: object) -> list[SharedLabel]:
        return [SharedLabel(late.pair.device, "x" * 300_000)]

    async with linked() as late:
        monkeypatch.setattr("taskferry_apps.daemon.late_mail.pinned_items", too_large)
        await late.comes("all the same")
        await late.pass_on()
        await late.second_has("all the same")
        assert not await late.noted()
