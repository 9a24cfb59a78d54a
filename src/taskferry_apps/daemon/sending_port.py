"""Sending many messages at once, as the daemon offers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from taskferry_protocol.messages import Part

from .port import Caller
from .views import Sent

__all__ = ["NewMessage", "SendingService"]


@attrs.frozen
class NewMessage:
    """One of many. `conversation`, `reply_to`, `cause` and `key` may be "".

    `key` is what it is known by when it comes again; `digest`, 32 bytes, says what it was then.
    """

    mine: str
    peer: str
    text: str
    parts: tuple[Part, ...] = ()
    conversation: str = ""
    reply_to: str = ""
    cause: str = ""
    key: str = ""
    digest: bytes = b""


class SendingService(Protocol):
    """What sends messages."""

    async def many(self, caller: Caller, messages: Sequence[NewMessage]) -> tuple[Sent | Exception, ...]:
        """Send each of them, as if by itself; what became of each, in order, refusals and errors among it.

        One whose key was used for the same before is not sent again: it is answered with what was sent then.
        """
