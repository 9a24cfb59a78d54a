"""The account logs that are held folded. Long ones take room from long ones alone.

Two logs of the greatest size are more than all the room there is: if they stood with the others, whoever
writes between two such accounts would have everybody's log read anew for each message.
"""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import AccountId

from .lru import Lru
from .view import Account

__all__ = ["HeldAccounts"]

#: What a statement costs in memory beside its bytes, in bytes.
_STATEMENT_COST: Final = 128
#: A log that takes more than this part of all the room is a long one: two years of an owner with five
#: devices take a sixtieth of it.
_LONG: Final = 32
#: The part of the room that is kept for them.
_FOR_LONG: Final = 4


class HeldAccounts:
    """The most recently used, up to `room` bytes; of long logs always two, a sender's and a recipient's."""

    def __init__(self, room: int) -> None:
        for_long = room // _FOR_LONG
        self._from = room // _LONG
        self._usual: Lru[AccountId, Account] = Lru(room - for_long)
        self._long: Lru[AccountId, Account] = Lru(for_long, least=2)

    def get(self, account: AccountId) -> Account | None:
        """The account, if it is held."""
        return self._usual.get(account) or self._long.get(account)

    def put(self, id: AccountId, account: Account) -> None:
        """Hold an account; what was used least recently goes for it."""
        self.drop(id)
        # By bytes: a log of the largest statements is a hundred times one of the usual.
        size = sum([len(raw) + _STATEMENT_COST for raw in account.log.statements])
        (self._long if size > self._from else self._usual).put(id, account, size)

    def drop(self, account: AccountId) -> None:
        """Forget one."""
        self._usual.drop(account)
        self._long.drop(account)

    def clear(self) -> None:
        """Forget all."""
        self._usual.clear()
        self._long.clear()
