"""How many accounts there are, of how many a relay takes: known exactly, and counted in the store but once.

Accounts are never taken away, and one relay writes to a store. So what was counted at the first sign-up and
what has come in since is all there is; whoever is about to begin has a place of those that are left.
"""

from __future__ import annotations

from types import TracebackType

import trio

from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_stores.port import RelayStore, StoreConflict, StoreError

__all__ = ["AccountPlace", "AccountPlaces"]


class AccountPlaces:
    """Gives places out, as many as there are."""

    def __init__(self, store: RelayStore, most: int) -> None:
        self._store = store
        self._most = most
        self._stored = 0
        self._given = 0
        self._beginning = 0
        self._is_counted = False
        self._counting = trio.Lock()

    async def look(self) -> None:
        """Raise RemoteProtocolError(signup-refused) where none is left. It may have to count."""
        async with self._counting:
            # While somebody begins, whether a count has that one already cannot be told.
            if not self._is_counted and not self._beginning:
                given = self._given
                stored = (await self._store.stats()).accounts
                if given == self._given:
                    self._stored, self._is_counted = stored, True
        self._check()

    def take(self) -> AccountPlace:
        """A place, to be entered at once. Raises RemoteProtocolError(signup-refused)."""
        self._check()
        self._given += 1
        self._beginning += 1
        return AccountPlace(self)

    def left(self, *, is_stored: bool, is_sure: bool) -> None:
        """Somebody who was to begin has done so, or will not."""
        self._beginning -= 1
        self._stored += is_stored or not is_sure
        self._is_counted = self._is_counted and is_sure

    def _check(self) -> None:
        if self._stored + self._beginning >= self._most:
            raise RemoteProtocolError(
                RejectCode.SIGNUP_REFUSED, "this relay has as many accounts as it takes; ask its operator"
            )


class AccountPlace:
    """Room for one account, held for as long as its context; for good where the account was stored."""

    def __init__(self, places: AccountPlaces) -> None:
        self._places = places
        self._is_stored = False

    def stored(self) -> None:
        """The account is in the store."""
        self._is_stored = True

    def __enter__(self) -> AccountPlace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Of a store that fails nobody knows what it has kept.
        is_sure = self._is_stored or not isinstance(error, StoreError) or isinstance(error, StoreConflict)
        self._places.left(is_stored=self._is_stored, is_sure=is_sure)
