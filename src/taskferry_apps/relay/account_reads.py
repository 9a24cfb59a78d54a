"""Reading account logs: each once for all who wait for it, step by step, and few of the longest at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import trio

from taskferry_protocol.accounts import refold_in_steps
from taskferry_protocol.ids import AccountId
from taskferry_protocol.limits import STATEMENTS
from taskferry_protocol.records import AccountRecord
from taskferry_stores.port import RelayStore

from .folding import Turns, price
from .held_accounts import HeldAccounts
from .reading import Reader, Reads
from .view import Account

__all__ = ["AccountReads"]

READ_TOGETHER: Final = 4
#: How long logs may be, in statements, and how many sessions read such ones at once. A log of 4,096 is 32 MiB
#: at most, so that together they are no more than 256 MiB, and as a rule a fifteenth of it; and whoever has a
#: short one waits for nobody's long one.
LANES: Final = ((256, 16), (1_024, 8), (STATEMENTS, 2))


class AccountReads:
    """Fills `held` from the store."""

    def __init__(self, store: RelayStore, reads: Reads, held: HeldAccounts, turns: Turns) -> None:
        self._store = store
        self._reads = reads
        self._held = held
        self._turns = turns
        self._lanes = [(longest, trio.CapacityLimiter(most)) for longest, most in LANES]
        self._under_way: dict[AccountId, trio.Event] = {}
        self._unchanged: dict[object, set[AccountId]] = {}

    async def load(self, accounts: Collection[AccountId], reader: Reader | None = None) -> set[AccountId]:
        """Hold these, of which the first may have to go again for the last. Gives those that are nobody's.

        Once the reader has nothing left, the rest are not read, and are held to be somebody's.
        Nothing is waited for after the last of them.
        """
        known: set[AccountId] = set()
        wanted = list(accounts)
        for at in range(0, len(wanted), READ_TOGETHER):
            if self._reads.wait_ms(reader):
                known.update(wanted[at:])
                break
            missing = set(wanted[at : at + READ_TOGETHER])
            while missing:
                missing = await self._read(missing, known, reader)
        return set(accounts) - known

    def changed(self, account: AccountId) -> None:
        """What was read of it before now is not to be held."""
        for unchanged in self._unchanged.values():
            unchanged.discard(account)

    def all_changed(self) -> None:
        """What was read of any before now is not to be held."""
        for unchanged in self._unchanged.values():
            unchanged.clear()

    async def _read(
        self, accounts: set[AccountId], known: set[AccountId], reader: Reader | None
    ) -> set[AccountId]:
        """Hold these, and put those that are somebody's into `known`. Gives those that are to be read yet."""
        known.update([account for account in accounts if self._held.get(account) is not None])
        missing = accounts - known
        mine = {account for account in missing if account not in self._under_way}
        if not mine:
            # Whoever reads some never waits for another's, so nobody waits in a circle.
            if missing:
                await self._under_way[next(iter(missing))].wait()
            return missing
        token, unchanged = object(), set(mine)
        self._unchanged[token] = unchanged
        for account in mine:
            self._under_way[account] = trio.Event()
        try:
            long = await self._read_short(mine, unchanged, known, reader)
            for account, length in long:
                if self._reads.wait_ms(reader):
                    known.add(account)
                else:
                    async with next(lane for longest, lane in self._lanes if length <= longest):
                        record = (await self._store.accounts([account])).get(account)
                        if record is not None:
                            await self._hold(record, unchanged, known, reader)
                self._end(account)
        finally:
            del self._unchanged[token]
            for account in mine:
                self._end(account)
        return (missing - mine) | (mine - unchanged - known)

    async def _read_short(
        self,
        accounts: set[AccountId],
        unchanged: set[AccountId],
        known: set[AccountId],
        reader: Reader | None,
    ) -> list[tuple[AccountId, int]]:
        """Hold those whose logs are short. Gives the others, with their lengths."""
        longest, lane = self._lanes[0]
        async with lane:
            records = await self._store.accounts(accounts, longest)
            for record in records.values():
                if record.statements:
                    await self._hold(record, unchanged, known, reader)
                    self._end(record.account)
        return [
            (record.account, record.position.length) for record in records.values() if not record.statements
        ]

    async def _hold(
        self, record: AccountRecord, unchanged: set[AccountId], known: set[AccountId], reader: Reader | None
    ) -> None:
        account = record.account
        if self._held.get(account) is None:
            if account not in unchanged:
                return
            if not self._reads.wait_ms(reader):
                self._reads.spend(reader, price(record.statements))
                log = await self._turns.work(refold_in_steps(record.statements))
                if self._held.get(account) is None:
                    if account not in unchanged:
                        return
                    if reader is not None:
                        # What it pays for is of no use without its own.
                        self._held.get(reader.account)
                    self._held.put(account, Account(log, record.held))
        known.add(account)

    def _end(self, account: AccountId) -> None:
        """Whoever waits for it looks again."""
        event = self._under_way.pop(account, None)
        if event is not None:
            event.set()
