"""Strangers who asked for a connection that never came about: in time they are forgotten.

A request is over, for good, before it is: what was signed for it then is refused however often it comes.
"""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import ConnectionQuery, ConnectionState, Order, PeerConnection, Place
from taskferry_protocol.records.forgetting import ForgetAccount, ForgetRequest

from .bonds import Bond
from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .identity_changes import stopped

__all__ = ["Strangers"]

KEPT_MS: Final = BOUNDS.requests_kept_ms
#: Connections that are looked at in one go, while nobody else writes: some milliseconds.
STEP: Final = 64
#: Between two times that all are looked at.
EVERY_MS: Final = 3_600_000
_OVER: Final = ConnectionQuery(states=frozenset({ConnectionState.EXPIRED, ConnectionState.ENDED}))


class Strangers:
    """Forgets a few at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._after: Place | None = None
        self._next = Instant(0)

    async def forget(self, drained: Instant) -> None:
        """Forget requests that nobody answered, a month after their end, and whoever is known by them alone.

        `drained` is up to when all that the relay had was taken: an acceptance by another device of ours, or
        word of it, comes within that month.
        """
        core, now = self._core, self._core.now()
        if now < self._next <= now + EVERY_MS:
            return
        page = await core.store.connection_page(_OVER, self._after, STEP, Order.OLDEST_FIRST)
        self._after = page.next
        if page.next is None:
            self._next = Instant(now + EVERY_MS)
        if not any(_is_forgotten(record, drained) for record in page.items):
            return
        async with core.lock:
            draft = Draft(core)
            held = await core.store.connections([record.request for record in page.items])
            gone = [record for record in held.values() if _is_forgotten(record, drained)]
            draft.add(*[ForgetRequest(record.request) for record in gone])
            accounts = {record.peer.account for record in gone}
            in_question = await stopped(core.store, accounts)
            draft.add(*[ForgetAccount(account) for account in sorted(accounts - in_question)])
            await draft.commit()


def _is_forgotten(record: PeerConnection, drained: Instant) -> bool:
    """Whether it is a peer's request that was never answered here, and has been over for long enough."""
    if record.accept_raw or record.expires_at >= drained - KEPT_MS:
        return False
    if record.state is ConnectionState.ENDED:
        return record.taken_back
    return Bond(record).asked_by_peer
