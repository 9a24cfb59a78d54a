"""Words of one owner's machines about a connection that reach each other late, or in another order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
import pytest

from taskferry_apps.daemon.bonds import Bond
from taskferry_apps.daemon.draft import Draft, Thread
from taskferry_apps.daemon.ending import end_bond, end_waiting
from taskferry_apps.daemon.grants import Wish, next_allowance, wish_of
from taskferry_apps.daemon.lifting import lift_beside
from taskferry_apps.daemon.port import GrantChange
from taskferry_apps.daemon.publications import noted
from taskferry_apps.daemon.regaining import regain_anew
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import connection_item, share_with
from taskferry_apps.daemon.words_apart import _note, bring_together
from taskferry_apps.relay.in_force import grant_of
from taskferry_protocol.connections import EndKind
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.messages import GrantUpdated, MessageClass
from tests.daemon.test_blocks import ask_again
from tests.daemon.test_manage import WORDS, cheaply
from tests.daemon.worlds import OWNER, until

from .courier import Courier
from .machines import Pair, a_pair
from .test_ending_at_once import HELPER, PAIR, _apart, _asked, _ended_at_relay, _is, _is_brought_up, _kept

QUIET = GrantChange(classes=("message",))
CONNECTION = frozenset({MessageClass.CONNECTION})
ANYTHING = frozenset({MessageClass.CONNECTION, MessageClass.ACCOUNT})


async def _ends(daemon: Daemon) -> list[str]:
    """How each connection stands or has ended, oldest first."""
    return [one.end_kind or one.state for one in await daemon.connections(OWNER, "", "")]


async def _are(daemon: Daemon, *ends: str) -> bool:
    return sorted(await _ends(daemon)) == sorted(ends)


async def _is_published(daemon: Daemon) -> bool:
    return not await noted(daemon._core.store)


async def test_what_a_machine_allowed_when_it_accepted_counts_though_another_had_changed_it_since():
    """Both accepted a request, and the one that changed its mind twice had not heard of the other."""
    async with a_pair() as pair:
        request = await _asked(pair)
        first_said, second_said = await _apart(pair, (pair.first, pair.second), (pair.second, pair.first))
        for daemon, change in ((pair.first, GrantChange()), (pair.second, QUIET)):
            await daemon.accept_connection(OWNER, request.hex(), change)
            await until(partial(_is_published, daemon))
        pair.world.clock.ahead_ms += 1_000
        await pair.first.set_permissions(OWNER, ("requester", HELPER), GrantChange(rate_per_minute=7))
        await until(partial(_is_published, pair.first))
        await until(partial(_has_kept, first_said, 2))
        await until(partial(_kept, second_said))
        pair.world.tamper = None
        for courier in (first_said, second_said):
            await courier.deliver()

        async def agreed() -> bool:
            await pair.first._upkeep.round()
            allowed = set()
            for daemon in (pair.first, pair.second):
                (one,) = [one for one in await daemon.connections(OWNER, "", "") if one.peer == HELPER]
                assert one.given is not None
                allowed.add((one.given.classes, one.given.rate_per_minute))
            found = (await pair.world.relay_store.connections_by_request([request]))[request]
            grant = grant_of(found, pair.first._core.agent("requester"))
            assert grant is not None
            allowed.add((tuple(cls.value for cls in grant.classes), grant.rate))
            return allowed == {(("message",), 7)}

        await until(agreed)
        assert not await pair.first.quarantine(OWNER, "", 9)


async def test_a_block_from_before_it_was_taken_back_counts_on_no_machine():
    """Both blocked the agent, and one took that back before it heard of the other one's block."""
    async with a_pair() as pair:
        mine, theirs = await _apart(pair, (pair.first, pair.second), (pair.second, pair.first))
        for daemon, courier in ((pair.first, mine), (pair.second, theirs)):
            await daemon.end_connection(OWNER, PAIR, "blocked", "")
            await until(partial(_kept, courier))
            pair.world.clock.ahead_ms += 1_000
        await pair.first.gates.unblock(OWNER, PAIR)
        await until(partial(_is, pair.second, "@bob/writer", "revoked"))
        for courier in (mine, theirs):
            await courier.deliver()
        for daemon in (pair.first, pair.second):
            assert await _ends(daemon) == ["revoked"]


