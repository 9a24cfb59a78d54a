"""All that is served, by subject."""

from __future__ import annotations

from typing import Final

from ..table import Route
from . import (
    agents,
    audit,
    connections,
    daemon,
    devices,
    events,
    inbox,
    messages,
    permissions,
    task_actions,
    tasks,
    tokens,
)
from .document import document_route

__all__ = ["ROUTES"]

_SUBJECTS: Final[tuple[Route, ...]] = (
    *daemon.ROUTES,
    *agents.ROUTES,
    *connections.ROUTES,
    *permissions.ROUTES,
    *messages.ROUTES,
    *inbox.ROUTES,
    *tasks.ROUTES,
    *task_actions.ROUTES,
    *events.ROUTES,
    *tokens.ROUTES,
    *audit.ROUTES,
    *devices.ROUTES,
)

#: Every route, the one that describes them among them.
ROUTES: Final[tuple[Route, ...]] = (*_SUBJECTS, document_route(_SUBJECTS))
