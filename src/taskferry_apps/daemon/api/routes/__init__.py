"""All that is served, by subject."""

from __future__ import annotations

from typing import Final

from ..table import Route
from . import (
    agents,
    alarms,
    approvals,
    audit,
    backup,
    breakers,
    browsers,
    connections,
    daemon,
    devices,
    doctor,
    events,
    friends,
    gates,
    inbox,
    invites,
    manage,
    many_messages,
    messages,
    modes,
    peers,
    permissions,
    recovery,
    rules,
    runtimes,
    stops,
    task_actions,
    tasks,
    tokens,
    wakes,
)
from .document import document_route

__all__ = ["ROUTES"]

_SUBJECTS: Final[tuple[Route, ...]] = (
    *daemon.ROUTES,
    *recovery.ROUTES,
    *backup.ROUTES,
    *breakers.ROUTES,
    *manage.ROUTES,
    *agents.ROUTES,
    *connections.ROUTES,
    *friends.ROUTES,
    *permissions.ROUTES,
    *invites.ROUTES,
    *browsers.ROUTES,
    *gates.ROUTES,
    *stops.ROUTES,
    *rules.ROUTES,
    *approvals.ROUTES,
    *modes.ROUTES,
    *many_messages.ROUTES,
    *messages.ROUTES,
    *inbox.ROUTES,
    *runtimes.ROUTES,
    *tasks.ROUTES,
    *task_actions.ROUTES,
    *events.ROUTES,
    *wakes.ROUTES,
    *tokens.ROUTES,
    *audit.ROUTES,
    *peers.ROUTES,
    *doctor.ROUTES,
    *alarms.ROUTES,
    *devices.ROUTES,
)

#: Every route, the one that describes them among them.
ROUTES: Final[tuple[Route, ...]] = (*_SUBJECTS, document_route(_SUBJECTS))
