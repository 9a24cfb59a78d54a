"""Strangers who asked for a connection that never came about: in time they are forgotten.

A request is over, for good, before it is: what was signed for it then is refused however often it comes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

from taskferry_protocol.ids import AccountId, DeviceId, Instant
from taskferry_protocol.records import (
    ConnectionQuery,
    ConnectionState,
    Order,
    PeerConnection,
    Place,
    PutSetting,
    Trust,
)
from taskferry_protocol.records.forgetting import ForgetAccount, ForgetAccused, ForgetRequest
from taskferry_stores.port import DaemonStore

from .bonds import Bond, all_bonds
from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .identity_changes import drop_forgotten, stopped

__all__ = ["Strangers"]

KEPT_MS: Final = BOUNDS.requests_kept_ms
MOST_ACCUSED: Final = BOUNDS.accused_strangers
#: The setting that names those whose requests are over and who may stay for what is held against them.
_ACCUSED: Final = "accused-strangers"
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
        over = sorted({one.peer.account for one in page.items if _is_forgotten(one, drained)})
        if not over and (page.next is not None or not await _are_too_many(core)):
            return
        devices = await _devices(core, over)
        async with core.lock:
            draft = Draft(core)
            held = await core.store.connections([record.request for record in page.items])
            gone = [record for record in held.values() if _is_forgotten(record, drained)]
            draft.add(*[ForgetRequest(record.request) for record in gone])
            in_question = await stopped(core.store, over)
            draft.add(*[ForgetAccount(one, devices[one]) for one in over if one not in in_question])
            noted = [account for account in await _noted(core.store) if account not in over]
            draft.add(_note([*noted, *over]))
            await draft.commit()
        await _bound_accused(core)


async def _are_too_many(core: Core) -> bool:
    return len(await _noted(core.store)) > MOST_ACCUSED


async def _bound_accused(core: Core) -> None:
    """Let the oldest go of those whose requests are over and who stay for what is held against them.

    Whoever is gone, or is known otherwise, too, takes no place of theirs. The lock must be free.
    """
    noted = await _noted(core.store)
    there = await core.store.accounts(noted)
    kept = [one for one in noted if one in there and there[one].trust is Trust.UNVERIFIED]
    if len(kept) > MOST_ACCUSED:
        known = {bond.record.peer.account for bond in await all_bonds(core.store)}
        kept = [account for account in kept if account not in known]
    devices = await _devices(core, kept[:-MOST_ACCUSED])
    async with core.lock:
        draft = Draft(core)
        await drop_forgotten(draft)
        # Whoever something waits to be sent to goes another time, and is noted until then.
        draft.add(*[ForgetAccused(account, of_it) for account, of_it in devices.items()], _note(kept))
        await draft.commit()


async def _devices(core: Core, accounts: Collection[AccountId]) -> dict[AccountId, tuple[DeviceId, ...]]:
    """All that stand in the accounts' logs. A long log takes a second: the lock is not held for it."""
    found: dict[AccountId, tuple[DeviceId, ...]] = {}
    for account in accounts:
        log = await core.logs.get(account)
        found[account] = tuple(log.state.devices) if log is not None else ()
    return found


async def _noted(store: DaemonStore) -> list[AccountId]:
    raw = (await store.settings((_ACCUSED,))).get(_ACCUSED)
    return [AccountId(bytes.fromhex(text)) for text in json.loads(raw or b"[]")]


def _note(accounts: Sequence[AccountId]) -> PutSetting:
    return PutSetting(_ACCUSED, json.dumps([account.hex() for account in accounts]).encode())


def _is_forgotten(record: PeerConnection, drained: Instant) -> bool:
    """Whether it is a peer's request that was never answered here, and has been over for long enough."""
    if record.accept_raw or record.expires_at >= drained - KEPT_MS:
        return False
    if record.state is ConnectionState.ENDED:
        return record.taken_back
    return Bond(record).asked_by_peer
