"""`/dashboard/live`: tells an open page that something changed, so that it loads itself anew.

A hint says nothing of what changed: the page asks for itself again, and shows what is true then. Hints are
at least half a second apart, however much happens, and come at least twice a minute, so that times such as
"3 min ago" stay right and a page notices that the daemon is gone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from types import TracebackType
from typing import Final, cast

import trio
from quart import Response, request
from quart.wrappers.response import ResponseBody

from taskferry_transports.guarded_server import DRAINING_STATE

from ..port import DaemonRefusal
from .desk import Desk
from .page import Needs, Page

__all__ = ["LiveBody", "Streams", "live_page"]

PAUSE_S: Final = 0.5
LOOK_AGAIN_S: Final = 25.0
#: More open pages than one owner looks at.
MOST_OPEN: Final = 64
_GREETING: Final = b"retry: 2000\nevent: open\ndata: .\n\n"
_HINT: Final = b"event: changed\ndata: .\n\n"
_TICK: Final = b"event: tick\ndata: .\n\n"
_SIGNED_OUT: Final = b"event: signed-out\ndata: .\n\n"


class Streams:
    """How many pages follow."""

    def __init__(self) -> None:
        self.open = 0


class LiveBody(ResponseBody):
    """Hints until the browser goes, its session ends, or the daemon stops.

    `news` gives an event that the next change sets, `is_old` says whether there were changes since the page
    was made, `is_known` whether the session still counts; `streams` counts this one while it is sent.
    """

    def __init__(
        self,
        news: Callable[[], trio.Event],
        is_old: Callable[[], bool],
        is_known: Callable[[], bool],
        draining: trio.Event,
        streams: Streams,
    ) -> None:
        self._news = news
        self._is_old = is_old
        self._is_known = is_known
        self._draining = draining
        self._streams = streams
        self._open: AsyncGenerator[bytes, None] | None = None

    async def __aenter__(self) -> AsyncIterable[bytes]:
        """Begin. A browser that has gone before was never counted, and nobody would take it off again."""
        self._streams.open += 1
        self._open = self._hints()
        return self._open

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        self._streams.open -= 1
        if self._open is not None:
            with trio.CancelScope(shield=True):
                await self._open.aclose()

    async def _hints(self) -> AsyncGenerator[bytes, None]:
        # Taken before looking whether the page is old: no change in between is missed.
        news = self._news()
        yield _GREETING
        if self._is_old():
            yield _HINT
            await _either(self._draining, self._draining, PAUSE_S)
        while not self._draining.is_set():
            await _either(news, self._draining, LOOK_AGAIN_S)
            changed, news = news.is_set(), self._news() if news.is_set() else news
            if not self._is_known():
                yield _SIGNED_OUT
                return
            yield _HINT if changed else _TICK
            await _either(self._draining, self._draining, PAUSE_S)


async def _either(one: trio.Event, other: trio.Event, seconds: float) -> None:
    """Wait until one of both is set, but no longer than that."""

    async def watch(event: trio.Event) -> None:
        await event.wait()
        nursery.cancel_scope.cancel()

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, one)
            nursery.start_soon(watch, other)


def live_page() -> Page:
    """The page, which counts who follows it."""
    streams = Streams()

    async def live(desk: Desk) -> Response:
        visitor = await desk.visit()
        if streams.open >= MOST_OPEN:
            raise DaemonRefusal(
                "too-many-requests",
                "Too many pages are open.",
                "Close some, then load this one again.",
                status=429,
            )
        browsers = desk.daemon.browsers
        seen = request.args.get("as_of", "")
        body = LiveBody(
            lambda: browsers.news,
            lambda: seen != "" and seen != str(browsers.changes),
            lambda: browsers.session(visitor.secret) is not None,
            _draining(),
            streams,
        )
        response = Response(body, content_type="text/event-stream; charset=utf-8")
        response.timeout = None
        return response

    return Page("GET", "/dashboard/live", live, Needs.NOTHING)


def _draining() -> trio.Event:
    state = cast(dict[str, trio.Event], request.scope.get("state") or {})
    return state[DRAINING_STATE] if DRAINING_STATE in state else trio.Event()
