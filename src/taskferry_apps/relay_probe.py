"""Reaching a relay as daemons do, to see whether they would: a short session of nobody."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.recovery import VISITOR
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.port import Dialer, DialRefused
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

from . import system
from .origins import origin_of
from .relay_client import Identity, LinkEnded, open_relay

__all__ = ["TRANSPORTS", "Probed", "probe"]

TRANSPORTS: Final = ("websocket", "longpoll")
PATIENCE_S: Final = 8.0
#: Of it, for the dial: who was in the way is to be told before it is over.
_DIAL_S: Final = 7.0
_SEED_BYTES: Final = 32


@attrs.frozen
class Probed:
    """Whether a session opened; in how many ms; how far our clock is ahead of the relay's; why it did not.

    `code` is the relay's own word, "" where it came to none.
    """

    transport: str
    opened: bool
    took_ms: int = 0
    clock_ahead_ms: int = 0
    code: str = ""
    reason: str = ""


def probe(url: str, transport: str, authorities: Path | None) -> Probed:
    """Open a session at the relay's URL by this transport and end it. Blocks for seconds at most.

    It is a visitor's, as of one who has lost all devices: nothing of an account is said, and nothing is read.
    """
    return trio.run(_probe, url, transport, authorities)


async def _probe(url: str, transport: str, authorities: Path | None) -> Probed:
    began = time.monotonic()
    failed: Probed | None = None
    ahead = 0
    try:
        tls = ssl.create_default_context(cafile=authorities) if authorities is not None else None
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                dialer, origin = _dialer(nursery, url, transport, tls)
                identity = Identity(VISITOR, SigningKey.from_seed(system.entropy(_SEED_BYTES)))
                async with open_relay(await dialer.dial(), identity, origin=origin) as client:
                    ahead = system.now() - client.ready.relay_now
                nursery.cancel_scope.cancel()
    except* (LinkEnded, DialRefused, OSError) as group:
        failed = _failed(transport, group)
    except* trio.TooSlowError:
        failed = Probed(transport, opened=False, reason=f"no answer in {PATIENCE_S:.0f} s")
    took = round((time.monotonic() - began) * 1000)
    return failed or Probed(transport, opened=True, took_ms=took, clock_ahead_ms=ahead)


def _failed(transport: str, group: BaseExceptionGroup[BaseException]) -> Probed:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    code = error.code if isinstance(error, LinkEnded) else None
    # What refused a dial may have become longer since, by the other way that was tried.
    reason = error.reason if isinstance(error, DialRefused) else str(error)
    return Probed(transport, opened=False, code=code.value if code is not None else "", reason=reason)


def _dialer(
    nursery: trio.Nursery, url: str, transport: str, tls: ssl.SSLContext | None
) -> tuple[Dialer, str]:
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    base = f"{parts.netloc}{parts.path.rstrip('/')}"
    if transport == "longpoll":
        scheme = "https" if secure else "http"
        return (
            LongPollDialer(
                nursery, LongPollSettings(f"{scheme}://{base}/v1/link", tls, dial_timeout=_DIAL_S)
            ),
            origin_of(url),
        )
    scheme = "wss" if secure else "ws"
    settings = WebSocketSettings(f"{scheme}://{base}/v1/ws", tls, dial_timeout=_DIAL_S)
    return WebSocketDialer(nursery, settings), origin_of(url)
