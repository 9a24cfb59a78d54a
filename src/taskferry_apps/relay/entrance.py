"""Whether an account that the relay does not know may begin: the operator's policy, tickets and tokens.

A ticket is for one account; a client token is the operator's standing word for any number of them. Both come
in the first session (spec/session.md section 3), and of both only SHA-256 is kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from enum import StrEnum
from typing import Final

from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, Hash, Instant, sha256
from taskferry_protocol.records import RedeemTicket, RelayChange, RequireUnreserved
from taskferry_stores.port import ConflictKind, RelayStore, StoreConflict

from .account_places import AccountPlace, AccountPlaces
from .limits import USUAL
from .sign_ups import Allowance, SignUpBudget

__all__ = ["Entrance", "SignUp", "digest_of"]


class SignUp(StrEnum):
    """Whether accounts that the relay does not know may join."""

    OPEN = "open"
    TICKET = "ticket"
    CLOSED = "closed"


def digest_of(secret: str) -> Hash:
    """How a ticket or a token is kept."""
    return sha256(secret.encode())


_REFUSALS: Final = {
    ConflictKind.UNKNOWN: (
        RejectCode.UNKNOWN_TICKET,
        "this relay does not know that ticket; it may be mistyped, withdrawn or long over",
    ),
    ConflictKind.TICKET_USED: (
        RejectCode.TICKET_USED,
        "that ticket has brought another account in; each is good for one",
    ),
    ConflictKind.TICKET_OVER: (RejectCode.EXPIRED, "that ticket is over; get a new one"),
    ConflictKind.WRONG_NAME: (RejectCode.SIGNUP_REFUSED, "that ticket is for another owner name"),
    ConflictKind.RESERVED: (
        RejectCode.NAME_TAKEN,
        "that name is kept for somebody who has a ticket for it",
    ),
}


class Entrance:
    """Decides who may begin. It reads tickets; taking them is part of the commit that takes the account."""

    def __init__(
        self,
        store: RelayStore,
        sign_up: SignUp,
        tokens: Collection[Hash],
        budget: SignUpBudget,
        most: int = USUAL.accounts,
    ) -> None:
        self._store = store
        self._places = AccountPlaces(store, most)
        self._sign_up = sign_up
        self._tokens = tuple(tokens)
        self._budget = budget

    def allow(self, tokens: Collection[Hash], allowance: Allowance) -> None:
        """Take these tokens, and so many new accounts, from now on."""
        self._tokens = tuple(tokens)
        self._budget.limit(allowance)

    async def admit(self, ticket: str, peer: str, now: Instant) -> AccountPlace:
        """A place for an account that may begin; before anything of it is folded, others are turned away.

        It costs a try of the network address `peer`. Raises RemoteProtocolError: signup-refused,
        rate-limited, unknown-ticket, ticket-used, expired.
        """
        self.require_open()
        self._budget.spend(peer, now)
        await self._places.look()
        if not ticket:
            if self._sign_up is SignUp.TICKET:
                raise RemoteProtocolError(
                    RejectCode.SIGNUP_REFUSED,
                    "a new account needs a ticket here: see the /signup page, or ask the operator",
                )
        elif not self._knows(ticket):
            held = await self._store.ticket(digest_of(ticket))
            if held is None:
                raise self._refused(ConflictKind.UNKNOWN)
            if held.account is not None:
                raise self._refused(ConflictKind.TICKET_USED)
            if now >= held.expires_at:
                raise self._refused(ConflictKind.TICKET_OVER)
        # Only now: whoever guesses at tickets takes no room from those who have one. And once more, since
        # others may have begun while the ticket was looked up.
        return self._places.take()

    def require_open(self) -> None:
        """Raise RemoteProtocolError(signup-refused) where nobody may begin."""
        if self._sign_up is SignUp.CLOSED:
            raise RemoteProtocolError(
                RejectCode.SIGNUP_REFUSED, "this relay takes no new accounts; ask its operator"
            )

    def taken_by(self, ticket: str, account: AccountId, name: str, now: Instant) -> RelayChange:
        """What belongs into the commit that takes the account: its ticket, or that its name is free."""
        if ticket and not self._knows(ticket):
            return RedeemTicket(digest_of(ticket), account, name, now)
        return RequireUnreserved(name, now)

    def refusal(self, conflict: StoreConflict) -> RemoteProtocolError | None:
        """What a daemon is told of a conflict of such a change; None if it is another one's."""
        return self._refused(conflict.kind) if conflict.kind in _REFUSALS else None

    @staticmethod
    def _refused(kind: ConflictKind) -> RemoteProtocolError:
        code, text = _REFUSALS[kind]
        return RemoteProtocolError(code, text)

    def _knows(self, ticket: str) -> bool:
        """Whether it is one of the operator's tokens; in the same time whichever it is."""
        digest = digest_of(ticket)
        return sum([hmac.compare_digest(digest, token) for token in self._tokens]) > 0
