"""What a peer may send, as fields of a request."""

from __future__ import annotations

from typing import Final

from ...port import GrantChange
from ..errors import refusal
from ..fields import Choice, Field, Flag, Listed, Text, Values, Whole, optional
from ..kinds import Moment, OwnAgent, Peer

__all__ = ["BY_NAME", "CHANGES", "ID_FIELD", "connection_named", "grant_change"]

_CLASSES: Final = optional(
    "classes", Listed(Choice(("message", "task", "artifact")), 3), "What the peer may send.", None
)
_RATE: Final = optional("rate_per_minute", Whole(0, 2**32 - 1), "How many envelopes a minute.", None)
_LARGEST: Final = optional("largest_bytes", Whole(), "The largest envelope.", None)
_UNTIL: Final = optional("until", Moment(), "When it ends.", None)
_AUTO: Final = optional("auto_trigger", Flag(), "Whether work may start by itself.", None)
_GATE: Final = optional("human_gate", Flag(), "Whether a person confirms first.", None)
_BUDGET: Final = optional("task_budget", Whole(), "How many tasks may be open at once.", None)
_ARTIFACT: Final = optional("largest_artifact", Whole(), "The largest artifact in bytes.", None)

CHANGES: Final[tuple[Field[object], ...]] = (
    _CLASSES,
    _RATE,
    _LARGEST,
    _UNTIL,
    _AUTO,
    _GATE,
    _BUDGET,
    _ARTIFACT,
)

ID_FIELD: Final = optional(
    "id",
    Text(64, 8, pattern="[0-9a-fA-F]{8,64}", wanted="8 to 64 hexadecimal digits"),
    "The connection's id, or `from` and `to` instead.",
    None,
)
_FROM: Final = optional("from", OwnAgent(), "The agent of yours.", None)
_TO: Final = optional("to", Peer(), "The peer's agent.", None)

#: How a connection is named.
BY_NAME: Final[tuple[Field[object], ...]] = (ID_FIELD, _FROM, _TO)


def connection_named(values: Values) -> str | tuple[str, str]:
    """The id, or (mine, peer). Raises DaemonRefusal(missing-field)."""
    if (given := values[ID_FIELD]) is not None:
        return given.lower()
    mine, peer = values[_FROM], values[_TO]
    if mine is None or peer is None:
        raise refusal(
            "missing-field",
            "A connection is named by its id, or by from (yours) and to (the peer).",
            "Add them and try again.",
            field="from" if mine is None else "to",
        )
    return mine, peer


def grant_change(values: Values) -> GrantChange:
    """The changes among the fields of a request."""
    return GrantChange(
        classes=values[_CLASSES],
        rate_per_minute=values[_RATE],
        largest_bytes=values[_LARGEST],
        until=values[_UNTIL],
        auto_trigger=values[_AUTO],
        human_gate=values[_GATE],
        task_budget=values[_BUDGET],
        largest_artifact=values[_ARTIFACT],
    )
