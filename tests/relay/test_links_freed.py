"""What a link held is freed when it ends, however it ends: a relay seeks cycles seldom."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trio

from taskferry_apps import system
from taskferry_apps.relay import core
from taskferry_apps.relay.link import Link
from taskferry_apps.relay_client import LinkEnded, RelayClient
from taskferry_protocol.limits import DEAD_AFTER_MS
from taskferry_transports.guarded_server.connection import Connection

from .people import Person, person
from .process import session_at
from .test_ops_pages import served

ROUNDS = 5
#: On a busy machine a goodbye may be cut off; the relay waits for such a link until it has been silent.
PATIENCE_S = DEAD_AFTER_MS / 1000 + 30


async def _leaves(client: RelayClient, scope: trio.CancelScope) -> None:
    """Say goodbye."""


async def _vanishes(client: RelayClient, scope: trio.CancelScope) -> None:
    """Be gone in the midst of everything."""
    scope.cancel()


async def _breaks(client: RelayClient, scope: trio.CancelScope) -> None:
    """Send what is no frame."""
    await client._transport.send(b"no frame")
    with suppress(LinkEnded):
        await client.deliveries()


@contextmanager
def _without_collector() -> Iterator[None]:
    """What is made in the block stays in the youngest generation, apart from all that was there before."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _made(*kinds: type) -> int:
    """How many of these kinds the block has made that something still holds."""
    return sum(isinstance(held, kinds) for held in gc.get_objects(generation=0))


async def _round(
    url: str,
    who: Person,
    end: Callable[[RelayClient, trio.CancelScope], Awaitable[None]],
    longpoll: bool,
) -> None:
    with trio.CancelScope() as scope, suppress(LinkEnded):
        async with session_at(url, who, longpoll=longpoll) as client:
            await end(client, scope)
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("longpoll", [False, True])
@pytest.mark.parametrize("end", [_leaves, _vanishes, _breaks])
async def test_a_link_that_has_ended_is_held_by_nothing(tmp_path, monkeypatch, end, longpoll):
    """No cycle keeps it, which would hold some 140 objects until the collector comes to what is old; and the
    clock that goes round all links does not hold on to the last one.
    """
    monkeypatch.setattr(core, "CLOCK_S", 0.005)
    who = person("alice", 1, system.now())
    async with served(tmp_path) as site:
        await _round(site.url, who, end, longpoll)
        with _without_collector():
            for _ in range(ROUNDS):
                await _round(site.url, who, end, longpoll)
            with trio.fail_after(PATIENCE_S):
                while _made(Link, Connection):
                    await trio.sleep(0.05)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", True),
        (b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", True),
        (b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc", True),
        (b"POST /v1/link HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc", False),
        (b"GET /health HTTP/1.1\r\nHo", False),
        (b"\x00\x01\x02\r\n\r\n", True),
        (b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", True),
    ],
)
async def test_a_request_that_is_over_is_held_by_nothing(tmp_path, sent, answered):
    """Answered, refused, broken off or not to be read: whoever sends many costs no memory afterwards."""
    async with served(tmp_path) as site:
        port = int(site.url.rpartition(":")[2])

        async def ask() -> None:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(sent)
                if answered:
                    assert await stream.receive_some(4_096)

        await ask()
        with _without_collector():
            for _ in range(ROUNDS):
                await ask()
            with trio.fail_after(PATIENCE_S):
                while _made(Connection):
                    await trio.sleep(0.05)
