"""A fresh account's first session at a relay, which claims its name there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.sessions import LogExtension

from ..relay_client import Identity, LinkEnded, open_relay
from .core import Core, not_set_up

if TYPE_CHECKING:
    from .link import Route

__all__ = ["first_end", "join"]


async def join(core: Core, route: Route, log: AccountLog, ticket: str) -> RejectCode | None:
    """The relay's reason if it ended the session at once, None if it opened it. Raises DialRefused."""
    ring = core.ring
    if ring is None:
        raise not_set_up()
    transport = await route.dialer.dial()
    refused: RejectCode | None = None
    try:
        async with open_relay(
            transport,
            Identity(log.account, ring.device.signing),
            origin=route.origin,
            log=LogExtension(0, log.statements),
            offered=route.offered,
            ticket=ticket,
            now=core.now,
            entropy=core.entropy,
        ):
            pass
    except* LinkEnded as group:
        refused = first_end(group).code
    return refused


def first_end(group: BaseExceptionGroup[LinkEnded]) -> LinkEnded:
    """The first end of a session inside a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, LinkEnded):
        raise TypeError("a group of LinkEnded holds nothing else")
    return error
