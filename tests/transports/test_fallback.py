"""When the fallback dialer changes its mind, and when it must not."""

from __future__ import annotations

import pytest
import trio

from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.memory import memory_pair
from taskferry_transports.port import DialTimedOut, TlsFailed, Unreachable, UpgradeRefused


class Scripted:
    """A dialer that does what its script says, call by call."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls = 0

    async def dial(self):
        """Raise or return the next entry."""
        await trio.lowlevel.checkpoint()
        self.calls += 1
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def transport():
    """Any transport."""
    return memory_pair().left


@pytest.mark.parametrize(
    "refused",
    [
        UpgradeRefused("400", status=400),
        UpgradeRefused("200", status=200),
        UpgradeRefused("502", status=502),
        UpgradeRefused("closed"),
        DialTimedOut("swallowed", stage="upgrade"),
    ],
)
async def test_refused_upgrade_falls_back_and_says_so(refused):
    """Something answered without a WebSocket: long-poll is dialled, and the change reported once."""
    link = transport()
    told = []
    dialer = FallbackDialer(Scripted(refused), Scripted(link), on_change=lambda *change: told.append(change))
    assert await dialer.dial() is link
    assert dialer.kind == "longpoll"
    assert refused.reason in dialer.reason
    assert told == [("longpoll", dialer.reason)]


@pytest.mark.parametrize(
    "refused",
    [
        Unreachable("down"),
        TlsFailed("certificate"),
        DialTimedOut("no route", stage="connect"),
        UpgradeRefused("busy", status=503, retry_after=5),
        UpgradeRefused("too many", status=429),
    ],
)
async def test_other_failures_do_not_fall_back(refused):
    """Unreachable is unreachable for both, and a busy server is not asked twice."""
    longpoll = Scripted(transport())
    dialer = FallbackDialer(Scripted(refused), longpoll)
    with pytest.raises(type(refused)):
        await dialer.dial()
    assert longpoll.calls == 0
    assert dialer.kind == "websocket"


@pytest.mark.parametrize("refused", [Unreachable("no name"), DialTimedOut("no route", stage="connect")])
async def test_what_is_out_of_reach_is_dialled_by_the_proxy(refused):
    """Where all but a proxy is shut, long-poll goes by the proxy."""
    link = transport()
    dialer = FallbackDialer(Scripted(refused), Scripted(link), apart=True)
    assert await dialer.dial() is link
    assert dialer.kind == "longpoll"


@pytest.mark.parametrize("refused", [TlsFailed("certificate"), UpgradeRefused("busy", status=503)])
async def test_a_proxy_is_no_way_around_a_refusal(refused):
    """A host that was reached and is not trusted, or is busy, is not asked again by another way."""
    longpoll = Scripted(transport())
    with pytest.raises(type(refused)):
        await FallbackDialer(Scripted(refused), longpoll, apart=True).dial()
    assert longpoll.calls == 0


async def test_choice_is_remembered_and_tried_again_later(autojump_clock):
    """Long-poll stays the choice for a while; then WebSocket gets another chance and wins back."""
    told = []
    websocket = Scripted(UpgradeRefused("proxy"), transport())
    longpoll = Scripted(transport(), transport())
    dialer = FallbackDialer(websocket, longpoll, remember=9, on_change=lambda *change: told.append(change[0]))
    await dialer.dial()
    await trio.sleep(8)
    await dialer.dial()
    assert (websocket.calls, longpoll.calls) == (1, 2)
    await trio.sleep(2)
    await dialer.dial()
    assert (websocket.calls, longpoll.calls) == (2, 2)
    assert told == ["longpoll", "websocket"]


async def test_failing_long_poll_is_not_remembered():
    """When long-poll fails, too, the next dial begins with WebSocket again."""
    websocket = Scripted(UpgradeRefused("proxy"), transport())
    dialer = FallbackDialer(websocket, Scripted(Unreachable("down")))
    with pytest.raises(Unreachable):
        await dialer.dial()
    await dialer.dial()
    assert websocket.calls == 2


async def test_a_long_poll_that_does_not_get_through_is_no_choice_any_more():
    """Whoever has moved to another network meanwhile is not kept away for as long as it is remembered."""
    link = transport()
    websocket = Scripted(UpgradeRefused("400", status=400), link)
    dialer = FallbackDialer(websocket, Scripted(transport(), Unreachable("another network")))
    await dialer.dial()
    with pytest.raises(Unreachable):
        await dialer.dial()
    assert websocket.calls == 1
    assert await dialer.dial() is link
    assert dialer.kind == "websocket"
