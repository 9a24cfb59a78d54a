"""The other owners who are told what is new about this one: its log, and its agents' cards."""

from __future__ import annotations

from taskferry_protocol.ids import AccountId
from taskferry_protocol.records import ConnectionState

from .bonds import all_bonds
from .draft import Draft

__all__ = ["connected_owners"]


async def connected_owners(draft: Draft, agent: str | None = None) -> tuple[AccountId, ...]:
    """The accounts with which an agent of ours, or any, is connected, and which have a device to read it.

    One that has none left must not keep the others from the news.
    """
    connected: set[AccountId] = {
        bond.record.peer.account
        for bond in await all_bonds(draft.core.store, agent)
        if bond.record.state is ConnectionState.ACCEPTED
    }
    found: list[AccountId] = []
    for account in sorted(connected):
        log = await draft.log(account)
        if log is not None and log.state.active_devices():
            found.append(account)
    return tuple(found)
