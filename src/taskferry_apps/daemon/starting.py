"""Whether a program may begin by itself on what has come, without a person having looked at it."""

from __future__ import annotations

from collections.abc import Collection

from taskferry_protocol.ids import Hash
from taskferry_protocol.records import (
    ConnectionState,
    Direction,
    Flow,
    GateState,
    MessageRecord,
    PeerConnection,
    Trust,
)

from .bonds import Bond
from .core import Core
from .identity_changes import stopped
from .task_gate import OWNER

__all__ = ["may_start"]


async def may_start(core: Core, messages: Collection[MessageRecord]) -> frozenset[Hash]:
    """The messages, of those that came, on which programs may begin by themselves.

    A person has released their task; or the peer's grant says so, and its account is not unverified; or both
    agents are this owner's.
    """
    came = [message for message in messages if message.direction is Direction.IN]
    if not came:
        return frozenset()
    gates = await core.store.gates({message.task for message in came if message.task is not None})
    flows = {Flow(message.mine, message.peer) for message in came}
    granted = {flow for flow, held in (await core.store.connections_with(flows)).items() if _grants(held)}
    known = await core.store.accounts({message.peer.account for message in came})
    trusted = {account for account, pinned in known.items() if pinned.trust is not Trust.UNVERIFIED}
    trusted -= await stopped(core.store, known.keys())
    started = set()
    for message in came:
        gate = gates.get(message.task) if message.task is not None else None
        by_hand = gate is not None and gate.state is GateState.RELEASED and gate.by == OWNER
        by_grant = Flow(message.mine, message.peer) in granted and message.peer.account in trusted
        if by_hand or by_grant or message.peer.account == message.mine.account:
            started.add(message.hash)
    return frozenset(started)


def _grants(records: Collection[PeerConnection]) -> bool:
    for record in reversed(tuple(records)):
        if record.state is ConnectionState.ACCEPTED:
            given = Bond(record).given
            return given is not None and given.terms is not None and given.terms.auto_trigger
    return False
