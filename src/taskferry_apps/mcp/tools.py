"""Calling a tool: arguments are read, refusals put into words, the owner's decision is awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from ..client.errors import ApprovalNeeded, TaskFerryError
from . import artifacts, inbox, people, showing, tasks, waiting
from .answers import Answer, refused, short, trouble
from .catalogue import TOOLS
from .desk import Desk, Host
from .schema import Arguments, BadArgument, read_arguments

__all__ = ["call", "is_tool"]

_Tool = Callable[[Desk, Arguments, Host], Awaitable[Answer]]

_DOES: Final[Mapping[str, _Tool]] = {
    "taskferry_whoami": people.whoami,
    "taskferry_inbox": inbox.inbox,
    "taskferry_show": showing.show,
    "taskferry_ack": inbox.ack,
    "taskferry_wait": waiting.wait,
    "taskferry_task_create": tasks.create,
    "taskferry_task_list": tasks.listing,
    "taskferry_task_respond": tasks.respond,
    "taskferry_task_review": tasks.review,
    "taskferry_artifact_save": artifacts.save,
    "taskferry_message": people.message,
    "taskferry_connect": people.connect,
}
#: How long a call waits for an owner whom the host has just told.
_OWNER_S: Final = 300


def is_tool(name: str) -> bool:
    """Whether there is such a tool."""
    return name in _DOES


async def call(desk: Desk, name: str, given: object, host: Host) -> Answer:
    """What a tool answers; a refusal is an answer, too."""
    try:
        args = read_arguments(TOOLS[name].takes, given)
        try:
            return await _DOES[name](desk, args, host)
        except ApprovalNeeded as asked:
            if not await _owner_has_approved(desk, asked.approval, host):
                return refused(asked)
            return await _DOES[name](desk, args, host)
    except BadArgument as bad:
        return trouble(str(bad), f"See the schema of {name}.")
    except TaskFerryError as error:
        return refused(error)


async def _owner_has_approved(desk: Desk, approval: str, host: Host) -> bool:
    """Lead the human at the host to the owner's own approval, and wait for that.

    Whatever is answered at the host comes over the agent's credential, so it decides nothing.
    """
    id = short(approval)
    agent = await desk.agent()
    seen = await host.notice(
        f"TaskFerry: agent {agent} wants to send something that its owner approves first (approval {id}). "
        f"Look at it and decide in a terminal of your own: taskferry approvals show {id}. "
        "An answer here approves nothing; it only lets the agent wait for your decision."
    )
    if seen != "seen":
        return False
    found = await waiting.decided(desk, approval, _OWNER_S, host)
    return found.is_approved
