"""What a link held is freed when it ends, however it ends: a relay seeks cycles seldom."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress

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


def _held(kind: type) -> int:
    """How many of a kind there are, whoever holds them."""
    return sum(isinstance(held, kind) for held in gc.get_objects())


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
        gc.collect()
        before = _held(Connection)
        gc.disable()
        try:
            for _ in range(ROUNDS):
                await _round(site.url, who, end, longpoll)
            with trio.fail_after(PATIENCE_S):
                while _held(Link) or _held(Connection) > before:
                    await trio.sleep(0.05)
        finally:
            gc.enable()


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
        gc.collect()
        before = _held(Connection)
        gc.disable()
        try:
            for _ in range(ROUNDS):
                await ask()
            with trio.fail_after(PATIENCE_S):
                while _held(Connection) > before:
                    await trio.sleep(0.05)
        finally:
            gc.enable()
