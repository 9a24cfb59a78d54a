"""Looking for a WebSocket beside a link that polls, which may stand for days, and taking its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

import trio

from taskferry_transports.networks import network_now
from taskferry_transports.port import DialRefused, Transport

__all__ = ["LONGEST_PAUSE_S", "PAUSE_S", "Leavable", "WebSocketAgain"]

PAUSE_S = 900.0
"""How long a link polls before a WebSocket is tried beside it; twice as long after each in vain.

And up to half as long again: links that a relay lost together are not to try together for ever.
"""
LONGEST_PAUSE_S = 4 * 3_600.0
LOOK_S = 60.0
"""How often, meanwhile, whether this machine is in another network: that is a reason to try at once."""
QUIET_PATIENCE_S = 30.0
"""How long a link that always has something under way is waited for before a try, which takes a while."""
LAST_QUIET_S = 2.0
"""And how long after it, for what was asked meanwhile."""
STANDS_S = 6.0
"""How long one that stands waits to be taken: a relay gives those who say nothing ten seconds."""

REASON = "a WebSocket gets through now"


@runtime_checkable
class Leavable(Protocol):
    """A link that polls, as far as it is left for another one."""

    over: trio.Event
    """Set once it has ended, however it has."""

    async def wait_quiet(self) -> None:
        """Wait until nothing has come or gone for a moment."""

    async def leave(self, reason: str) -> None:
        """Post what is held and end; whoever receives takes what has come, and is told the reason then."""


class WebSocketAgain:
    """Tries a WebSocket while links poll. One that stands is kept for the dial that follows a link's end."""

    def __init__(
        self,
        nursery: trio.Nursery,
        tried: Callable[[], Awaitable[Transport]],
        *,
        network: Callable[[], object] = network_now,
        pause: float = PAUSE_S,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`tried` dials one and sees whether anything passes; the nursery carries who looks.

        `jitter` gives a number from 0 to 1 for each pause.
        """
        self._nursery = nursery
        self._tried = tried
        self._network = network
        self._pause = pause
        self._jitter = jitter
        self._standing: Transport | None = None

    @property
    def stands(self) -> bool:
        """Whether one is there to be taken."""
        return self._standing is not None

    def take(self) -> Transport | None:
        """The one that stands, if one does: it is the caller's then."""
        standing, self._standing = self._standing, None
        return standing

    def look_beside(self, link: Leavable) -> None:
        """Try again and again for as long as this link polls, and have it end for one that gets through."""
        self._nursery.start_soon(self._look, link)

    async def _look(self, link: Leavable) -> None:
        pause, network = self._pause, self._network()
        while await self._wait(link, pause, network):
            with trio.move_on_after(QUIET_PATIENCE_S):
                await link.wait_quiet()
            # Before the dial: whoever moves in the midst of it has tried in neither network.
            before, network = network, self._network()
            pause = min(2 * pause, LONGEST_PAUSE_S) if network == before else self._pause
            try:
                transport = await self._tried()
            except DialRefused:
                continue
            until = trio.current_time() + STANDS_S
            with trio.move_on_after(LAST_QUIET_S):
                await link.wait_quiet()
            if link.over.is_set() or self.stands:
                await transport.aclose()
                continue
            self._standing = transport
            await link.leave(REASON)
            await trio.sleep_until(until)
            if self._standing is transport:
                self._standing = None
                await transport.aclose()
            return

    async def _wait(self, link: Leavable, pause: float, network: object) -> bool:
        """Wait for the next try; whether there is one, as there is none once the link is over."""
        until = trio.current_time() + pause * (1 + self._jitter() / 2)
        while (left := until - trio.current_time()) > 0:
            with trio.move_on_after(min(left, LOOK_S)):
                await link.over.wait()
                return False
            if self._network() != network:
                break
        return not link.over.is_set()
