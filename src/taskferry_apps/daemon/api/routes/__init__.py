"""All that is served, by subject."""

from __future__ import annotations

from typing import Final

from ..table import Route
from . import (
    agents,
    audit,
    backup,
    browsers,
    connections,
    daemon,
    doctor,
    events,
    inbox,
    invites,
    manage,
    messages,
    peers,
    permissions,
    recovery,
    task_actions,
    tasks,
    tokens,
)
from .document import document_route

__all__ = ["ROUTES"]

_SUBJECTS: Final[tuple[Route, ...]] = (
    *daemon.ROUTES,
    *recovery.ROUTES,
    *backup.ROUTES,
    *manage.ROUTES,
    *agents.ROUTES,
    *connections.ROUTES,
    *permissions.ROUTES,
    *invites.ROUTES,
    *browsers.ROUTES,
    *messages.ROUTES,
    *inbox.ROUTES,
    *tasks.ROUTES,
    *task_actions.ROUTES,
    *events.ROUTES,
    *tokens.ROUTES,
    *audit.ROUTES,
    *peers.ROUTES,
    *doctor.ROUTES,
)

#: Every route, the one that describes them among them.
ROUTES: Final[tuple[Route, ...]] = (*_SUBJECTS, document_route(_SUBJECTS))
