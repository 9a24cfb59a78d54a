"""Whom reading long account logs costs something: the device for which they are read, and its account.

A log that is not held has to be folded, statement by statement, in the task that serves everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from taskferry_protocol.errors import EnvelopeRejected, RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import AccountId, DeviceId, Instant

from .limits import USUAL
from .senders import Allowance

__all__ = ["RECOVERY", "STRANGERS", "Reader", "Reads", "read_too_much"]

_TEXT: Final = "as many statements were read for your account in a minute as may be here"
#: Instead of a device: whoever looks at pages, for whom an account's own log is read.
STRANGERS: Final = DeviceId(b"strangers")
#: And whoever has signed with the account's recovery key.
RECOVERY: Final = DeviceId(b"recovery")
_APART: Final = (STRANGERS, RECOVERY)
#: The part of an account's reads that one device has: whoever stole one leaves the others what they need to
#: come in, and to put it out.
_OF_DEVICE: Final = 2
#: The part, beside all that, which each of those two has.
_OF_APART: Final = 4


class Reader(NamedTuple):
    """For whom a log is read: a device of an account, or who else there is."""

    account: AccountId
    device: DeviceId


def read_too_much(wait_ms: int) -> Refusal:
    """What is answered of a parcel for which a log would have to be read."""
    return Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=wait_ms, text=_TEXT))


class Reads:
    """Statements that were folded in a minute, by those for whom they were."""

    def __init__(self, now: Callable[[], Instant], statements_per_minute: int = USUAL.reads) -> None:
        self._now = now
        self._accounts: Allowance[AccountId] = Allowance(statements_per_minute)
        self._devices: Allowance[Reader] = Allowance(statements_per_minute // _OF_DEVICE)
        self._apart: Allowance[Reader] = Allowance(statements_per_minute // _OF_APART)

    def wait_ms(self, reader: Reader | None) -> int:
        """0 if a log may be read for the reader, or for nobody; else how long it has to wait, in ms."""
        if reader is None:
            return 0
        now = self._now()
        if reader.device in _APART:
            return self._apart.wait_ms(reader, now)
        return max(self._devices.wait_ms(reader, now), self._accounts.wait_ms(reader.account, now))

    def spend(self, reader: Reader | None, statements: int) -> None:
        """So many are about to be folded; the last log may go into debt.

        That debt is the device's: the account pays what its device had left, or one dear log would keep all
        others of the account waiting.
        """
        if reader is None:
            return
        now = self._now()
        if reader.device in _APART:
            self._apart.spend(reader, statements, now)
            return
        left = self._devices.left(reader, now)
        self._devices.spend(reader, statements, now)
        self._accounts.spend(reader.account, min(statements, left), now)

    def check(self, reader: Reader | None) -> None:
        """Nothing if a log may be read for it. Raises EnvelopeRejected(rate-limited), with `retry_after`."""
        wait = self.wait_ms(reader)
        if wait:
            raise EnvelopeRejected(RejectCode.RATE_LIMITED, _TEXT, detail={"retry_after": wait})
