"""What a peer may send, said on two machines of one owner that had not heard of each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from taskferry_apps.daemon.port import GrantChange
from taskferry_apps.daemon.publications import noted
from taskferry_apps.daemon.regaining import regain_anew
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay.in_force import grant_of
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import Grant
from tests.daemon.test_blocks import accept_late, given, one_request_waiting
from tests.daemon.worlds import OWNER, Machine, World, a_world, connect, set_up, until

from .courier import Courier
from .machines import a_pair, link_to, say

PAIR = ("requester", "@bob/writer")


async def _is_brought_up(first: Daemon, second: Daemon) -> bool:
    return second._core.account is not None and not await first._sharing.jobs()


async def _given(daemon: Daemon) -> tuple[tuple[str, ...], int]:
    """What Alice lets Bob's agent send, as a machine of hers has it."""
    (one,) = await daemon.connections(OWNER, "accepted", "")
    assert one.given is not None
    return one.given.classes, one.given.rate_per_minute


async def _received(bob: Daemon) -> tuple[tuple[str, ...], int]:
    """The same, as Bob's has it."""
    (one,) = await bob.connections(OWNER, "accepted", "")
    assert one.received is not None
    return one.received.classes, one.received.rate_per_minute


async def _at_relay(world: World, daemon: Daemon) -> tuple[tuple[str, ...], int]:
    """The same, as the relay enforces it."""
    (one,) = await daemon.connections(OWNER, "accepted", "")
    found = (await world.relay_store.connections_by_request([one.id]))[one.id]
    grant: Grant | None = grant_of(found, daemon._core.agent("requester"))
    assert grant is not None
    return tuple(sorted(cls.value for cls in grant.classes)), grant.rate


RATES = tuple(GrantChange(rate_per_minute=rate) for rate in (30, 20, 7))
QUIET = GrantChange(classes=("message",))
QUIET_AND_SLOW = (GrantChange(rate_per_minute=50), QUIET)


@pytest.mark.parametrize(
    ("away", "at_home", "later", "is_published_first"),
    [
        ((QUIET,), RATES, True, False),
        ((QUIET,), RATES, False, False),
        (QUIET_AND_SLOW, RATES[2:], True, False),
        # A relay takes a version that is not the next one, whatever it follows.
        ((*QUIET_AND_SLOW, GrantChange(largest_artifact=9)), RATES[2:], True, True),
    ],
    ids=["fewer words, the last one", "fewer words, the first one", "more words", "many more words"],
)
async def test_what_a_machine_said_while_it_was_away_counts_beside_what_another_one_said(
    away: Sequence[GrantChange], at_home: Sequence[GrantChange], later: bool, is_published_first: bool
):
    """Both narrowed what the peer may send: both machines, the peer and the relay go by both words."""
    async with (
        a_world() as world,
        world.running(Machine("first")) as first,
        world.running(Machine("bob")) as bob,
    ):
        await set_up(first, "alice", "requester")
        await set_up(bob, "bob", "writer")
        await connect(first, bob, "requester", "@bob/writer")
        machine = Machine("second")
        await link_to(world, first, machine)
        async with world.running(machine) as second:
            await until(partial(_is_brought_up, first, second))
        apart = await world.open_daemon(machine)

        async def say(daemon: Daemon, words: Sequence[GrantChange]) -> None:
            for word in words:
                world.clock.ahead_ms += 1_000
                await daemon.set_permissions(OWNER, PAIR, word)

        said = [(first, at_home), (apart, away)]
        for daemon, words in said if later else reversed(said):
            await say(daemon, words)

        async def known() -> bool:
            return (await _received(bob))[1] == 7 and (await _at_relay(world, first))[1] == 7

        await until(known)
        courier = Courier(apart, lambda sent: sent.device == first._core.device)
        world.tamper = courier.tamper if is_published_first else None
        async with world.running(machine) as second:
            if is_published_first:
                await until(partial(_is_published, second))
                world.tamper = None
                courier.daemon = second
                await courier.deliver()

            async def agreed() -> bool:
                # What is housekeeping's is done without waiting for its minute.
                await second._upkeep.round()
                shown = [await _given(first), await _given(second), await _received(bob)]
                return {*shown, await _at_relay(world, first)} == {(("message",), 7)}

            await until(agreed)


