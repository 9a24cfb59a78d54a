"""What is in force between two agents, out of all that is stored about them."""

from __future__ import annotations

from collections.abc import Iterable

from taskferry_protocol.admission import RelayConnection
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.permissions import Grant, newer_grant, recall_grant
from taskferry_protocol.rates import RATE_CEILING
from taskferry_protocol.records import StoredConnection

__all__ = ["connection_for", "grant_of", "is_limited"]


def is_limited(connection: RelayConnection | None) -> bool:
    """Whether a flow has a rate that can be reached: the state of one that has none is worth no row."""
    return connection is None or connection.grant is None or connection.grant.rate < RATE_CEILING


def grant_of(connection: StoredConnection, grantor: AgentRef) -> Grant | None:
    """What `grantor` lets the other agent of a stored connection send."""
    held: Grant | None = None
    for record in connection.grants:
        if record.grantor == grantor:
            held = newer_grant(held, recall_grant(record.raw))
    return held


def connection_for(known: Iterable[StoredConnection], recipient: AgentRef) -> RelayConnection | None:
    """The connection that counts for what `recipient` gets: the newest with a grant of its, or the newest."""
    found: RelayConnection | None = None
    for connection in known:
        grant = grant_of(connection, recipient)
        if found is None or grant is not None or found.grant is None:
            found = RelayConnection(connection.request, grant)
    return found
