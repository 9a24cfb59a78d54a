"""What this machine signed in a task at a place that another one of its owner's turned out to have."""

from __future__ import annotations

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import DeviceId, Hash
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.records import TaskRecord

from .alarms import raise_alarm
from .draft import Draft
from .labels import label_of
from .taskbook import Held

__all__ = ["tell_displaced"]


async def tell_displaced(draft: Draft, before: Held, after: Held, row: TaskRecord) -> None:
    """Tell our agent, once it is settled; and the owner, who has said no here and is not heard."""
    role, device = Role(row.role), draft.core.device
    known = _displaced(before, role, device)
    for hash, winner in _displaced(after, role, device).items():
        if hash in known:
            continue
        type_ = next(event.type for event in after.events if event.hash == hash)
        draft.tell(
            "superseded", row.mine.name, (hash, row.task), type=type_.value, reason="another device was first"
        )
        if type_ is EventType.TASK_DECLINE:
            label = await label_of(draft.core.store, await draft.own_log(), winner)
            text = f"Your no to task {row.task.hex()[:8]} came too late: your device {label} had answered it."
            await raise_alarm(draft, text, (row.task,))


def _displaced(held: Held, role: Role, device: DeviceId) -> dict[Hash, DeviceId]:
    """Events of `device` that are kept out by another's that is settled at their place, and whose that is."""
    settled = {
        line.event.link.n: line.event.device
        for line in held.view.taken
        if line.settled and line.event.role is role
    }
    ours = {event.hash for event in held.events if event.device == device}
    return {
        out.hash: settled[out.n]
        for out in held.view.refused
        if out.code is RejectCode.FORK
        and out.role is role
        and out.hash in ours
        and settled.get(out.n, device) != device
    }