async def test_a_machine_that_was_away_longer_than_mail_lives_learns_what_was_decided_meanwhile():
    """What was ended is, what is new stands, and nobody may send more than the owner let it last."""
    async with (
        a_world() as world,
        world.running(Machine("first")) as first,
        world.running(Machine("bob")) as bob,
        world.running(Machine("carol")) as carol,
        world.running(Machine("dora")) as dora,
    ):
        await set_up(first, "alice", "requester")
        peers = {"@bob/writer": bob, "@carol/painter": carol, "@dora/coder": dora}
        for handle, daemon in peers.items():
            owner, _, agent = handle[1:].partition("/")
            await set_up(daemon, owner, agent)
        for handle in ("@bob/writer", "@carol/painter"):
            await _connect_with(first, peers[handle], handle)
        machine = Machine("second")
        await link_to(world, first, machine)
        async with world.running(machine) as second:
            await until(partial(_is_brought_up, first, second))
            await second._upkeep.tidy()
        await first.end_connection(OWNER, PAIR, "blocked", "")
        await first.set_permissions(OWNER, ("requester", "@carol/painter"), QUIET)
        await _connect_with(first, dora, "@dora/coder")
        await until(partial(_is_published, first))
        world.clock.ahead_ms += 31 * DAY_MS
        async with world.running(machine) as second:
            wanted = {
                ("@bob/writer", "blocked", None),
                ("@carol/painter", "accepted", ("message",)),
                ("@dora/coder", "accepted", ("artifact", "message", "task")),
            }

            async def learnt() -> bool:
                return await _standing(second) == wanted

            await until(learnt)
        assert await _standing(first) == wanted


async def _connect_with(alice: Daemon, peer: Daemon, handle: str) -> None:
    async def requested():
        return await alice.connections(OWNER, "requested_in", "")

    await peer.request_connection(OWNER, handle.partition("/")[2], "@alice/requester", "hello")
    (request,) = await until(requested)
    await alice.accept_connection(OWNER, request.id.hex(), GrantChange(human_gate=False))


async def _is_published(daemon: Daemon) -> bool:
    return not await noted(daemon._core.store)


async def _standing(daemon: Daemon) -> set[tuple[str, str, tuple[str, ...] | None]]:
    """Each peer's agent, how the connection with it stands, and what it may send."""
    return {
        (
            one.peer,
            one.end_kind or one.state,
            one.given.classes if one.given is not None and not one.end_kind else None,
        )
        for one in await daemon.connections(OWNER, "", "")
    }


async def test_a_machine_that_never_heard_of_an_end_learns_of_it_when_it_speaks_to_the_peer():
    """The other machine's word is lost: the relay, which refuses the message, has the end that it signed."""
    async with a_pair() as pair:

        async def brought_up() -> bool:
            return not await pair.first._sharing.jobs()

        await until(brought_up)
        device = pair.first._core.device
        courier = Courier(pair.second, lambda envelope: envelope.device == device)
        pair.world.tamper = courier.tamper
        await pair.first.end_connection(OWNER, PAIR, "revoked", "")
        await until(partial(_is_published, pair.first))
        assert {state for _, state, _ in await _standing(pair.second)} == {"accepted"}
        await say(pair.second, "requester", "@bob/writer", "Are you there?")

        async def ended() -> bool:
            return {state for _, state, _ in await _standing(pair.second)} == {"revoked"}

        await until(ended)


async def test_what_is_allowed_again_on_a_machine_that_had_heard_of_the_narrower_word_stands():
    """Though that was said on a machine whose clock is ahead: nothing is said in its place."""
    async with a_pair() as pair:

        async def classes(daemon: Daemon, *wanted: str) -> bool:
            return (await _given(daemon))[0] == wanted

        first, clock = pair.first, pair.world.clock
        first._core.now = lambda: Instant(clock.now() + 120_000)
        await first.set_permissions(OWNER, PAIR, QUIET)
        await until(partial(classes, pair.second, "message"))
        await pair.second.set_permissions(OWNER, PAIR, GrantChange(classes=("message", "task")))
        await until(partial(classes, first, "message", "task"))
        assert not await first._core.store.settings(("words apart",))


async def test_a_request_that_the_relay_shows_accepted_lets_the_peer_send_no_more_than_was_said_since():
    """As where the acceptance itself had come: the peer's word of it is lost."""
    async with a_world() as world, one_request_waiting(world) as (alice, bob, old):
        courier = Courier(alice, lambda sent: sent.header.cls is MessageClass.CONNECTION)
        world.tamper = courier.tamper
        await accept_late(bob, old)
        await until(partial(_is_published, bob))
        client = alice._link._client
        assert client is not None
        await regain_anew(alice._core, client)
        shown = await alice.connections(OWNER, "accepted", "")
        assert [given(one) for one in shown] == [{"message"}] * 2
