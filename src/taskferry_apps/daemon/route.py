"""How a daemon gets to a relay; which parts carry it there is named where daemons are composed."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from taskferry_transports.port import Dialer

__all__ = ["Route", "RouteTo"]


@attrs.frozen
class Route:
    """How to reach a relay: what dials it, under which origin, and what the owner should know of the way."""

    dialer: Dialer
    origin: str
    offered: tuple[str, ...] = ()
    notice: Callable[[], str] = attrs.field(default=lambda: "")


RouteTo = Callable[[str], Route]
"""The route to a relay's URL."""
