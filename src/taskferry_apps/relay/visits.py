"""Visitors: owners who hold their account's recovery key and no device of it, and come for its log.

They prove the recovery key as a device proves its own (spec/session.md section 3), see the log that this key
may take back, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskferry_protocol.calls import AccountFound, CallAnswer, CallRequest, FindAccount, GetAccount
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal, statement_page
from taskferry_protocol.ids import Hash, Instant, LogPosition

from .accounts import Accounts
from .limits import USUAL
from .sign_ups import Allowance, SignUpBudget

__all__ = ["NOWHERE", "Visits"]

#: The position that a visitor is told: of no log, since none was named yet.
NOWHERE: Final = LogPosition(1, Hash(bytes(32)))


class Visits:
    """Lets visitors in, so many an hour from one address, and answers them."""

    def __init__(self, accounts: Accounts, per_hour: int = USUAL.visits) -> None:
        self._accounts = accounts
        self._budget = SignUpBudget(Allowance.of(per_hour))

    def admit(self, start: int, statements: Sequence[bytes], peer: str, now: Instant) -> None:
        """Nothing if the visitor may come in. Raises RemoteProtocolError: bad-value, rate-limited."""
        if start or statements:
            raise RemoteProtocolError(
                RejectCode.BAD_VALUE, "a visitor brings no statements", field="auth.statements"
            )
        self._budget.spend(peer, now)

    async def answer(self, key: bytes, request: CallRequest) -> CallAnswer | Refusal:
        """The answer to whoever proved `key`. Raises only what the store raises."""
        try:
            match request:
                case GetAccount(account=who, start=start):
                    page = await self._accounts.visit(key, who, start)
                case FindAccount(name=name, start=start):
                    page = await self._accounts.visit(key, name, start)
                case _:
                    raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "a visitor asks for a log alone")
        except RemoteProtocolError as error:
            return Refusal.of(error)
        return AccountFound(page.account, start, statement_page(page.statements))
