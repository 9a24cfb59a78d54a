"""The other owners who are told what is new about this one: its log, and its agents' cards."""

from __future__ import annotations

from collections.abc import Collection

from taskferry_protocol.ids import AccountId
from taskferry_protocol.records import ConnectionState

from .bonds import all_bonds
from .draft import Draft

__all__ = ["connected_owners", "reachable"]


async def connected_owners(draft: Draft, agent: str | None = None) -> tuple[AccountId, ...]:
    """The accounts with which an agent of ours, or any, is connected, and which have a device to read it.

    One that has none left must not keep the others from the news.
    """
    connected: set[AccountId] = {
        bond.record.peer.account
        for bond in await all_bonds(draft.core.store, agent)
        if bond.record.state is ConnectionState.ACCEPTED
    }
    return await reachable(draft, connected)


async def reachable(draft: Draft, accounts: Collection[AccountId]) -> tuple[AccountId, ...]:
    """Those of these accounts that have a device to read anything."""
    found: list[AccountId] = []
    for account in sorted(set(accounts)):
        log = await draft.log(account)
        if log is not None and log.state.active_devices():
            found.append(account)
    return tuple(found)