async def test_a_later_block_counts_though_an_earlier_one_was_taken_back_meanwhile():
    """The machine that says it had not heard of either: on both the agent is blocked."""
    async with a_pair() as pair:
        mine, theirs = await _apart(pair, (pair.first, pair.second), (pair.second, pair.first))
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_kept, mine))
        second = pair.second._core
        second.now = lambda: Instant(pair.world.clock.now() + 120_000)
        await pair.second.end_connection(OWNER, PAIR, "blocked", "")
        await pair.first.gates.unblock(OWNER, PAIR)
        await until(partial(_kept, theirs))
        for courier in (mine, theirs):
            await courier.deliver()
        for daemon in (pair.first, pair.second):
            await until(partial(_is, daemon, "@bob/writer", "blocked"))


async def test_two_blocks_at_once_are_taken_back_together_though_one_clock_was_ahead():
    """Whoever takes the block back has heard of both."""
    async with a_pair() as pair:
        mine, theirs = await _apart(pair, (pair.first, pair.second), (pair.second, pair.first))
        pair.second._core.now = lambda: Instant(pair.world.clock.now() + 120_000)
        for daemon, courier in ((pair.first, mine), (pair.second, theirs)):
            await daemon.end_connection(OWNER, PAIR, "blocked", "")
            await until(partial(_kept, courier))
        for courier in (mine, theirs):
            await courier.deliver()
        await pair.first.gates.unblock(OWNER, PAIR)
        for daemon in (pair.first, pair.second):
            await until(partial(_is, daemon, "@bob/writer", "revoked"))


async def test_an_agent_that_is_unblocked_is_so_where_the_block_had_ended_more():
    """Another request of it, which the machine that blocked the agent never had."""
    async with a_pair() as pair:
        await _apart(pair, (pair.bob, pair.first), (pair.second, pair.first))
        await ask_again(pair.bob, pair.first._core.own)
        (request,) = await until(partial(pair.second.connections, OWNER, "requested_in", ""))
        await pair.second.accept_connection(OWNER, request.id.hex(), GrantChange())
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_are, pair.second, "blocked", "blocked"))
        await pair.first.gates.unblock(OWNER, PAIR)
        await until(partial(_are, pair.second, "revoked", "revoked"))


@pytest.mark.parametrize("is_lifted", [False, True], ids=["", "the block is taken back before"])
async def test_what_a_block_ends_does_so_on_a_machine_whose_key_was_locked_once_it_is_not(is_lifted: bool):
    """It had accepted another request of the agent, which the machine that blocks never had."""
    async with a_pair() as pair:
        await _apart(pair, (pair.bob, pair.first), (pair.second, pair.first))
        await ask_again(pair.bob, pair.first._core.own)
        (request,) = await until(partial(pair.second.connections, OWNER, "requested_in", ""))
        await pair.second.accept_connection(OWNER, request.id.hex(), GrantChange())
        await cheaply(pair.second).manage.set_passphrase(OWNER, WORDS, "")
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_are, pair.second, "accepted", "blocked"))
        await end_waiting(pair.second._core)
        assert await _are(pair.second, "accepted", "blocked")
        end = "blocked"
        if is_lifted:
            end = "revoked"
            await pair.first.gates.unblock(OWNER, PAIR)
            await until(partial(_are, pair.second, "accepted", end))
        await pair.second.manage.unlock(OWNER, WORDS, 5)
        await end_waiting(pair.second._core)
        assert await _are(pair.second, end, end)
        await until(partial(_ended_at_relay, pair, request.id))


async def test_what_is_accepted_after_a_block_was_taken_back_stands_though_the_key_was_locked_meanwhile():
    """The request had waited on a machine that could not end it while the agent was blocked."""
    async with a_pair() as pair:
        await _apart(pair, (pair.bob, pair.first), (pair.second, pair.first))
        await ask_again(pair.bob, pair.first._core.own)
        (request,) = await until(partial(pair.second.connections, OWNER, "requested_in", ""))
        await cheaply(pair.second).manage.set_passphrase(OWNER, WORDS, "")
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_are, pair.second, "requested_in", "blocked"))
        await pair.first.gates.unblock(OWNER, PAIR)
        await until(partial(_are, pair.second, "requested_in", "revoked"))
        await pair.second.manage.unlock(OWNER, WORDS, 5)
        await pair.second.accept_connection(OWNER, request.id.hex(), GrantChange())
        await end_waiting(pair.second._core)
        assert await _are(pair.second, "accepted", "revoked")


