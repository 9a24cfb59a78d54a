"""What comes of asking a relay: outcomes of a batch under way, a refusal, or the end of the session."""

from __future__ import annotations

from typing import Protocol

import trio

from taskferry_protocol.calls import CallRequest
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Outcome, Refusal

__all__ = ["CallRefused", "Ear", "LinkEnded", "Pending"]


class LinkEnded(Exception):
    """The session is over. `code` is the relay's reason, None if the connection just broke."""

    def __init__(self, code: RejectCode | None, text: str, retry_after: int | None = None) -> None:
        super().__init__(f"{code.value}: {text}" if code is not None else text)
        self.code = code
        self.text = text
        self.retry_after = retry_after

    @property
    def retry_after_s(self) -> float | None:
        """Seconds for which the relay asks us to stay away, if it does; `retry_after` is in ms."""
        return None if self.retry_after is None else self.retry_after / 1000


class CallRefused(Exception):
    """The relay refused a call."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code.value}: {refusal.detail.text}")
        self.refusal = refusal


class Ear(Protocol):
    """Hears of each call that is over."""

    def now(self) -> int:
        """Its clock, asked when a call begins."""
        ...

    def asked(self, request: CallRequest, began: int, code: str) -> None:
        """The answer is here; or a refusal's `code`, `link-ended`, or `given-up` by whoever waited."""
        ...


class Pending:
    """A batch under way, of `count` parcels. The session that sent it settles it, or fails it."""

    __slots__ = ("_ended", "_event", "_outcomes", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._event = trio.Event()
        self._outcomes: tuple[Outcome, ...] = ()
        self._ended: LinkEnded | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the outcomes are here."""
        return self._event.is_set() and self._ended is None

    async def wait(self) -> tuple[Outcome, ...]:
        """The relay's outcomes, in the order of the parcels. Raises LinkEnded: then nothing is known."""
        await self._event.wait()
        if self._ended is not None:
            raise LinkEnded(self._ended.code, self._ended.text, self._ended.retry_after)
        return self._outcomes

    def settle(self, outcomes: tuple[Outcome, ...]) -> None:
        """The relay has answered."""
        self._outcomes = outcomes
        self._event.set()

    def fail(self, ended: LinkEnded) -> None:
        """The session is over; an answer that came before stays one."""
        if not self._event.is_set():
            self._ended = ended
            self._event.set()
