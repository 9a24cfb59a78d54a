"""The owner's word on when breakers trip, for one connection."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.records import ConnectionState, Flow, PutBreaker

from ..breaker_settings import LIMIT_NAMES, most_of
from .bonds import Bond, all_bonds, find_bond
from .core import Core
from .draft import Draft
from .gate_views import ConnectionLimits
from .names import handle_of, require_owner
from .pair_limits import OwnLimits, keep_limits, own_limits
from .port import Caller, DaemonRefusal

__all__ = ["Limits"]

_IN_FORCE = frozenset({ConnectionState.ACCEPTED})


class Limits:
    """Lists them, and changes a connection's."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def listed(self, caller: Caller) -> tuple[BreakerLimits, tuple[ConnectionLimits, ...]]:
        """What this installation has, and each connection in force."""
        require_owner(caller)
        bonds = await all_bonds(self._core.store)
        views = [await self._view(bond) for bond in bonds if bond.record.state in _IN_FORCE]
        return self._core.pairs.limits, tuple(views)

    async def change(
        self, caller: Caller, named: str | tuple[str, str], change: Mapping[str, int | None]
    ) -> ConnectionLimits:
        """Set some of a connection's limits, or let them be as usual again (None).

        What is held stays held. What was refused meanwhile may be tried at once.
        """
        require_owner(caller)
        core = self._core
        for name, field in LIMIT_NAMES.items():
            number = change.get(field)
            if number is not None and not 1 <= number <= most_of(field):
                raise DaemonRefusal(
                    "bad-value",
                    f"{name} is 1 to {most_of(field):,}.",
                    "Choose another number.",
                    detail={"field": name.replace("-", "_")},
                )
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, _IN_FORCE)
            own = {**(await self._own(bond)).limits}
            for field, number in change.items():
                if number is None:
                    own.pop(field, None)
                else:
                    own[field] = number
            for flow in _flows(bond, core.own):
                draft.add(keep_limits(flow, OwnLimits(bond.record.request, own)))
                await _lift(draft, flow)
            peer, mine = await handle_of(core, bond.record.peer), bond.record.mine.name
            said = " ".join(f"{name}={own[field]}" for name, field in LIMIT_NAMES.items() if field in own)
            draft.audit(AuditKind.BREAKER_CHANGED, peer, mine=mine, limits=said)
            await draft.commit()
        return await self._view(bond)

    async def _own(self, bond: Bond) -> OwnLimits:
        record = bond.record
        return await own_limits(self._core.store, Flow(record.mine, record.peer), record.request)

    async def _view(self, bond: Bond) -> ConnectionLimits:
        own = (await self._own(bond)).limits
        return ConnectionLimits(
            bond.record.request,
            await handle_of(self._core, bond.record.mine),
            await handle_of(self._core, bond.record.peer),
            attrs.evolve(self._core.pairs.limits, **own),
            frozenset(own),
        )


def _flows(bond: Bond, own: bytes) -> tuple[Flow, ...]:
    """Each way in which it is counted here: two, between agents of one owner."""
    there = Flow(bond.record.mine, bond.record.peer)
    return (there, Flow(there.to, there.from_)) if bond.record.peer.account == own else (there,)


async def _lift(draft: Draft, flow: Flow) -> None:
    """Whether our agent may send is judged anew, by the limits of now."""
    breaker = (await draft.core.pairs.of(flow.from_, flow.to, draft.now)).breaker
    if breaker.refused_until is not None:
        draft.add(PutBreaker(attrs.evolve(breaker, refused_until=None)))
