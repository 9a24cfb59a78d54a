"""Sessions that last for a question or two: joining a relay, and looking an account up there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.sessions import LogExtension
from taskferry_transports.port import DialRefused

from ..relay_client import Identity, LinkEnded, RelayClient, open_relay
from .port import DaemonRefusal
from .route import Route, first_end

__all__ = ["LASTING", "NOT_LET_IN", "short_session"]

#: How long whoever waits for such a session waits for the relay, once it is reached.
PATIENCE_S: Final = 10.0
#: Until then: where a network swallows what asks for a WebSocket, that takes fifteen, and polling is next.
DIAL_S: Final = 25.0
#: Refusals of a new account: another name, ticket or relay cures them.
NOT_LET_IN: Final = frozenset(
    {
        RejectCode.NAME_TAKEN,
        RejectCode.SIGNUP_REFUSED,
        RejectCode.UNKNOWN_TICKET,
        RejectCode.TICKET_USED,
        RejectCode.EXPIRED,
    }
)
#: Refusals that no quick retry changes: the owner, or the relay's operator, has to do something.
LASTING: Final = NOT_LET_IN | {
    RejectCode.WRONG_ORIGIN,
    RejectCode.DEVICE_GONE,
    RejectCode.UNKNOWN_DEVICE,
    RejectCode.REPLACED,
    RejectCode.OTHER_INSTANCE,
}


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
    with trio.move_on_after(DIAL_S) as patience:
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
        patience.deadline = trio.current_time() + PATIENCE_S
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
