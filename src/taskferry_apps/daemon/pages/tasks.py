"""`/dashboard/tasks`: all tasks, found by words and filters, a page at a time."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from quart import Response, request

from ..history_port import FoundTasks, TaskSearch
from ..port import DaemonRefusal
from .desk import Desk
from .owner import OWNER
from .page import Page
from .paging import further
from .task_words import STATES

__all__ = ["PAGES"]

_PAGE: Final = 30
_FIELD_CHARS: Final = 200
_OPEN: Final = frozenset(
    {"created", "sent", "accepted", "working", "submitted", "revision_requested", "resubmitted"}
)
#: States that are chosen together.
_GROUPS: Final = {
    "open": ("all that are open", _OPEN),
    "over": ("all that are over", frozenset(STATES) - _OPEN),
}
_ROLES: Final = {"requester": "asked by mine", "worker": "done by mine"}
_TURNS: Final = {"me": "my agent's turn", "peer": "the peer's turn"}


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    asked = {
        name: request.args.get(name, "").strip()[:_FIELD_CHARS]
        for name in ("q", "state", "role", "agent", "peer", "turn")
    }
    cursor = request.args.get("cursor", "")
    problem: DaemonRefusal | None = None
    found = FoundTasks((), "")
    try:
        found = await desk.daemon.history.tasks(OWNER, _search(asked), cursor, _PAGE)
    except DaemonRefusal as refusal:
        problem = refusal
    filters = {name: value for name, value in asked.items() if value}
    return await desk.show(
        "tasks.html",
        visitor,
        status=200 if problem is None else problem.status,
        problem=problem,
        found=found,
        asked=asked,
        is_filtered=bool(filters),
        is_first=not cursor,
        first=f"/dashboard/tasks?{urlencode(filters)}",
        older=further("/dashboard/tasks", filters, found.cursor),
        agents=await desk.daemon.agents(OWNER),
        groups={name: words for name, (words, _) in _GROUPS.items()},
        states=STATES,
        roles=_ROLES,
        turns=_TURNS,
    )


def _search(asked: dict[str, str]) -> TaskSearch:
    """What the filters mean; a value that no form of ours sends finds nothing, and says so."""
    state, role, turn = asked["state"], asked["role"], asked["turn"]
    if state and state not in _GROUPS and state not in STATES:
        raise _unknown("state", state)
    if role and role not in _ROLES:
        raise _unknown("role", role)
    if turn and turn not in _TURNS:
        raise _unknown("turn", turn)
    states = _GROUPS[state][1] if state in _GROUPS else frozenset({state} if state else ())
    return TaskSearch(asked["q"], states, role, asked["agent"], asked["peer"], waiting_for=turn)


def _unknown(field: str, value: str) -> DaemonRefusal:
    return DaemonRefusal(
        "bad-value", f"There is no {field} “{value}”.", "Choose one of the list.", detail={"field": field}
    )


PAGES: Final = (Page("GET", "/dashboard/tasks", _list),)
