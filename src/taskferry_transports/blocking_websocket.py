"""The dialling side of a WebSocket for plain code: blocking, without an event loop, quick to import.

For programs on this machine that start often and do little, such as the pipe between an agent's host and its
daemon. One thread may send while another receives; neither may be two.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

__all__ = ["BlockingWebSocket", "CannotDial", "DialRejected", "Ended"]

_READ_BYTES: Final = 65_536
_DIAL_S: Final = 5.0
#: The other side may first have to import what serves us.
_UPGRADE_S: Final = 70.0
_CLOSE_S: Final = 1.0
_MOST_REFUSAL: Final = 65_536


class CannotDial(Exception):
    """Nothing listens there, or what listens is no WebSocket server."""


class DialRejected(Exception):
    """The server answered the upgrade with an HTTP `status` and a `body`."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.body = body


class Ended(Exception):
    """The connection is over; `code` is what the other side closed it with, 1006 if it just went."""

    def __init__(self, code: int = 1006) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class BlockingWebSocket:
    """One connection to `http://host[:port]` at `path`. Dials when it is made.

    Messages of more than `most` bytes from there end it. `check` is called once it stands and before anything
    is sent; what it raises ends it. Raises CannotDial, DialRejected.
    """

    def __init__(
        self,
        url: str,
        path: str,
        headers: Mapping[str, str],
        most: int,
        check: Callable[[], None] | None = None,
    ) -> None:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port or 80
        except ValueError:
            host, port = None, 0
        if parts.scheme != "http" or host is None:
            raise CannotDial(f"{url} is no http:// address.")
        self._most = most
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._writing = threading.Lock()
        self._text: list[str] = []
        self._bytes = bytearray()
        self._held = 0
        try:
            self._socket = socket.create_connection((host, port), _DIAL_S)
        except OSError as error:
            raise CannotDial(f"Nothing answers at {url}: {error.strerror or error}.") from None
        try:
            if check is not None:
                check()
            self._upgrade(parts.netloc, path, headers)
        except BaseException:
            self._socket.close()
            raise

    def _upgrade(self, host: str, path: str, headers: Mapping[str, str]) -> None:
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(_UPGRADE_S)
        status, body = 0, bytearray()
        try:
            self._socket.sendall(self._ws.send(Request(host=host, target=path, extra_headers=extra)))
            while True:
                self._ws.receive_data(self._socket.recv(_READ_BYTES) or None)
                for event in self._ws.events():
                    match event:
                        case AcceptConnection():
                            self._socket.settimeout(None)
                            return
                        case RejectConnection(status_code=status, has_body=has_body):
                            if not has_body:
                                raise DialRejected(status, b"")
                        case RejectData(data=data, body_finished=finished):
                            body += data
                            if finished or len(body) > _MOST_REFUSAL:
                                raise DialRejected(status, bytes(body))
                        case CloseConnection():
                            raise CannotDial("The connection ended before it was upgraded.")
                        case _:
                            pass
        except (RemoteProtocolError, LocalProtocolError, OSError) as error:
            raise CannotDial(f"What answers there is no TaskFerry daemon: {error}.") from None

    def send(self, message: str | bytes) -> None:
        """Send one message. Raises Ended."""
        self._put(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    def receive(self) -> str | bytes:
        """Wait for the next whole message. Raises Ended."""
        while True:
            whole = self._next()
            if whole is not None:
                return whole
            try:
                raw = self._socket.recv(_READ_BYTES)
                self._ws.receive_data(raw or None)
            except (OSError, RemoteProtocolError, LocalProtocolError):
                raise Ended from None

    def _next(self) -> str | bytes | None:
        for event in self._ws.events():
            match event:
                case TextMessage(data=text, message_finished=finished):
                    self._hold(len(text))
                    self._text.append(text)
                    if finished:
                        whole, self._text, self._held = "".join(self._text), [], 0
                        return whole
                case BytesMessage(data=data, message_finished=finished):
                    self._hold(len(data))
                    self._bytes += data
                    if finished:
                        raw, self._bytes, self._held = bytes(self._bytes), bytearray(), 0
                        return raw
                case Ping():
                    self._put(event.response())
                case CloseConnection(code=code):
                    raise Ended(int(code))
                case _:
                    pass
        return None

    def _hold(self, more: int) -> None:
        self._held += more
        if self._held > self._most:
            self.close()
            raise Ended(1009)

    def _put(self, event: Event) -> None:
        with self._writing:
            try:
                self._socket.sendall(self._ws.send(event))
            except (OSError, LocalProtocolError):
                raise Ended from None

    def close(self) -> None:
        """Say goodbye and end; whoever sends or receives is told. Never raises, and waits for nobody long."""
        # Whoever is in the middle of sending to a server that takes nothing would keep this for ever.
        if self._writing.acquire(timeout=_CLOSE_S):
            try:
                self._socket.settimeout(_CLOSE_S)
                self._socket.sendall(self._ws.send(CloseConnection(code=1000)))
            except (OSError, LocalProtocolError):
                pass
            finally:
                self._writing.release()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
