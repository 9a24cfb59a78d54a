"""Routes to a relay, and sessions that last for a question or two: joining, and looking an account up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.sessions import LogExtension
from taskferry_transports.port import Dialer, DialRefused

from ..relay_client import Identity, LinkEnded, RelayClient, open_relay
from .port import DaemonRefusal

__all__ = ["LASTING", "Route", "RouteTo", "first_end", "short_session"]

#: How long whoever waits for such a session waits for the relay.
PATIENCE_S: Final = 10.0
#: Refusals that no quick retry changes: the owner, or the relay's operator, has to do something.
LASTING: Final = frozenset(
    {
        RejectCode.NAME_TAKEN,
        RejectCode.SIGNUP_REFUSED,
        RejectCode.UNKNOWN_TICKET,
        RejectCode.TICKET_USED,
        RejectCode.EXPIRED,
        RejectCode.WRONG_ORIGIN,
        RejectCode.FORKED,
        RejectCode.DEVICE_GONE,
        RejectCode.UNKNOWN_DEVICE,
        RejectCode.REPLACED,
    }
)


@attrs.frozen
class Route:
    """How to reach a relay: what dials it, under which origin, and what the owner should know of the way."""

    dialer: Dialer
    origin: str
    offered: tuple[str, ...] = ()
    notice: Callable[[], str] = attrs.field(default=lambda: "")


RouteTo = Callable[[str], Route]
"""The route to a relay's URL."""


@asynccontextmanager
async def short_session(
    route: Route,
    identity: Identity,
    log: LogExtension,
    now: Callable[[], Instant],
    entropy: Entropy,
    ticket: str = "",
) -> AsyncIterator[RelayClient]:
    """A session that ends with the block, and after a while in any case; `ticket` lets a new account in.

    Raises LinkEnded where the relay is away, refuses or is too slow; DaemonRefusal(bad-value) where the
    address can be no relay's.
    """
    failure: BaseException | None = None
    with trio.move_on_after(PATIENCE_S) as patience:
        try:
            transport = await route.dialer.dial()
        except DialRefused as away:
            if not away.retryable:
                raise DaemonRefusal(
                    "bad-value",
                    f"That relay cannot be used: {away.reason}.",
                    "Check the relay's address.",
                    detail={"field": "relay"},
                ) from away
            raise LinkEnded(None, away.reason) from away
        try:
            async with open_relay(
                transport,
                identity,
                origin=route.origin,
                log=log,
                offered=route.offered,
                ticket=ticket,
                now=now,
                entropy=entropy,
            ) as client:
                yield client
        except* LinkEnded as group:
            failure = first_end(group)
    if failure is not None:
        raise failure
    if patience.cancelled_caught:
        raise LinkEnded(None, "the relay did not answer in time")


def first_end(group: BaseExceptionGroup[LinkEnded]) -> LinkEnded:
    """Why a session ended, out of a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, LinkEnded):
        raise TypeError("a group of LinkEnded holds nothing else")
    return error
