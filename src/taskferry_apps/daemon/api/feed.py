"""The event feed as Server-Sent Events (WHATWG HTML, section 9.2): lines, heartbeats, and a clean end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final

import trio
from quart.wrappers.response import ResponseBody

from ..port import DaemonRefusal
from ..views import EventView
from .answers import event_object
from .body import compact
from .errors import error_object, refusal_for

__all__ = ["HEARTBEAT_S", "FeedBody", "event_lines"]

#: Often enough for proxies and for clients that want to notice a dead connection.
HEARTBEAT_S: Final = 15.0

#: With the place where it begins, so that a client that is cut off before the first event misses nothing.
_GREETING: Final = ": the feed of this daemon\nid: {place}\n\n"
_HEARTBEAT: Final = b": still here\n\n"
_GOODBYE: Final = b": the daemon stops\n\n"


def event_lines(event: EventView) -> bytes:
    """One event. JSON has no line breaks, and kinds are words, so nothing in it can end it early."""
    kind = "".join(character for character in event.kind if character.isalnum() or character in "_-")
    return f"id: {event.id}\nevent: {kind}\ndata: {compact(event_object(event)).decode()}\n\n".encode()


class FeedBody(ResponseBody):
    """A response body that follows the daemon's events until the client goes or the daemon drains.

    `still_known` raises DaemonRefusal once the credential counts no more; nothing is shown after that.
    `place` is the id after which the events begin; `held` is entered while it lasts, and may refuse it.
    """

    def __init__(
        self,
        events: Callable[[], AsyncIterator[EventView]],
        still_known: Callable[[], Awaitable[None]],
        draining: trio.Event,
        heartbeat_s: float = HEARTBEAT_S,
        *,
        place: int = 0,
        held: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._events = events
        self._still_known = still_known
        self._draining = draining
        self._heartbeat_s = heartbeat_s
        self._place = place
        self._held = held
        self._open: AbstractAsyncContextManager[trio.Nursery] | None = None

    async def __aenter__(self) -> AsyncIterable[bytes]:
        """Begin to follow."""
        # No line is fetched before the one ahead was taken: a slow reader costs nothing but its place.
        send, self._receive = trio.open_memory_channel[bytes](0)
        self._open = trio.open_nursery()
        self._nursery = await self._open.__aenter__()
        self._nursery.start_soon(self._until_the_end, send)
        return self._receive

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop following."""
        if self._open is not None:
            self._receive.close()
            self._nursery.cancel_scope.cancel()
            try:
                await self._open.__aexit__(kind, error, trace)
            finally:
                # What passes through this frame would hold it, and be held by it.
                del error, trace
                self._open = None

    async def _until_the_end(self, send: trio.MemorySendChannel[bytes]) -> None:
        async with send:
            try:
                with self._held():
                    await self._serve(send)
            except DaemonRefusal as refused:
                await send.send(_refused(refused))

    async def _serve(self, send: trio.MemorySendChannel[bytes]) -> None:
        await send.send(_GREETING.format(place=self._place).encode())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, send.clone(), nursery.cancel_scope)
            nursery.start_soon(self._tell, send.clone(), nursery.cancel_scope)
            await self._draining.wait()
            nursery.cancel_scope.cancel()
        if self._draining.is_set():
            await send.send(_GOODBYE)

    async def _beat(self, send: trio.MemorySendChannel[bytes], whole: trio.CancelScope) -> None:
        async with send:
            while True:
                await trio.sleep(self._heartbeat_s)
                try:
                    await self._still_known()
                except DaemonRefusal as refused:
                    await send.send(_refused(refused))
                    whole.cancel()
                await send.send(_HEARTBEAT)

    async def _tell(self, send: trio.MemorySendChannel[bytes], whole: trio.CancelScope) -> None:
        async with send:
            events = self._events()
            try:
                async for event in events:
                    await self._still_known()
                    await send.send(event_lines(event))
            except Exception as error:  # noqa: BLE001 - the headers are sent: what fails is told as an event
                await send.send(_refused(refusal_for(error)))
            finally:
                if isinstance(events, AsyncGenerator):
                    with trio.CancelScope(shield=True):
                        await events.aclose()
            whole.cancel()


def _refused(refused: DaemonRefusal) -> bytes:
    return f"event: refused\ndata: {compact(error_object(refused)).decode()}\n\n".encode()
