"""What a link held is freed when it ends, however it ends: a relay seeks cycles seldom."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

from taskferry_apps import system
from taskferry_apps.relay.link import Link
from taskferry_apps.relay_client import LinkEnded, RelayClient
from taskferry_transports.guarded_server.connection import Connection

from .people import Person, person
from .process import session_at
from .test_ops_pages import served

ROUNDS = 5


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
async def test_a_link_that_has_ended_is_held_by_nothing(tmp_path, end, longpoll):
    """No cycle keeps it: each would hold some 15 KiB until the collector comes to what is old."""
    who = person("alice", 1, system.now())
    async with served(tmp_path) as site:
        await _round(site.url, who, end, longpoll)
        gc.collect()
        before = _held(Connection)
        gc.disable()
        try:
            for _ in range(ROUNDS):
                await _round(site.url, who, end, longpoll)
            with trio.fail_after(20):
                while _held(Link) or _held(Connection) > before:
                    await trio.sleep(0.05)
        finally:
            gc.enable()
