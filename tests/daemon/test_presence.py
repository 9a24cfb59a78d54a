"""Whether a peer is there is a hint: asking for it takes nothing from what a daemon has to look up."""

from __future__ import annotations

import attrs
import pytest
import trio

from taskferry_apps.daemon.presence import ALONG_S, KEPT_S, PRESENCE_S, Presence
from taskferry_apps.relay_client import CallRefused
from taskferry_protocol import calls
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import AccountId, AgentRef

BOB = AgentRef(AccountId(bytes(32)), "writer")
TOO_MANY = Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=100))


@attrs.define
class Relay:
    """Says what the test wants, as `RelayClient.call` does."""

    says: bool | Refusal | None
    """Whether the peer is there; why it says nothing; None where it is silent."""
    asked: int = 0
    about: list[tuple[AgentRef, ...]] = attrs.Factory(list)
    answers: int = 0
    """About how many agents it speaks, where that is not those that it is asked about."""

    async def call(self, request):
        """Answer."""
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.says is None:
            await trio.sleep_forever()
        if isinstance(self.says, Refusal):
            raise CallRefused(self.says)
        self.about.append(request.agents)
        return calls.PresenceFound((self.says,) * (self.answers or len(request.agents)))


async def test_all_who_send_at_a_time_ask_once(autojump_clock):
    """Ten at once, and ten right after them: one question; after a while there is another."""
    relay, presence = Relay(says=True), Presence()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(presence.is_away, relay, BOB)
    assert not await presence.is_away(relay, BOB)
    assert relay.asked == 1
    await trio.sleep(KEPT_S)
    relay.says = False
    assert await presence.is_away(relay, BOB)
    assert relay.asked == 2


@pytest.mark.parametrize("says", [TOO_MANY, None])
async def test_a_relay_that_does_not_answer_is_left_alone_for_a_while(says, autojump_clock):
    """A hundred sends in a row at a relay that wants to be asked less, or is silent: a few questions."""
    relay, presence = Relay(says), Presence()
    for _ in range(100):
        assert not await presence.is_away(relay, BOB)
        await trio.sleep(0.01)
    assert relay.asked <= 2


async def test_who_was_away_a_moment_ago_is_so_where_nobody_says_otherwise(autojump_clock):
    """A refusal to say is no word that the peer is there; once the relay answers, its word counts."""
    relay, presence = Relay(says=False), Presence()
    assert await presence.is_away(relay, BOB)
    relay.says = TOO_MANY
    for _ in range(3):
        assert await presence.is_away(relay, BOB)
    relay.says = True
    await trio.sleep(60)
    assert not await presence.is_away(relay, BOB)


async def test_whoever_sends_waits_for_no_answer_for_long(autojump_clock):
    """A silent relay costs the one who asks half a second, and those who wait with it no more."""
    relay, presence = Relay(says=None), Presence()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(presence.is_away, relay, BOB)
    assert trio.current_time() - began <= PRESENCE_S


async def test_peers_that_are_sent_to_all_the_time_are_asked_about_together(autojump_clock):
    """Ten peers, each sent to every tenth of a second: a question a quarter-second, not one for each."""
    relay, presence = Relay(says=True), Presence()
    peers = [AgentRef(BOB.account, f"writer{number}") for number in range(10)]
    for _ in range(20):
        for peer in peers:
            assert not await presence.is_away(relay, peer)
        await trio.sleep(0.1)
    assert relay.asked < 2 * len(peers)
    relay.says = False
    await trio.sleep(KEPT_S)
    assert [await presence.is_away(relay, peer) for peer in peers] == [True] * 10


async def test_a_peer_that_nobody_sends_to_any_more_is_not_asked_about(autojump_clock):
    """A question is for whom it was asked, once the others were left alone for a while."""
    relay, presence = Relay(says=True), Presence()
    other = AgentRef(BOB.account, "reader")
    await presence.is_away(relay, other)
    await trio.sleep(ALONG_S + KEPT_S)
    await presence.is_away(relay, BOB)
    assert relay.about == [(other,), (BOB,)]


async def test_an_answer_about_fewer_than_were_asked_about_says_nothing(autojump_clock):
    """A relay that leaves somebody out, or adds somebody, is taken to have said nothing."""
    relay, presence = Relay(says=False, answers=3), Presence()
    assert not await presence.is_away(relay, BOB)