async def test_a_machine_that_is_brought_up_takes_back_all_blocks_at_once():
    """What was told to all is lost, and one message says all of it."""
    async with a_pair() as pair:
        await until(partial(_is_brought_up, pair.first))
        await ask_again(pair.bob, pair.first._core.own)
        await until(partial(_are, pair.second, "accepted", "requested_in"))
        await until(partial(_are, pair.first, "accepted", "requested_in"))
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_are, pair.second, "blocked", "blocked"))
        courier = Courier(pair.second, lambda envelope: envelope.header.to.device is None)
        pair.world.tamper = courier.tamper
        await pair.first.gates.unblock(OWNER, PAIR)
        core = pair.first._core
        async with core.lock:
            draft = Draft(core)
            shown = await pair.first.connections(OWNER, "", "")
            items = [connection_item(await _record(pair.first, one.id)) for one in shown]
            await share_with(draft, pair.second._core.device, items)
            await draft.commit()
        await until(partial(_are, pair.second, "revoked", "revoked"))


async def test_a_lift_takes_back_no_other_block_that_is_newer_than_its_message():
    """Though its machine's clock had been ahead, and it says a time that is long after both."""
    async with a_pair() as pair:
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_are, pair.second, "blocked"))
        await ask_again(pair.second, pair.bob._core.own, "requester", "writer")
        core, now = pair.second._core, pair.world.clock.now()
        records = [await _record(pair.second, one.id) for one in await pair.second.connections(OWNER, "", "")]
        old, new = sorted(records, key=lambda record: not record.end_raw)
        async with core.lock:
            draft = Draft(core)
            await end_bond(draft, Bond(new), EndKind.BLOCKED, "", None)
            await draft.commit()
        for told_at, ends in ((now - 60_000, ["blocked"]), (now + 60_000, ["revoked"])):
            async with core.lock:
                draft = Draft(core)
                await lift_beside(draft, old, Instant(told_at))
                await draft.commit()
            record = await _record(pair.second, new.request)
            assert [record.end_kind] == ends


@pytest.mark.parametrize("kept_back", [CONNECTION, ANYTHING], ids=["the block", "the block and its end"])
async def test_a_block_that_comes_late_ends_nothing_that_was_agreed_on_since_it_was_taken_back(kept_back):
    """A relay keeps it back, and hands it over once the agent is connected anew."""
    async with a_pair() as pair:
        await until(partial(_is_brought_up, pair.first))
        device = pair.first._core.device

        def keeps(envelope: Envelope) -> bool:
            return envelope.device == device and envelope.header.cls in kept_back

        courier = Courier(pair.second, keeps)
        pair.world.tamper = courier.tamper
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_kept, courier))
        pair.world.clock.ahead_ms += 1_000
        await pair.first.gates.unblock(OWNER, PAIR)
        if kept_back is ANYTHING:
            await until(partial(_has_kept, courier, 2))
        else:
            await until(partial(_are, pair.second, "revoked"))
        courier.keeps = lambda envelope: False
        await until(partial(_are, pair.bob, "blocked"))
        await ask_again(pair.bob, pair.first._core.own)
        (request,) = await until(partial(pair.first.connections, OWNER, "requested_in", ""))
        await pair.first.accept_connection(OWNER, request.id.hex(), GrantChange())
        await until(partial(_stands, pair.second, request.id))
        await courier.deliver()
        for daemon in (pair.first, pair.second):
            assert await _are(daemon, "revoked", "accepted")
        await until(partial(_is_published, pair.second))
        found = await pair.world.relay_store.connections_by_request([request.id])
        assert not found[request.id].end_raw


async def _has_kept(courier: Courier, number: int) -> bool:
    return len(courier.kept) >= number


async def _stands(daemon: Daemon, request: Hash) -> bool:
    return request in {one.id for one in await daemon.connections(OWNER, "accepted", "")}


