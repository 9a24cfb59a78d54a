"""What queries for connections ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from taskferry_protocol.ids import AccountId, Hash
from taskferry_protocol.records import AgentPair, StoredConnection

from ..rules import require_few_between, require_few_connections


def live(held: Mapping[Hash, StoredConnection]) -> Iterator[StoredConnection]:
    """Those that are not ended, in their order."""
    return (connection for connection in held.values() if not connection.end_raw)


def connections_between(
    live: Iterable[StoredConnection], pairs: Collection[AgentPair]
) -> dict[AgentPair, tuple[StoredConnection, ...]]:
    """Those between two agents, by pair, in their order."""
    found: dict[AgentPair, tuple[StoredConnection, ...]] = {}
    for connection in live:
        pair = AgentPair.of(connection.from_, connection.to)
        if pair in pairs:
            found[pair] = (*found.get(pair, ()), connection)
    return found


def connections_of(
    held: Mapping[Hash, StoredConnection], account: AccountId, after: Hash | None
) -> tuple[StoredConnection, ...]:
    """An account's, by rising request."""
    return tuple(
        connection
        for request, connection in sorted(held.items())
        if account in (connection.from_.account, connection.to.account) and (after is None or request > after)
    )


def linked_accounts(
    live: Iterable[StoredConnection], pairs: Collection[tuple[AccountId, AccountId]]
) -> frozenset[tuple[AccountId, AccountId]]:
    """Those of the pairs of accounts between which there is one, whichever asked."""
    linked = {(connection.from_.account, connection.to.account) for connection in live}
    return frozenset((a, b) for a, b in pairs if (a, b) in linked or (b, a) in linked)


def require_room_beside(held: Mapping[Hash, StoredConnection], new: StoredConnection, most: int) -> None:
    """Refuse a connection whose sides, or whose two agents, have as many as they may (`too-many`)."""
    require_few_connections(
        [len(connections_of(held, side.account, None)) for side in (new.from_, new.to)], most
    )
    pair = AgentPair.of(new.from_, new.to)
    require_few_between(len(connections_between(live(held), {pair}).get(pair, ())))
