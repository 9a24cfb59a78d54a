"""What a daemon's store answers about the programs that act as its agents; a part of `port.DaemonStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.records import (
    Flow,
    LeaseRecord,
    Order,
    PeerWord,
    Place,
    RuntimeId,
    RuntimeRecord,
    Settled,
    WaitingItem,
)

__all__ = ["RuntimeReads"]


class RuntimeReads(Protocol):
    """Runtimes, leases, and when agents were last seen, ours and peers'."""

    async def runtimes(self, agent: str | None) -> tuple[RuntimeRecord, ...]:
        """The runtimes of one agent of ours, or of all, by when they were bound."""

    async def runtime(self, runtime: RuntimeId) -> RuntimeRecord | None:
        """A runtime by its id."""

    async def leases(self, agent: str, units: Collection[Hash]) -> Mapping[Hash, LeaseRecord]:
        """The leases of an agent's units, whoever has them."""

    async def waiting(
        self,
        agent: str,
        limit: int,
        after: Place | None = None,
        order: Order = Order.OLDEST_FIRST,
        settled: Settled | None = None,
    ) -> tuple[WaitingItem, ...]:
        """What an agent has not processed, with its leases; nothing held or quiet, and nothing `settled`.

        `after` goes on behind a place, in the order.
        """

    async def unread(self, agent: str, hashes: Collection[Hash]) -> frozenset[Hash]:
        """Those of the messages that stand in an agent's inbox and were not read yet."""

    async def agents_seen(self) -> Mapping[str, Instant]:
        """When somebody last acted as each agent of ours; absent where nobody has."""

    async def peer_words(self, flows: Collection[Flow]) -> Mapping[Flow, PeerWord]:
        """What peers' daemons said last, by agent of ours (`from_`) and peer (`to`)."""
