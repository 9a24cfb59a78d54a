"""What a daemon held for a program's request is freed when its connection ends, however it ends."""

from __future__ import annotations

import gc
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing

from taskferry_transports.guarded_server.connection import Connection

ROUNDS = 5


def _made() -> int:
    """How many there are among what was made since the collector stopped: the youngest generation."""
    return sum(isinstance(held, Connection) for held in gc.get_objects(generation=0))


@pytest.mark.parametrize(
    ("first", "body", "answered"),
    [
        ("GET /inbox", "", True),
        ("GET /inbox?wait=60", "", False),
        ("GET /events", "", True),
        ("GET /nowhere", "", True),
        ("POST /messages/send", '{"from": 7}', True),
        ("POST /messages/send", '{"from": ', False),
        ("POST /messages/batch", '{"messages": []}', True),
    ],
)
async def test_no_cycle_keeps_a_request_of_an_agents_program(ferry, first, body, answered):
    """A wait or a feed that is broken off, a refusal, half a body: the cycle collector comes seldom."""
    place = ferry.alice
    port = urlsplit(place.url).port
    size = len(body) + (0 if answered else 9 * bool(body))
    head = (
        f"{first} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {place.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n{body}"
    )

    async def ask() -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(head.encode())
            if answered:
                assert await stream.receive_some(4_096)
            else:
                await trio.testing.wait_all_tasks_blocked(0.05)

    await ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            await ask()
        with trio.fail_after(20):
            while _made():
                await trio.sleep(0.05)
    finally:
        gc.enable()
