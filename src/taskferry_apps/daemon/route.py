"""The way to a relay, as whoever composes the daemon gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from taskferry_transports.port import Dialer

__all__ = ["RELAY_SETTING", "Route", "RouteTo"]

#: The setting that holds the URL of the relay named at set-up.
RELAY_SETTING: Final = "relay"


@attrs.frozen
class Route:
    """How to reach a relay: what dials it, under which origin, and what the owner should know of the way."""

    dialer: Dialer
    origin: str
    offered: tuple[str, ...] = ()
    notice: Callable[[], str] = attrs.field(default=lambda: "")


RouteTo = Callable[[str], Route]
"""The route to a relay's URL."""
