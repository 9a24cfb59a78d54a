"""Attacks by whoever can reach the relay's port and has proved nothing."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence

import trio

from tests.floods.cast import session
from tests.floods.wire import Target, Tell, get, heard, opened, upgraded, why
from tests.relay.people import person
from tests.transports.raw import frame

__all__ = ["ATTACKS"]

#: How long a connection is waited for that the server has to end: longer than its longest deadline of 30 s.
PATIENCE_S = 40.0
_HOST = "Host: relay"
_MIB = 1_048_576


async def _drip(stream: trio.SocketStream, tell: Tell, first: bytes, drop: bytes) -> None:
    """Send something, then a byte a second until the server has had enough."""
    async with stream, trio.open_nursery() as both:
        both.start_soon(_hear, stream, tell, both.cancel_scope)
        try:
            await stream.send_all(first)
            while True:
                await trio.sleep(1)
                await stream.send_all(drop)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.sleep(0.5)


async def _hear(stream: trio.SocketStream, tell: Tell, scope: trio.CancelScope) -> None:
    tell(await heard(stream, PATIENCE_S))
    scope.cancel()


async def slow_headers(target: Target, tell: Tell) -> None:
    """A header of which a byte comes each second."""
    while True:
        stream = await opened(target, "127.0.0.2")
        await _drip(stream, tell, b"GET / HTTP/1.1\r\nHost: relay\r\nX-Slow: ", b"a")


async def slow_body(target: Target, tell: Tell) -> None:
    """A body of which a byte comes each second."""
    head = b"POST /v1/meetings/x HTTP/1.1\r\nHost: relay\r\nContent-Length: 2000\r\n\r\n"
    while True:
        await _drip(await opened(target, "127.0.0.2"), tell, head, b" ")


async def slow_frame(target: Target, tell: Tell) -> None:
    """A WebSocket frame of which a byte comes each second."""
    while True:
        await _drip(await upgraded(target, "127.0.0.3"), tell, frame(b"", claimed=60_000), b"a")


async def half_frame(target: Target, tell: Tell) -> None:
    """Almost all of a large frame, and never the rest."""
    while True:
        async with await upgraded(target, "127.0.0.4") as stream:
            try:
                await stream.send_all(frame(bytes(_MIB - 1_000), claimed=_MIB))
            except trio.BrokenResourceError:
                tell("hung up")
                await trio.sleep(1)
                continue
            tell(await heard(stream, PATIENCE_S))


async def giant_frame(target: Target, tell: Tell) -> None:
    """A frame that claims to be a tebibyte, as fast as it goes.

    From an address of its own: at one that has many half frames under way it would be turned away for those.
    """
    while True:
        async with await upgraded(target, "127.0.0.14") as stream:
            try:
                await stream.send_all(frame(b"", claimed=1 << 40))
                for _ in range(64):
                    await stream.send_all(bytes(65_536))
            except trio.BrokenResourceError:
                pass
            tell(await heard(stream, PATIENCE_S))
        await trio.sleep(0.5)


async def compressed_frame(target: Target, tell: Tell) -> None:
    """A frame that says that it is compressed, which nobody agreed on."""
    while True:
        offer = "Sec-WebSocket-Extensions: permessage-deflate"
        async with await upgraded(target, "127.0.0.4", offer) as stream:
            await stream.send_all(frame(b"\xec\xc1\x01\x01" * 64, first=0xC2))
            tell(await heard(stream, PATIENCE_S))
        await trio.sleep(0.2)


async def compressed_body(target: Target, tell: Tell) -> None:
    """A body that says that it is compressed."""
    lines = ["POST /v1/signup HTTP/1.1", _HOST, "Content-Type: application/json", "Content-Encoding: gzip"]
    while True:
        async with await opened(target, "127.0.0.5") as stream:
            tell(await get(stream, lines, b"\x1f\x8b\x08" + bytes(2_000)))
        await trio.sleep(0.2)


async def many_connections(target: Target, tell: Tell) -> None:
    """Ever more connections of one address that say nothing."""
    async with trio.open_nursery() as held:

        async def one() -> None:
            try:
                async with await opened(target, "127.0.0.6") as stream:
                    tell(await heard(stream, PATIENCE_S))
            except OSError:
                tell("refused")

        while True:
            held.start_soon(one)
            await trio.sleep(0.02)


async def forged_addresses(target: Target, tell: Tell) -> None:
    """The same, each saying that a proxy had it from another address."""
    async with trio.open_nursery() as held:

        async def one(number: int) -> None:
            forged = f"X-Forwarded-For: 198.51.100.{number % 256}"
            try:
                async with await upgraded(target, "127.0.0.7", forged) as stream:
                    tell(await heard(stream, PATIENCE_S))
            except trio.BrokenResourceError as refused:
                tell(str(refused) or "hung up")
            except OSError:
                tell("hung up")

        for number in itertools.count():
            held.start_soon(one, number)
            await trio.sleep(0.05)


async def deaf_reader(target: Target, tell: Tell) -> None:
    """Asks for page after page and reads nothing."""
    request = f"GET /status HTTP/1.1\r\n{_HOST}\r\n\r\n".encode()
    while True:
        async with await opened(target, "127.0.0.8") as stream:
            with trio.move_on_after(PATIENCE_S):
                try:
                    while True:
                        await stream.send_all(request * 16)
                        await trio.sleep(0.05)
                except trio.BrokenResourceError:
                    tell("hung up")
                    continue
            tell("held back")


_PATHS: Sequence[tuple[str, str]] = (
    ("GET", "/invite/{0}"),
    ("GET", "/{0}"),
    ("GET", "/v1/signup/{0}"),
    ("GET", "/ops/sign-in?ticket={0}"),
    ("POST", "/v1/meetings/{0}/join"),
    ("POST", "/v1/link/exchange"),
    ("GET", "/v1/meetings/{0}?after=0&wait=0"),
    ("GET", "/community?q={0}"),
)


async def distinct_ids(target: Target, tell: Tell) -> None:
    """Codes, tokens and paths that were never given out, another each time, as fast as answers come."""
    while True:
        try:
            async with await opened(target, "127.0.0.9") as stream:
                for method, path in itertools.cycle(_PATHS):
                    secret = secrets.token_urlsafe(16)
                    lines = [f"{method} {path.format(secret)} HTTP/1.1", _HOST, f"TaskFerry-Link: {secret}"]
                    tell(
                        await get(
                            stream, [*lines, "TaskFerry-Offsets: 0 0"], b"" if method == "GET" else b"x"
                        )
                    )
        except (OSError, trio.BrokenResourceError):
            tell("hung up")


async def sign_ups(target: Target, tell: Tell) -> None:
    """New accounts, one after another, of one address behind the operator's proxy."""
    for number in itertools.count():
        who = person(f"new-{secrets.token_hex(6)}", secrets.randbits(60), target.began)  # type: ignore[arg-type]
        try:
            async with session(target.url, who, from_address=f"203.0.113.{number % 4}"):
                tell("joined")
        except* Exception as failed:  # noqa: BLE001 - whatever ends an attack is an outcome
            tell(why(failed))
        await trio.sleep(0.05)


async def longpoll_links(target: Target, tell: Tell) -> None:
    """Links over long-poll that nobody asks anything on."""
    lines = ["POST /v1/link/open HTTP/1.1", _HOST, "TaskFerry-Protocol: taskferry.1"]
    while True:
        try:
            async with await opened(target, "127.0.0.10") as stream:
                while True:
                    answer = await get(stream, lines, b"x")
                    tell("opened" if answer == "HTTP 201" else answer)
                    await trio.sleep(0.02)
        except (OSError, trio.BrokenResourceError):
            tell("hung up")


ATTACKS = (
    (slow_headers, 24),
    (slow_body, 24),
    (slow_frame, 24),
    (half_frame, 16),
    (giant_frame, 2),
    (compressed_frame, 1),
    (compressed_body, 1),
    (many_connections, 1),
    (forged_addresses, 1),
    (deaf_reader, 8),
    (distinct_ids, 4),
    (sign_ups, 1),
    (longpoll_links, 1),
)
"""Each attack, and how many do it at once."""
