"""Structured logs on standard error: one line an event, key=value, or JSON when it is not a terminal.

Only fields that are named here pass: a field that nobody thought of cannot carry a secret or a payload out.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

__all__ = ["get_logger", "set_up_logs"]

_FIELDS: Final = frozenset(
    {
        "account",
        "agent",
        "attempt",
        "cls",
        "code",
        "count",
        "delay_s",
        "device",
        "event",
        "field",
        "kind",
        "needs_restart",
        "level",
        "message",
        "method",
        "owner",
        "peer",
        "pid",
        "reason",
        "recipient",
        "request",
        "route",
        "sender",
        "size",
        "state",
        "status",
        "table",
        "taken",
        "timestamp",
        "took_ms",
        "transport",
        "url",
        "version",
    }
)


class _Unfailing:
    """Standard error, of which a line that cannot be written is lost, and nothing else.

    Its disk may be full, its reader or its terminal gone: none of that is a reason to stop carrying mail.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def _only_known_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if name in _FIELDS}


def set_up_logs(level: str, form: str = "auto") -> None:
    """Log from `level` (debug, info or warning) on. Called again, it changes that.

    `form` is json, text, or auto: text on a terminal, JSON elsewhere.
    """
    on_terminal = sys.stderr.isatty()
    as_text = form == "text" or (form == "auto" and on_terminal)
    renderer = (
        structlog.dev.ConsoleRenderer(pad_event_to=28, colors=on_terminal)
        if as_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _only_known_fields,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Unfailing(sys.stderr))),
        # The level may change while the program runs.
        cache_logger_on_first_use=False,
    )


def get_logger() -> FilteringBoundLogger:
    """A logger; the event is a short sentence in the past tense, the rest stands in fields."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger
