"""A server on this machine that gives every request the same bytes, whatever they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

DEEP = b"[" * 3_000
#: What the JSON reader, an index, a header or a redirect stumbles over, each in another way.
LIES = {
    "nested": b"HTTP/1.1 201 Created\r\nContent-Length: 3000\r\n\r\n" + DEEP,
    "mailto": b"HTTP/1.1 302 Found\r\nLocation: mailto:x\r\nContent-Length: 0\r\n\r\n",
    "no-name": b"HTTP/1.1 302 Found\r\nLocation: http://xn--a/\r\nContent-Length: 0\r\n\r\n",
}


def said(body: bytes, status: str = "200 OK") -> bytes:
    """An answer with this body."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@asynccontextmanager
async def serving(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """The address of a server that has `serve` for each connection; whoever hangs up has seen enough."""

    async def until_gone(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await serve(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, until_gone, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """The address of a server that gives these answers in turn, and the last one again and again."""
    left = list(answers)

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(left.pop(0) if len(left) > 1 else left[0])
        await stream.aclose()

    async with serving(serve) as url:
        yield url
