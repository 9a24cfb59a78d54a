"""Structured logs on standard error: one line an event, key=value, or JSON when it is not a terminal.

Only fields that are named here pass: a field that nobody thought of cannot carry a secret or a payload out.
"""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from .log_writer import LogWriter, raw_of

__all__ = ["END_S", "end_logs", "get_logger", "set_up_logs"]

#: How long a program that ends waits for whoever reads its log.
END_S: Final = 1.0

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
    """A stream of which a line that cannot be written is lost, and nothing else.

    For one that is a program's own; to the system's a thread writes, see `log_writer`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _Lines:
    """The factory of loggers, which keeps where lines go for as long as standard error is the same."""

    def __init__(self, stream: TextIO, told: Callable[[int], str]) -> None:
        self.stream = stream
        raw = raw_of(stream)
        self.writer = LogWriter(stream, raw, told) if raw is not None else None
        self._file = cast(TextIO, self.writer or _Unfailing(stream))
        if self.writer is not None:
            atexit.register(self.writer.end, END_S)

    def __call__(self, *_: object) -> structlog.WriteLogger:
        return structlog.WriteLogger(self._file)


class _Stray(logging.Handler):
    """What a library says in the standard way where nobody listens: it goes the same way as ours."""

    def __init__(self, lines: _Lines) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines().msg(self.format(record))


def _only_known_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if name in _FIELDS}


def set_up_logs(level: str, form: str = "auto") -> None:
    """Log from `level` (debug, info or warning) on. Called again, it changes that.

    `form` is json, text, or auto: text on a terminal, JSON elsewhere.
    """
    on_terminal = sys.stderr.isatty()
    as_text = form == "text" or (form == "auto" and on_terminal)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(pad_event_to=28, colors=on_terminal)
        if as_text
        else structlog.processors.JSONRenderer()
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def told(count: int) -> str:
        event: EventDict = {"event": "lines of this log were lost", "count": count, "level": "error"}
        return cast(str, renderer(None, "error", stamp(None, "error", event))) + "\n"

    lines = structlog.get_config()["logger_factory"]
    if not isinstance(lines, _Lines) or lines.stream is not sys.stderr:
        lines = _Lines(sys.stderr, told)
    elif lines.writer is not None:
        lines.writer.told = told
    logging.lastResort = _Stray(lines)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _only_known_fields,
            stamp,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lines,
        # The level may change while the program runs.
        cache_logger_on_first_use=False,
    )


def end_logs() -> None:
    """Wait until what was logged is written, but no longer than `END_S`: before a program says its last."""
    lines = structlog.get_config()["logger_factory"]
    if isinstance(lines, _Lines) and lines.writer is not None:
        lines.writer.end(END_S)


def get_logger() -> FilteringBoundLogger:
    """A logger; the event is a short sentence in the past tense, the rest stands in fields."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger
