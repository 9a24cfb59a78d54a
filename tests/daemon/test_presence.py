"""Whether a peer is there is a hint: asking for it takes nothing from what a daemon has to look up."""

from __future__ import annotations

import attrs
import pytest
import trio

from taskferry_apps.daemon.presence import KEPT_S, PRESENCE_S, Presence
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

    async def call(self, request):
        """Answer."""
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.says is None:
            await trio.sleep_forever()
        if isinstance(self.says, Refusal):
            raise CallRefused(self.says)
        return calls.PresenceFound((self.says,))


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
