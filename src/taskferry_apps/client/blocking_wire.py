"""One daemon over HTTP, for code that blocks: requests and feeds, once each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .address import Address, Way
from .http import FEED_SILENCE_S, OK, away, blocking_http, blocking_watch, closed, headers_of, told_by
from .plans import Channel
from .requests import Answer, Request, refused

__all__ = ["BlockingWire"]


class BlockingWire:
    """The way to a daemon, with a credential that is shown there alone."""

    def __init__(self, address: Address, token: str) -> None:
        self._way = Way(address)
        self._http = blocking_http(self._way, token)

    @property
    def url(self) -> str:
        """The daemon's address; empty while it is not known."""
        return self._way.url

    def close(self) -> None:
        """Close the connections. Calls raise ClientClosed from now on."""
        self._http.close()

    def send(self, request: Request[Any]) -> Answer:
        """Send a request once. Raises DaemonAway, ClientClosed, FileTrouble."""
        with self._answered(request) as answer:
            if request.sink is None or answer.status_code != OK:
                return Answer(answer.status_code, answer.read(), self.url)
            try:
                request.sink.begin()
                for piece in answer.iter_raw():
                    request.sink.write(piece)
                request.sink.finish()
            finally:
                request.sink.abandon()
            return Answer(answer.status_code, b"", self.url)

    @contextmanager
    def stream(self, request: Request[Any]) -> Iterator[httpx.Response]:
        """An answer that is read as it comes. Raises Refused, DaemonAway, ClientClosed."""
        with self._answered(request) as answer:
            if answer.status_code != OK:
                raise refused(Answer(answer.status_code, answer.read(), self.url))
            yield answer

    @contextmanager
    def _answered(self, request: Request[Any]) -> Iterator[httpx.Response]:
        self._check_open()
        url = self._way.find()
        try:
            with self._http.stream(
                request.method,
                url + request.path,
                params=request.query,
                json=request.body,
                headers=headers_of(request),
                timeout=request.patience_s,
                extensions=blocking_watch(self._way, url),
            ) as answer:
                yield answer
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise told_by(url, request, error) from None

    def open(self, request: Request[Any], channel: Channel) -> Answer:
        """Open a feed; the answer has a body only where it was refused. Raises DaemonAway, ClientClosed."""
        self._check_open()
        url = self._way.find()
        try:
            sent = self._http.build_request(
                request.method,
                url + request.path,
                params=request.query,
                timeout=FEED_SILENCE_S,
                extensions=blocking_watch(self._way, url),
            )
            answer = self._http.send(sent, stream=True)
            if answer.status_code != OK:
                try:
                    return Answer(answer.status_code, answer.read(), self.url)
                finally:
                    answer.close()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise away(self.url, error) from None
        channel.stream = (answer, answer.iter_raw())
        return Answer(answer.status_code, b"", self.url)

    def read(self, channel: Channel) -> bytes:
        """The next bytes of a feed, none at its end. Raises DaemonAway, ClientClosed."""
        self._check_open()
        piece = b""
        try:
            piece = next(channel.stream[1], b"")
        except httpx.TransportError as error:
            raise away(self.url, error) from None
        finally:
            if not piece:
                self.drop(channel)
        return piece

    def drop(self, channel: Channel) -> None:
        """Close a feed."""
        if channel.stream is not None:
            held, channel.stream = channel.stream, None
            held[0].close()

    def _check_open(self) -> None:
        if self._http.is_closed:
            raise closed()
