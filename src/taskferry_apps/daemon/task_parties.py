"""Between whom a task is: its request says so, and what somebody else has said of it before does not count.

Words about a task may come ahead of its request, and its id is no secret: the relay knows it, and whoever was
told of it. Nobody keeps a task out by speaking first.
"""

from __future__ import annotations

from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import ForgetTask

from .draft import Draft
from .taskbook import Held, view_of

__all__ = ["held_between"]


def held_between(draft: Draft, held: Held, mine: AgentRef, peer: AgentRef, *, proves: bool) -> Held:
    """What is held of a task that is between these two, or nothing yet, so far as anybody knows.

    `proves` says that what has come decides: the request, or a word of our own. What strangers to the task
    had said before is then forgotten in this draft. Raises RemoteProtocolError(wrong-party) otherwise.
    """
    between = {mine, peer}
    if not held.rows or any({row.mine, row.peer} == between for row in held.rows):
        return held
    if held.request is not None or not proves:
        raise RemoteProtocolError(RejectCode.WRONG_PARTY, "from a third party")
    draft.add(ForgetTask(held.task))
    return Held(
        held.task, (), {}, {}, (), held.revoked, view_of(held.task, (), draft.core.device, held.revoked)
    )
