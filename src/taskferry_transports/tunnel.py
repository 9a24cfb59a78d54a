"""A way to a host through an HTTP proxy, by CONNECT (RFC 9110 section 9.3.6).

A proxy learns where we go, and nothing that it says is repeated, but for a number.
What runs through the tunnel has TLS of its own.
"""

from __future__ import annotations

import base64
import ssl
from typing import Final

import h11
import httpx
import trio

from taskferry_transports.port import Unreachable, UpgradeRefused
from taskferry_transports.proxies import refused_with
from taskferry_transports.reasons import reason_of

__all__ = ["open_tunnel", "takes_tunnels"]

_TUNNELS: Final = frozenset({"http", "https"})
_PORTS: Final = {"http": 80, "https": 443}
#: All that a proxy may say before the tunnel stands, interim answers included.
_MOST_HEAD: Final = 16_384
_READ_BYTES: Final = 4_096


def takes_tunnels(proxy: str) -> bool:
    """Whether the proxy at this address is one that is asked by CONNECT."""
    return httpx.Proxy(proxy).url.scheme in _TUNNELS


async def open_tunnel(proxy: str, host: str, port: int) -> tuple[trio.abc.Stream, trio.socket.SocketType]:
    """A stream to `host` through the proxy at this address, and the socket under it.

    The caller bounds the time. Raises Unreachable, UpgradeRefused: with neither credentials nor the proxy's
    own words.
    """
    given = httpx.Proxy(proxy)
    place = f"the proxy that is set for {host}"
    tcp = await _connect(given.url, place)
    try:
        stream = await _secure(tcp, given.url, place)
        await _ask(stream, host, port, given.raw_auth, place)
    except BaseException:
        tcp.socket.close()
        raise
    return stream, tcp.socket


async def _connect(url: httpx.URL, place: str) -> trio.SocketStream:
    try:
        return await trio.open_tcp_stream(url.host, url.port or _PORTS[url.scheme])
    except (OSError, ValueError) as error:
        raise Unreachable(f"cannot connect to {place}: {reason_of(error)}") from error


async def _secure(tcp: trio.SocketStream, url: httpx.URL, place: str) -> trio.abc.Stream:
    if url.scheme != "https":
        return tcp
    # By the system's authorities: the ones that are named for the relay are no proxy's.
    context = ssl.create_default_context()
    try:
        secured = trio.SSLStream(tcp, context, server_hostname=url.host, https_compatible=True)
        await secured.do_handshake()
    except (trio.BrokenResourceError, OSError, ValueError) as error:
        raise Unreachable(f"TLS with {place} failed: {error.__cause__ or error}") from error
    return secured


async def _ask(
    stream: trio.abc.Stream, host: str, port: int, auth: tuple[bytes, bytes] | None, place: str
) -> None:
    try:
        await _converse(stream, host, port, auth, place)
    except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
        raise UpgradeRefused(f"{place} closed the connection, or answered with something else") from error


async def _converse(
    stream: trio.abc.Stream, host: str, port: int, auth: tuple[bytes, bytes] | None, place: str
) -> None:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
    await stream.send_all(_request(http, host, port, auth, place))
    taken = 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = bytes(await stream.receive_some(_READ_BYTES))
            taken += len(data)
            if taken > _MOST_HEAD:
                raise UpgradeRefused(f"{place} answers without end")
            http.receive_data(data)
        elif isinstance(event, h11.Response):
            break
        elif not isinstance(event, h11.InformationalResponse):
            raise UpgradeRefused(f"{place} closed the connection instead of answering")
    if not 200 <= event.status_code < 300:
        raise UpgradeRefused(refused_with(place, event.status_code, named=auth is not None))
    if http.trailing_data[0]:
        # Whoever is behind the tunnel waits for our first word: this is somebody else's.
        raise UpgradeRefused(f"{place} says more than that there is a way")


def _request(
    http: h11.Connection, host: str, port: int, auth: tuple[bytes, bytes] | None, place: str
) -> bytes:
    headers: list[tuple[bytes, bytes]] = []
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
        authority = (f"[{name}]:{port}" if ":" in name else f"{name}:{port}").encode("ascii")
        headers.append((b"Host", authority))
        if auth is not None:
            headers.append((b"Proxy-Authorization", b"Basic " + base64.b64encode(b":".join(auth))))
        request = h11.Request(method=b"CONNECT", target=authority, headers=headers)
    except (UnicodeError, h11.LocalProtocolError) as error:
        raise Unreachable(f"no name that {place} could be asked for") from error
    return (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")
