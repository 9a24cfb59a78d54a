"""A link that polls is exchanged for a WebSocket once one gets through, and nothing is lost by it."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.longpoll_client import LongPollTransport
from taskferry_transports.memory import memory_pair
from taskferry_transports.port import DialTimedOut, Liveness, Unreachable, UpgradeRefused
from taskferry_transports.websocket_again import LONGEST_PAUSE_S, WebSocketAgain
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings, WebSocketTransport

from .lying_server import serving
from .pairs import longpoll, running, websocket
from .raw import GUARD, make_app

HOUR = 3_600.0


def in_days(test):
    """Run a test whose days pass as soon as nothing else happens; three of them are its deadline."""

    async def limited():
        with trio.fail_after(72 * HOUR):
            await test()

    @functools.wraps(test)
    def run():
        trio.run(limited, clock=trio.testing.MockClock(autojump_threshold=0))

    return run


class Polled:
    """A link that polls, as far as it is left."""

    kind = "longpoll"

    def __init__(self) -> None:
        self.over = trio.Event()
        self.quiet = trio.Event()
        self.quiet.set()
        self.reasons: list[str] = []

    async def wait_quiet(self):
        """Until the test says so."""
        await self.quiet.wait()

    async def leave(self, reason):
        """End."""
        self.reasons.append(reason)
        self.over.set()


class Tried:
    """Dials of a WebSocket: each has the next outcome, and the last one again and again."""

    def __init__(self, *outcomes):
        self.left = list(outcomes)
        self.at: list[float] = []

    async def __call__(self):
        """One dial."""
        self.at.append(trio.current_time())
        outcome = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Dials:
    """A dialer that gives what it was given."""

    def __init__(self, outcome):
        self.outcome = outcome

    async def dial(self):
        """Once and again."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def a_websocket():
    """A transport that a test can tell from others."""
    return memory_pair(liveness=Liveness()).left


@in_days
async def test_after_a_quarter_of_an_hour_a_websocket_takes_the_place_of_polling():
    """The link is told why it ends, and the next dial is answered with what stands already."""
    link: Any = Polled()
    standing = a_websocket()
    async with trio.open_nursery() as nursery:
        again = WebSocketAgain(nursery, Tried(standing), network=lambda: "here")
        dialer = FallbackDialer(
            Dials(UpgradeRefused("403", status=403)), Dials(link), network=lambda: "here", again=again
        )
        began = trio.current_time()
        assert [await dialer.dial(), dialer.kind] == [link, "longpoll"]
        await link.over.wait()
        assert trio.current_time() - began == pytest.approx(900)
        assert link.reasons == ["a WebSocket gets through now"]
        assert again.stands
        assert [await dialer.dial(), dialer.kind] == [standing, "websocket"]
        assert again.take() is None
        nursery.cancel_scope.cancel()


@in_days
async def test_it_is_tried_less_and_less_often_where_none_gets_through():
    """Within a day a handful of times: somebody pays for each."""
    tried = Tried(UpgradeRefused("403", status=403))
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        WebSocketAgain(nursery, tried, network=lambda: "here").look_beside(Polled())
        await trio.sleep(24 * HOUR)
        nursery.cancel_scope.cancel()
    waits = [after - before for before, after in zip([began, *tried.at], tried.at, strict=False)]
    assert waits[:5] == pytest.approx([900, 1_800, 3_600, 7_200, 14_400])
    assert set(map(round, waits[5:])) == {round(LONGEST_PAUSE_S)}


@in_days
async def test_in_another_network_it_is_tried_within_a_minute():
    """A link that polls lives on when its machine moves, as each request is a new connection."""
    here, tried = ["the office"], Tried(UpgradeRefused("403"), UpgradeRefused("403"), a_websocket())
    link = Polled()
    async with trio.open_nursery() as nursery:
        WebSocketAgain(nursery, tried, network=lambda: here[0]).look_beside(link)
        await trio.sleep(HOUR)
        assert len(tried.at) == 2
        moved = trio.current_time()
        here[0] = "home"
        await link.over.wait()
        assert tried.at[-1] - moved <= 60
        nursery.cancel_scope.cancel()


@in_days
async def test_a_link_that_is_over_is_tried_beside_no_more():
    """Also where it ends while one is dialled: that one is closed, and not kept for nobody."""
    link, late = Polled(), a_websocket()

    async def tried():
        link.over.set()
        return late

    async with trio.open_nursery() as nursery:
        again = WebSocketAgain(nursery, tried, network=lambda: "here")
        again.look_beside(link)
        await trio.sleep(24 * HOUR)
        assert not again.stands
        assert not link.reasons
        with pytest.raises(trio.ClosedResourceError):
            await late.send(b"x")
        over, never = Polled(), Tried(Unreachable("never"))
        over.over.set()
        WebSocketAgain(nursery, never).look_beside(over)
        await trio.sleep(24 * HOUR)
        assert never.at == []


@in_days
async def test_it_waits_for_a_quiet_moment_and_not_for_ever():
    """Whoever was asked something is to answer first; some links are never quiet."""
    link, tried = Polled(), Tried(a_websocket())
    link.quiet = trio.Event()
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        WebSocketAgain(nursery, tried, network=lambda: "here").look_beside(link)
        await link.over.wait()
        assert tried.at[0] - began == pytest.approx(930)
        nursery.cancel_scope.cancel()


