"""The way to a relay, as whoever composes the daemon gives it, and why a session over it ended."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

import attrs

from taskferry_transports.port import Dialer

from ..relay_client import LinkEnded
from .port import DaemonRefusal

__all__ = ["RELAY_SETTING", "Route", "RouteTo", "first_end", "unreachable"]

#: The setting that holds the URL of the relay named at set-up.
RELAY_SETTING: Final = "relay"


@attrs.frozen
class Route:
    """How to reach a relay: what dials it, under which origin, and what the owner should know of the way."""

    dialer: Dialer
    origin: str
    offered: tuple[str, ...] = ()
    notice: Callable[[], str] = attrs.field(default=lambda: "")
    tls: ssl.SSLContext | None = None
    """How the relay has to prove itself; None: by the system's authorities."""
    stands: Callable[[], bool] = attrs.field(default=lambda: False)
    """Whether a better transport stands already, for which the last session was ended."""


RouteTo = Callable[[str], Route]
"""The route to a relay's URL."""


def first_end(group: BaseExceptionGroup[LinkEnded]) -> LinkEnded:
    """Why a session is over that ended inside nurseries."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, LinkEnded):
        raise TypeError("a group of LinkEnded holds nothing else")
    return error


def unreachable(reason: str) -> DaemonRefusal:
    """What anybody is told who needs the relay while there is no session; `reason` may be empty."""
    why = f" ({reason})" if reason else ""
    return DaemonRefusal(
        "relay-unreachable",
        f"The relay cannot be asked now{why}.",
        "Try again once the daemon is connected; see: taskferry status",
        status=503,
    )
