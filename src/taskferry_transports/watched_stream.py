"""The byte stream under a WebSocket that we dialled, watched for silence and for stuck sends."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from math import inf

import trio

_REFUSAL_BYTES = 65536  # More than any honest refusal page; an endless one must not fill our memory.


class WatchedStream(trio.abc.Stream):
    """The byte stream under a WebSocket, with what trio-websocket lacks.

    Sends end in time, silence can be measured, and half-sent data never survives a cancellation.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        sock: trio.socket.SocketType,
        peer: str,
        send_timeout: float,
    ) -> None:
        self.peer = peer
        self.waiting_since = inf
        """When the running read began. Silence counts only while we listen."""
        self.broken: str | None = None
        self.upgraded = False
        self.ended = trio.Event()
        self._stream = stream
        self._socket = sock
        self._send_timeout = send_timeout
        self._refusal_bytes = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send within the timeout; being cancelled half-way, or late, ends the connection."""
        try:
            with trio.move_on_after(self._send_timeout) as scope:
                await self._stream.send_all(data)
        except trio.Cancelled:
            self.break_off("a send was cancelled half-way")
            raise
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            if not self.upgraded:
                # Nothing is read until the request is out, so the end would be noticed by nobody.
                self.ended.set()
            raise
        if scope.cancelled_caught:
            self.break_off(f"the peer took nothing for {self._send_timeout:g} s")
            raise trio.BrokenResourceError(self.broken)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream below."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Read, noting since when we have been waiting."""
        self.waiting_since = trio.current_time()
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        finally:
            self.waiting_since = inf
        if not data:
            self.ended.set()
        elif not self.upgraded:
            self._refusal_bytes += len(data)
            if self._refusal_bytes > _REFUSAL_BYTES:
                self.break_off("the refusal is endless")
                raise trio.BrokenResourceError(self.broken)
        return bytes(data)

    async def aclose(self) -> None:
        """Close the stream below."""
        self.ended.set()
        with suppress(OSError):
            await self._stream.aclose()

    def break_off(self, reason: str) -> None:
        """End the connection for a reason that our caller will be told. The first reason counts."""
        if self.broken is None and not self.ended.is_set():
            self.broken = reason
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once, without waiting for anything."""
        self.ended.set()
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
