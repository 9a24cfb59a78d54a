"""How each of our agents stands with each peer's, for the breakers: in memory, read from the store once.

What passes is counted in the commit that stores it, so that a daemon that is killed counts on from there.
"""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.breakers import BreakerLimits, Exchanges
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    BreakerRecord,
    CountExchange,
    DaemonChange,
    DropSetting,
    Flow,
    ForgetExchanges,
    PutBreaker,
    PutSetting,
    SaveConnection,
)
from taskferry_stores.port import DaemonStore

from .bounds import BOUNDS
from .pair_limits import PREFIX, limits_between, limits_key

__all__ = ["Pair", "Pairs"]

_KEPT: Final = BOUNDS.pairs_held


@attrs.define
class Pair:
    """What passed between two agents since a person last decided, how much may, and how things stand."""

    limits: BreakerLimits
    exchanges: Exchanges
    breaker: BreakerRecord


class Pairs:
    """Asked while the core's lock is held, and told of every commit.

    `limits` are this installation's, where the owner has set no others for a connection.
    """

    def __init__(self, store: DaemonStore, limits: BreakerLimits) -> None:
        self._store = store
        self.limits = limits
        self._pairs: dict[Flow, Pair] = {}

    async def of(self, mine: AgentRef, peer: AgentRef, now: Instant) -> Pair:
        """The pair of an agent of ours and a peer's, as of the last commit."""
        flow = Flow(mine, peer)
        pair = self._pairs.pop(flow, None)
        if pair is None:
            breaker = (await self._store.breakers((flow,))).get(flow)
            limits = await limits_between(self._store, self.limits, flow)
            most = limits.talk_a_day + limits.events_a_day + limits.talk + limits.events
            known = await self._store.exchanges(flow, Instant(now - DAY_MS), most)
            pair = Pair(limits, Exchanges(limits, known), breaker or BreakerRecord(mine, peer))
        self._pairs[flow] = pair
        while len(self._pairs) > _KEPT:
            self._pairs.pop(next(iter(self._pairs)))
        return pair

    def took(self, change: DaemonChange) -> None:
        """A change is committed."""
        match change:
            case CountExchange(exchange=exchange):
                pair = self._pairs.get(Flow(exchange.mine, exchange.peer))
                if pair is not None:
                    pair.exchanges.count(exchange)
            case ForgetExchanges():
                pair = self._pairs.get(Flow(change.mine, change.peer))
                if pair is not None:
                    pair.exchanges.forget()
            case PutBreaker(breaker=breaker):
                pair = self._pairs.get(Flow(breaker.mine, breaker.peer))
                if pair is not None:
                    pair.breaker = breaker
            case SaveConnection(connection=record):
                # Another connection may have other limits: they are read anew.
                self._pairs.pop(Flow(record.mine, record.peer), None)
            case PutSetting(key=key) | DropSetting(key=key) if key.startswith(PREFIX):
                for flow in [flow for flow in self._pairs if limits_key(flow) == key]:
                    del self._pairs[flow]
            case _:
                pass
