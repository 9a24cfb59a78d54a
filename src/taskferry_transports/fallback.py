"""A dialer that prefers WebSocket and falls back to long-poll by itself where upgrades do not get through."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from taskferry_transports.networks import network_now
from taskferry_transports.port import (
    Dialer,
    DialRefused,
    DialTimedOut,
    ProxyUnusable,
    Transport,
    TransportKind,
    Unreachable,
    UpgradeRefused,
)
from taskferry_transports.websocket_again import Leavable, WebSocketAgain

REMEMBER_SECONDS = 900.0
"""How long long-poll stays the choice, in one network, before a dial tries WebSocket again."""


class FallbackDialer:
    """Dials WebSocket; when the upgrade is refused, though something answered, dials long-poll instead.

    An unreachable host is no reason to fall back: it is unreachable for both, unless long-poll is `apart`.
    """

    def __init__(
        self,
        websocket: Dialer,
        longpoll: Dialer,
        *,
        on_change: Callable[[TransportKind, str], None] | None = None,
        remember: float = REMEMBER_SECONDS,
        apart: Callable[[], bool] = lambda: False,
        network: Callable[[], object] = network_now,
        again: WebSocketAgain | None = None,
    ) -> None:
        """`apart` and `network` are asked with each dial: people move, and some proxies change with that.

        `again` looks for a WebSocket while a link polls.
        """
        self._websocket = websocket
        self._longpoll = longpoll
        self._on_change = on_change
        self._remember = remember
        #: Long-poll goes by a proxy, which may reach what nothing else here does.
        self._apart = apart
        self._network = network
        self._again = again
        self._longpoll_until = -inf
        self._longpoll_in: object = None
        self.kind: TransportKind = "websocket"
        """What is in use, or would be tried first."""
        self.reason = "WebSocket is the first choice"
        """Why, in one sentence for people."""

    @property
    def offered(self) -> tuple[TransportKind, ...]:
        """The transports that this dialer is ready to use."""
        return ("websocket", "longpoll")

    async def dial(self) -> Transport:
        """Open one transport of either kind, or raise a kind of `DialRefused`."""
        standing = self._again.take() if self._again is not None else None
        if standing is not None:
            self._longpoll_until = -inf
            self._choose("websocket", "WebSocket works")
            return standing
        network = self._network()
        if trio.current_time() < self._longpoll_until and network == self._longpoll_in:
            try:
                return await self._poll()
            except DialRefused:
                # Perhaps this is another network now: the next try begins anew.
                self._longpoll_until = -inf
                raise
        try:
            transport = await self._websocket.dial()
        except (UpgradeRefused, DialTimedOut, Unreachable) as refused:
            if not self._is_reason(refused):
                raise
            try:
                transport = await self._poll()
            except DialRefused as polling:
                polling.reason = f"WebSocket: {refused.reason}; polling: {polling.reason}"
                if isinstance(polling, ProxyUnusable):
                    # That lasts; what WebSocket was refused for need not.
                    raise UpgradeRefused(polling.reason, retry_after=refused.retry_after) from polling
                raise
            # Only now: a long-poll that fails, too, says nothing about WebSocket.
            self._longpoll_until, self._longpoll_in = trio.current_time() + self._remember, network
            self._choose("longpoll", f"WebSocket did not get through: {refused.reason}")
        else:
            self._choose("websocket", "WebSocket works")
        return transport

    async def _poll(self) -> Transport:
        transport = await self._longpoll.dial()
        if self._again is not None and isinstance(transport, Leavable):
            # It may last for days, and is for where nothing else gets through.
            self._again.look_beside(transport)
        return transport

    def _choose(self, kind: TransportKind, reason: str) -> None:
        changed = kind != self.kind
        self.kind = kind
        self.reason = reason
        if changed and self._on_change is not None:
            self._on_change(kind, reason)

    def _is_reason(self, refused: DialRefused) -> bool:
        match refused:
            case UpgradeRefused():
                # Otherwise long-poll would only knock on the same door again.
                return not refused.is_busy
            case DialTimedOut(stage="upgrade"):
                # Some proxies swallow an upgrade and answer nothing at all.
                return True
            case Unreachable() | DialTimedOut():
                return self._apart()
            case _:
                return False