async def test_a_machine_that_may_not_manage_brings_no_older_permission_back():
    """It shows again what another one signed once: whoever signed that has said something else since."""
    async with a_pair(manage=False) as pair:
        await until(partial(_is_brought_up, pair.first))
        core = pair.second._core
        (shown,) = await pair.first.connections(OWNER, "accepted", "")
        await pair.first.set_permissions(OWNER, PAIR, QUIET)
        grants = (await _record(pair.first, shown.id)).grants
        (old,) = [one for one in grants if one.grantor == core.agent("requester")]
        for change in (GrantChange(rate_per_minute=9), GrantChange(classes=("artifact", "message", "task"))):
            await pair.first.set_permissions(OWNER, PAIR, change)
        async with core.lock:
            draft = Draft(core)
            bond = Bond(await _record(pair.second, shown.id))
            body = GrantUpdated(old.raw, old.terms)
            posted = await draft.post(body, bond.record.mine, bond.record.peer, Thread(draft.conversation()))
            await draft.commit()

        async def taken() -> bool:
            return bool(await pair.first._core.store.messages((posted.hash,)))

        await until(taken)
        await bring_together(pair.first._core)
        (one,) = await pair.first.connections(OWNER, "accepted", "")
        assert one.given is not None
        assert one.given.classes == ("artifact", "message", "task")


async def test_what_was_allowed_on_a_word_that_the_relay_had_shown_stands_when_the_word_comes():
    """It was known, and counts no second time."""
    async with a_pair() as pair:
        (courier,) = await _apart(pair, (pair.second, pair.first))
        await pair.second.set_permissions(OWNER, PAIR, QUIET)
        await until(partial(_kept, courier))
        await until(partial(_is_published, pair.second))
        client = pair.first._link._client
        assert client is not None
        await regain_anew(pair.first._core, client)
        everything = ("artifact", "message", "task")
        await pair.first.set_permissions(OWNER, PAIR, GrantChange(classes=everything))
        await courier.deliver()
        await bring_together(pair.first._core)
        (one,) = await pair.first.connections(OWNER, "accepted", "")
        assert one.given is not None
        assert one.given.classes == everything


async def _record(daemon: Daemon, request: Hash):
    return (await daemon._core.store.connections((request,)))[request]


async def _passed_over(pair: Pair, *changes: Callable[[Wish], Wish]) -> None:
    """Note words of as many other machines that were passed over on the first one."""
    core = pair.first._core
    (shown,) = await pair.first.connections(OWNER, "accepted", "")
    async with core.lock:
        draft = Draft(core)
        bond = Bond(await _record(pair.first, shown.id))
        for change in changes:
            word = next_allowance(
                bond.request,
                bond.record.mine,
                change(wish_of(bond.given)),
                before=bond.given,
                log=await draft.own_log(),
                by=SigningKey.from_seed(core.entropy(32)),
                at=draft.now,
                entropy=core.entropy,
            )
            await _note(draft, shown.id, word)
        await draft.commit()


async def test_words_of_several_machines_that_were_passed_over_all_count():
    """The one that was noted last does not take the place of another machine's."""
    async with a_pair() as pair:
        await _passed_over(pair, partial(attrs.evolve, rate=7), partial(attrs.evolve, largest=9))
        await bring_together(pair.first._core)
        (one,) = await pair.first.connections(OWNER, "accepted", "")
        assert one.given is not None
        assert (one.given.rate_per_minute, one.given.largest_bytes) == (7, 9)


async def test_words_that_wait_for_a_key_are_written_down_once(monkeypatch: pytest.MonkeyPatch):
    """Housekeeping looks each minute, and the key may be locked for months."""
    async with a_pair() as pair:
        await _passed_over(pair, partial(attrs.evolve, rate=7))
        await cheaply(pair.first).manage.set_passphrase(OWNER, WORDS, "")
        core = pair.first._core
        await bring_together(core)
        commits: list[object] = []
        monkeypatch.setattr(core, "commit", lambda *args: commits.append(args))
        await bring_together(core)
        monkeypatch.undo()
        assert not commits
        await pair.first.manage.unlock(OWNER, WORDS, 5)
        await bring_together(core)
        (one,) = await pair.first.connections(OWNER, "accepted", "")
        assert one.given is not None
        assert one.given.rate_per_minute == 7
