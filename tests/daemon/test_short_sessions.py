"""Sessions for a question or two: how long their caller waits for the relay."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.route import Route
from taskferry_apps.daemon.short_sessions import DIAL_S, PATIENCE_S, short_session
from taskferry_apps.relay_client import Identity, LinkEnded
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.recovery import VISITOR
from taskferry_protocol.sessions import LogExtension
from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.memory import memory_pair
from taskferry_transports.port import DialTimedOut, Transport


class Swallowed:
    """A network that takes what asks for a WebSocket, and answers nothing."""

    async def dial(self) -> Transport:
        """Patience, and then none."""
        await trio.sleep(15.0)
        raise DialTimedOut("nothing came", stage="upgrade")


class Polled:
    """Long-poll, to a relay that says nothing."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.dialled = False

    async def dial(self) -> Transport:
        """A link, after a while."""
        await trio.sleep(self.takes_s)
        self.dialled = True
        return memory_pair().left


async def _waited(longpoll: Polled) -> float:
    """For how long a session is waited for that does not come to be."""
    route = Route(FallbackDialer(Swallowed(), longpoll), "wss://relay.example:443")
    identity = Identity(VISITOR, SigningKey.from_seed(bytes(32)))
    began = trio.current_time()
    with pytest.raises(LinkEnded):
        async with short_session(route, identity, LogExtension(), system.now, system.entropy):
            pass
    return trio.current_time() - began


async def test_a_network_that_swallows_upgrades_keeps_nobody_from_polling(autojump_clock):
    """Recovery, which asks in such a session, would not work there at all."""
    longpoll = Polled(takes_s=2.0)
    assert await _waited(longpoll) == pytest.approx(17.0 + PATIENCE_S, abs=2.0)
    assert longpoll.dialled


async def test_a_relay_that_is_not_reached_is_given_up(autojump_clock):
    """Its owner sits there and waits."""
    longpoll = Polled(takes_s=600.0)
    assert await _waited(longpoll) == pytest.approx(DIAL_S, abs=2.0)
    assert not longpoll.dialled
