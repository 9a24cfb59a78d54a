"""Whom reading long account logs costs something: the account for which they are read.

A log that is not held has to be folded, statement by statement, in the task that serves everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from taskferry_protocol.errors import EnvelopeRejected, RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import AccountId, Instant

from .limits import USUAL
from .senders import Allowance

__all__ = ["Reads", "read_too_much"]

_TEXT: Final = "as many statements were read for your account in a minute as may be here"


def read_too_much(wait_ms: int) -> Refusal:
    """What is answered of a parcel for which a log would have to be read."""
    return Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=wait_ms, text=_TEXT))


class Reads:
    """Statements that were folded in a minute, by the account for which they were."""

    def __init__(self, now: Callable[[], Instant], statements_per_minute: int = USUAL.reads) -> None:
        self._now = now
        self._allowance = Allowance(statements_per_minute)

    def wait_ms(self, account: AccountId | None) -> int:
        """0 if a log may be read for the account, or for nobody; else how long it has to wait, in ms."""
        return 0 if account is None else self._allowance.wait_ms(account, self._now())

    def spend(self, account: AccountId | None, statements: int) -> None:
        """So many are about to be folded; the last log may go into debt."""
        if account is not None:
            self._allowance.spend(account, statements, self._now())

    def check(self, account: AccountId | None) -> None:
        """Nothing if a log may be read for it. Raises EnvelopeRejected(rate-limited), with `retry_after`."""
        wait = self.wait_ms(account)
        if wait:
            raise EnvelopeRejected(RejectCode.RATE_LIMITED, _TEXT, detail={"retry_after": wait})