@in_days
async def test_what_is_asked_while_one_is_dialled_is_answered_before_the_link_is_left():
    """A dial takes seconds; but no longer than the relay keeps a link on which nothing is said."""
    for answered, leaves in ((1.0, 1.0), (60.0, 2.0)):
        link, stood = Polled(), trio.Event()

        async def tried(link=link, stood=stood):
            await trio.sleep(5)
            link.quiet = trio.Event()
            stood.set()
            return a_websocket()

        async def answer(link=link, stood=stood, answered=answered):
            await stood.wait()
            await trio.sleep(answered)
            link.quiet.set()

        async with trio.open_nursery() as nursery:
            again = WebSocketAgain(nursery, tried, network=lambda: "here")
            again.look_beside(link)
            nursery.start_soon(answer)
            await stood.wait()
            stands_since = trio.current_time()
            await link.over.wait()
            assert trio.current_time() - stands_since == pytest.approx(leaves)
            assert again.stands
            nursery.cancel_scope.cancel()


@in_days
async def test_whoever_moves_in_the_midst_of_a_try_tries_anew():
    """It was made from neither network; and whoever moves all the time tries once a minute, no more."""
    at: list[float] = []

    async def tried():
        at.append(trio.current_time())
        raise Unreachable("the cable is out")

    async with trio.open_nursery() as nursery:
        WebSocketAgain(nursery, tried, network=lambda: len(at) if len(at) < 20 else 20).look_beside(Polled())
        await trio.sleep(HOUR)
        nursery.cancel_scope.cancel()
    assert at[0] == pytest.approx(900)
    assert [round(after - before) for before, after in pairwise(at[:22])] == [60] * 20 + [900]


@in_days
async def test_links_that_began_together_do_not_try_together():
    """Whom a relay lost at once would all be back at once for ever."""
    numbers, tried = iter([0.0, 0.5, 1.0, 0.0]), Tried(Unreachable("no"))
    async with trio.open_nursery() as nursery:
        WebSocketAgain(nursery, tried, network=lambda: "here", jitter=lambda: next(numbers)).look_beside(
            Polled()
        )
        await trio.sleep(900 + 2_250 + 5_400 + 1)
        nursery.cancel_scope.cancel()
    assert tried.at == pytest.approx([900, 900 + 2_250, 900 + 2_250 + 5_400])


@in_days
async def test_one_that_nobody_takes_is_closed():
    """The relay would end it anyway."""
    link, standing = Polled(), a_websocket()
    async with trio.open_nursery() as nursery:
        again = WebSocketAgain(nursery, Tried(standing), network=lambda: "here")
        again.look_beside(link)
    assert not again.stands
    with pytest.raises(trio.ClosedResourceError):
        await standing.send(b"x")


async def test_a_link_that_is_left_loses_nothing_that_was_said():
    """What was sent before is posted; what has come is taken first; then the reason is told."""
    async with longpoll(Liveness()) as pair:
        assert isinstance(pair.near, LongPollTransport)
        await pair.far.send(b"one", b"two")
        assert await pair.near.receive() == b"one"
        await pair.near.wait_quiet()
        await pair.near.send(b"three", b"four")
        await pair.near.leave("another one stands")
        assert [await pair.far.receive(), await pair.far.receive()] == [b"three", b"four"]
        with pytest.raises(trio.EndOfChannel):
            await pair.far.receive()
        assert await pair.near.receive() == b"two"
        with pytest.raises(trio.BrokenResourceError, match="another one stands"):
            await pair.near.receive()
        with pytest.raises(trio.ClosedResourceError):
            await pair.near.send(b"five")
        await pair.near.over.wait()


async def test_a_link_is_quiet_once_nothing_has_come_or_gone_for_a_second():
    """Each frame, either way, begins the second anew."""
    async with longpoll(Liveness()) as pair:
        assert isinstance(pair.near, LongPollTransport)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.near.wait_quiet)
            for number in range(3):
                with trio.move_on_after(0.6):
                    await trio.sleep_forever()
                await (pair.far if number % 2 else pair.near).send(b"something")
        assert trio.current_time() - began >= 1.8 + 0.9


async def test_a_websocket_that_is_tried_has_carried_a_ping():
    """It works like any other afterwards."""
    async with running(make_app(), GUARD) as bound, trio.open_nursery() as nursery:
        transport = await WebSocketDialer(
            nursery, WebSocketSettings(f"ws://127.0.0.1:{bound.port}/echo")
        ).dial_tried()
        await transport.send(b"and back")
        assert await transport.receive() == b"and back"
        await transport.aclose()
    async with websocket(Liveness()) as pair:
        assert isinstance(pair.near, WebSocketTransport)
        pair.freeze()
        with trio.move_on_after(0.2) as waited:
            await pair.near.is_answered()
        assert waited.cancelled_caught
        await pair.vanish()
        assert not await pair.near.is_answered()


async def test_an_upgrade_after_which_nothing_comes_is_none(leaping_clock):
    """Some proxies pass it on, and hold back what follows."""
    async with running(make_app(), GUARD) as bound:

        async def passes_the_head(stream):
            async with await trio.open_tcp_stream("127.0.0.1", bound.port) as behind:
                await behind.send_all(await stream.receive_some(65_536))
                await stream.send_all(await behind.receive_some(65_536))
                await trio.sleep_forever()

        async with serving(passes_the_head) as url, trio.open_nursery() as nursery:
            dialer = WebSocketDialer(nursery, WebSocketSettings(f"{url.replace('http', 'ws')}/echo"))
            with pytest.raises(DialTimedOut, match="nothing came after it"):
                await dialer.dial_tried()
            nursery.cancel_scope.cancel()
