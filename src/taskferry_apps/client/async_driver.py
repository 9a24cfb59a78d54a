"""Does the steps of plans for programs on asyncio or trio: by anyio alone, so that both are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio
import httpx
from anyio import to_thread

from .address import Way
from .attachments import read_files
from .http import FEED_SILENCE_S, OK, async_http, async_watch, away, closed, headers_of, told_by
from .plans import Channel, Clock, Doing, Open, Pause, ReadFeed, ReadFiles, Send, Step, Ties, carried_out
from .requests import Answer, Request, Sink
from .standing import Standing
from .whole import Whole

__all__ = ["AsyncDriver"]

T = TypeVar("T")

#: How long closing may take where the other side does not let go.
_CLOSE_S: Final = 5.0


class AsyncDriver:
    """One daemon, one credential. Use as an asynchronous context manager, or close it.

    Several tasks may call at once; a call that is cancelled leaves the client as it was.
    """

    def __init__(
        self, standing: Standing, ties: Ties, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.ties = ties
        self._way = Way(standing.address)
        self._http = async_http(self._way, standing.token, transport)
        self._under_way: set[anyio.CancelScope] = set()
        self._channels: set[Channel] = set()
        self._last_left: anyio.Event | None = None
        self._is_closed = False

    @property
    def url(self) -> str:
        """The daemon's address; empty while it is not known."""
        return self._way.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the daemon. Calls under way and later ones end with ClientClosed."""
        self._is_closed = True
        with anyio.move_on_after(_CLOSE_S, shield=True):
            if self._under_way:
                self._last_left = anyio.Event()
                for scope in self._under_way:
                    scope.cancel()
                await self._last_left.wait()
            for channel in list(self._channels):
                await self.drop(channel)
            await self._http.aclose()

    async def do(self, doing: Doing[T]) -> T:
        """Carry out a request or a plan. Raises what it raises, DaemonAway, ClientClosed."""
        return await self._through(carried_out(doing, self.ties))

    async def do_once(self, doing: Doing[T]) -> T:
        """The same, with no request sent again."""
        return await self._through(carried_out(doing, Ties(0.0)))

    async def _through(self, plan: Generator[Step, Any, T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    came = await self._under_watch(step)
                except Exception as error:  # noqa: BLE001 - a plan decides on what its steps raise
                    step = plan.throw(error)
                else:
                    step = plan.send(came)
        except StopIteration as ended:
            outcome: T = ended.value
            return outcome
        finally:
            plan.close()

    async def _under_watch(self, step: Step) -> object:
        if self._is_closed:
            raise closed()
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                return await self._did(step)
            finally:
                self._under_way.discard(scope)
                if self._last_left is not None and not self._under_way:
                    self._last_left.set()
        raise closed()

    async def _did(self, step: Step) -> object:
        match step:
            case Send(request):
                return await self._sent(request)
            case Pause(seconds):
                await anyio.sleep(seconds)
                return None
            case Clock():
                return anyio.current_time()
            case ReadFiles(paths):
                return await to_thread.run_sync(read_files, paths)
            case Open(request, channel):
                return await self._opened(request, channel)
            case ReadFeed(channel):
                return await self._read(channel)

    async def _sent(self, request: Request[Any]) -> Answer:
        answer = await self._answered(request, request.patience_s)
        try:
            if request.sink is None or answer.status_code != OK:
                return Answer(answer.status_code, await answer.aread(), self.url)
            pieces = answer.aiter_raw()
            try:
                await _pour(pieces, request.sink)
            finally:
                request.sink.abandon()
                await _let_go(pieces)
            return Answer(answer.status_code, b"", self.url)
        except httpx.TransportError as error:
            raise told_by(self.url, request, error) from None
        finally:
            await _close(answer)

    async def _opened(self, request: Request[Any], channel: Channel) -> Answer:
        answer = await self._answered(request, FEED_SILENCE_S)
        if answer.status_code == OK:
            channel.stream = (answer, answer.aiter_raw())
            self._channels.add(channel)
            return Answer(answer.status_code, b"", self.url)
        try:
            return Answer(answer.status_code, await answer.aread(), self.url)
        except httpx.TransportError as error:
            raise away(self.url, error) from None
        finally:
            await _close(answer)

    async def _answered(self, request: Request[Any], silence_s: float) -> httpx.Response:
        """The head of an answer."""
        url = self._way.find()
        try:
            sent = self._http.build_request(
                request.method,
                url + request.path,
                params=request.query,
                json=request.body,
                headers=headers_of(request),
                timeout=silence_s,
                extensions=async_watch(self._way, url),
            )
            sent.stream = Whole(sent.content)
            return await self._http.send(sent, stream=True)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise told_by(url, request, error) from None

    async def _read(self, channel: Channel) -> bytes:
        piece = b""
        try:
            piece = await anext(channel.stream[1], b"")
        except httpx.TransportError as error:
            raise away(self.url, error) from None
        finally:
            if not piece:
                await self.drop(channel)
        return piece

    async def drop(self, channel: Channel) -> None:
        """Close a feed."""
        self._channels.discard(channel)
        if channel.stream is not None:
            (answer, pieces), channel.stream = channel.stream, None
            await _let_go(pieces)
            await _close(answer)


async def _close(answer: httpx.Response) -> None:
    with anyio.move_on_after(_CLOSE_S, shield=True):
        await answer.aclose()


async def _pour(pieces: AsyncIterator[bytes], sink: Sink) -> None:
    await to_thread.run_sync(sink.begin)
    async for piece in pieces:
        await to_thread.run_sync(sink.write, piece)
    await to_thread.run_sync(sink.finish)


async def _let_go(pieces: AsyncIterator[bytes]) -> None:
    """End a stream that was not read to its end.

    httpx's own closing leaves the generators below it to the garbage collector, of which trio complains. A
    cancelled read ends all of them.
    """
    while True:
        with anyio.CancelScope(shield=True) as scope:
            scope.cancel()
            try:
                if not await anext(pieces, b""):
                    return
            except httpx.TransportError:
                return
        if scope.cancelled_caught:
            return
