"""Telling a peer's agent of what the owner has decided about a connection, where anybody could read it."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import ConnectionEnded, GrantUpdated
from taskferry_protocol.records import ConnectionState

from .bonds import Bond
from .draft import Draft, Thread
from .port import DaemonRefusal

__all__ = ["tell_peer"]

#: No device serves the agent, or its owner has none left.
_NOBODY: Final = frozenset({RejectCode.UNKNOWN_RECIPIENT.value, RejectCode.DEVICE_GONE.value})


async def tell_peer(
    draft: Draft, body: ConnectionEnded | GrantUpdated, bond: Bond, state: ConnectionState
) -> Hash | None:
    """Post it, and note the step in the feed; the message, or None where nobody could open one.

    The decision stands all the same, or a peer would keep what it has by withdrawing its agent for a while:
    this daemon goes by it, and the relay is told. Raises DaemonRefusal as `Draft.post` does.
    """
    record, mark = bond.record, draft.mark()
    told: tuple[Hash, ...] = ()
    try:
        posted = await draft.post(body, record.mine, record.peer, Thread(draft.conversation()))
        told = (posted.hash,)
    except DaemonRefusal as refused:
        if refused.code not in _NOBODY:
            raise
        draft.back_to(mark)
    draft.tell("connection", record.mine.name, told, state=state.value, id=record.request.hex())
    return told[0] if told else None
