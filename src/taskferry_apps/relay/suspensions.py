"""Accounts that the operator has suspended: known to every link at once, whoever wrote it down, and where.

The store is the truth. The command line, another process, writes there; what a relay knows follows within a
second, and at once for what its own operations page does.
"""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol.errors import EnvelopeRejected, RejectCode
from taskferry_protocol.ids import AccountId
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records.operations import Suspension
from taskferry_stores.port import RelayStore

from ..logs import get_logger
from .presence import Presence

__all__ = ["Suspensions"]

#: Between two looks at whether anything has changed: one row each.
FOLLOW_S: Final = 1.0
#: When a suspended account's daemon may ask again.
RETRY_MS: Final = 5 * MINUTE_MS

_LOG = get_logger()


class Suspensions:
    """The suspensions in force. `in` asks without waiting; sessions of who is suspended end."""

    def __init__(self, store: RelayStore, presence: Presence) -> None:
        self._store = store
        self._presence = presence
        self._version: int | None = None
        self._held: dict[AccountId, Suspension] = {}

    def __contains__(self, account: object) -> bool:
        return account in self._held

    def check(self, account: AccountId) -> None:
        """Nothing if the account may have a session, else EnvelopeRejected(suspended), with `retry_after`."""
        held = self._held.get(account)
        if held is not None:
            raise EnvelopeRejected(RejectCode.SUSPENDED, _text(held), detail={"retry_after": RETRY_MS})

    async def refresh(self) -> None:
        """Take over what the store has, and end the sessions of those who are new among them."""
        found = await self._store.suspensions(self._version)
        if found is None or (self._version is not None and found.version < self._version):
            return  # nothing new, or somebody who asked later was answered before
        before, self._held = self._held, {held.account: held for held in found.suspensions}
        self._version = found.version
        for account, held in self._held.items():
            if account not in before:
                _LOG.info("an account is suspended", account=account.hex()[:16])
                self._presence.end_account(account, RejectCode.SUSPENDED, _text(held), RETRY_MS)

    async def follow(self) -> None:
        """Refresh until cancelled. Raises the store's errors."""
        while True:
            await self.refresh()
            await trio.sleep(FOLLOW_S)


def _text(held: Suspension) -> str:
    return f"this relay's operator has suspended the account: {held.reason}"
