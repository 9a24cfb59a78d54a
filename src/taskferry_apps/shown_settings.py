"""The daemon's settings as its owner is shown them: values, where each came from, what each means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.breakers import BreakerLimits

from .breaker_settings import written_limits
from .daemon.bounds import DaemonBounds, written_bounds
from .settings import DaemonSettings

__all__ = ["MEANINGS", "ShownSetting", "shown_settings"]

#: By the name of the field, which is the key in the file's table `[daemon]`.
MEANINGS: Final[Mapping[str, str]] = {
    "addr": "Where the pages and the local API listen; of this machine alone.",
    "data": "Where keys, credentials and the database are kept.",
    "db": "The database's file; not set: daemon.db in the data directory.",
    "relay": "The relay to use; not set: the one that set-up named.",
    "relay_token": "What lets a new account in at the relay, if its operator has given one out.",
    "relay_ca": "Certificates of the authorities to trust for the relay; not set: the system's.",
    "request_pause_days": "Days that one whose request you declined waits before asking again.",
    "breakers": "When a breaker stops agents that go on and on among themselves.",
    "limits": "How much of the audit log and of the counts of traffic is kept.",
    "local_api_token": "Your own credential; not set: made at the first start and kept with the keys.",
    "metrics_token": "What reads the daemon's numbers and nothing else; not set: your own credential.",
    "secrets": "Where keys are kept; auto: in the system's secret store if it was open at the first start.",
    "mcp": "Whether agents are served over MCP, which takes some 50 MB of memory.",
    "otel_endpoint": "The collector that spans and numbers are sent to; not set: nothing is sent.",
    "otel_headers": "What is sent along to the collector, such as its credential.",
    "otel_ca": "Certificates of the authorities to trust for the collector; not set: the system's.",
    "otel_one_in": "Of how many messages and requests one is traced.",
    "take_over": "Your word that no other copy of this data directory counts any more.",
    "log": "The least level that is logged.",
    "log_format": "How a line of the log is written; auto: as text on a terminal, as JSON elsewhere.",
}


@attrs.frozen
class ShownSetting:
    """One setting. `value` is never a secret's; `variables` are the environment variables that may set it."""

    name: str
    value: str
    source: str
    meaning: str
    variables: tuple[str, ...] = ()


def shown_settings(settings: DaemonSettings) -> tuple[ShownSetting, ...]:
    """All that have a source, in their order."""
    return tuple(
        ShownSetting(
            field.name,
            _shown(getattr(settings, field.name), is_secret=field.metadata["secret"]),
            settings.sources[field.name],
            MEANINGS.get(field.name, ""),
            field.metadata["environment"],
        )
        for field in attrs.fields(DaemonSettings)
        if field.name in settings.sources
    )


def _shown(value: object, *, is_secret: bool) -> str:
    if value is None:
        return "not set"
    if is_secret:
        return "set, not shown"
    if isinstance(value, BreakerLimits):
        return written_limits(value)
    if isinstance(value, DaemonBounds):
        return written_bounds(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return str(value)
