"""Words of ours in a task that did not arrive: those behind them wait at the peer, and that is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from taskferry_protocol.links import Role
from taskferry_protocol.records import MessageRecord, Rung
from taskferry_protocol.tasks import TaskEvent, TaskView

from .core import Core
from .names import handle_of
from .repeating import brought_again, is_barred_there, is_untimely_there

__all__ = ["lost_word", "unconfirmed"]

_LOST: Final = frozenset({Rung.EXPIRED, Rung.FAILED})


def unconfirmed(view: TaskView, role: Role) -> tuple[TaskEvent, ...]:
    """Our words, in their order, of which the peer has not said in the task itself that it has taken them."""
    known = max((line.event.link.seen.count for line in view.taken if line.event.role is not role), default=0)
    ours = (line.event for line in view.taken if line.event.role is role)
    return tuple(event for event in ours if event.link.n >= known)


async def lost_word(core: Core, events: Iterable[TaskEvent]) -> str:
    """What is to be known of the first of these that did not arrive, in a sentence; empty if none is lost."""
    listed = tuple(events)
    found = await core.store.message_states([event.hash for event in listed])
    for event in listed:
        for message in found.get(event.hash, ()):
            if message.rung in _LOST:
                peer = await handle_of(core, message.peer)
                what = f"The {event.type.value} of this side (event {event.link.n})"
                again = await brought_again(core, message.hash)
                if message.rung is not Rung.EXPIRED:
                    return _failed(what, message, peer, again)
                never = (
                    f"{what} expired; as far as is known {peer} never had it, and takes nothing that follows"
                )
                if again:
                    return f"{never} until it has. It is brought again, for half a year."
                return f"{never}. Tell its owner in another way, and ask anew in a new task."
    return ""


def _failed(what: str, message: MessageRecord, peer: str, again: bool) -> str:
    if is_barred_there(message):
        return (
            f"{what} was refused for want of permission; {peer} takes nothing that follows before its owner"
            " allows it. Then it gets there by itself."
        )
    if again and is_untimely_there(message):
        return (
            f"{what} was not in time by {peer}'s clock, and nothing that follows is taken before it is there."
            " It is brought again."
        )
    if again:
        return (
            f"{what} was signed by a clock that was ahead; {peer} takes nothing that follows before its time"
            " has come. Then it is brought again."
        )
    return f"{what} did not get there: {message.code or 'failed'}. {peer} takes nothing that follows."
