"""What a command says about its progress: found in its lines, and told no more often than is bearable."""

from __future__ import annotations

import re
from typing import Final

import attrs

from .text import harmless

__all__ = ["PREFIX", "Lines", "Progress", "Waiting", "progress_in"]

PREFIX: Final = b"taskferry: progress "
_PERCENT: Final = re.compile(r"(100|[0-9]{1,2})(?:\s*%)?(?:\s+|$)", re.ASCII)
_LONGEST: Final = 500
#: A longer line is cut: nobody's line makes memory grow.
_MOST_OF_LINE: Final = 4_096


@attrs.frozen
class Progress:
    """One report."""

    message: str
    percent: int | None = None


def progress_in(line: bytes, *, is_bare: bool = False) -> Progress | None:
    """The report in a line: after the prefix, or with `is_bare` in any line that says something."""
    if line.startswith(PREFIX):
        line = line[len(PREFIX) :]
    elif not is_bare:
        return None
    words = harmless(line.decode(errors="replace")).replace("\t", " ").strip()[:_LONGEST]
    found = _PERCENT.match(words)
    if found:
        return Progress(words[found.end() :].strip(), int(found[1]))
    return Progress(words) if words else None


@attrs.define
class Lines:
    """Lines of a stream that comes in pieces."""

    _rest: bytes = b""
    _is_inside: bool = False

    def feed(self, piece: bytes) -> list[tuple[bytes, bool]]:
        """What `piece` completes, line breaks and all; of a very long line pieces, the first marked True."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        lines = []
        for line in whole:
            lines.append((line + b"\n", not self._is_inside))
            self._is_inside = False
        if len(self._rest) > _MOST_OF_LINE:
            lines.append((self._rest, not self._is_inside))
            self._rest, self._is_inside = b"", True
        return lines

    def end(self) -> list[tuple[bytes, bool]]:
        """What came after the last line break."""
        rest, self._rest = self._rest, b""
        return [(rest, not self._is_inside)] if rest else []


@attrs.define
class Waiting:
    """Reports come as they like; at most one in `every_s` seconds goes out, always the newest."""

    every_s: float
    _newest: Progress | None = None
    _last_sent: Progress | None = None
    _next_at: float = 0.0

    def put(self, report: Progress) -> None:
        """A report; an unsent one gives way."""
        if report != self._last_sent:
            self._newest = report

    def due(self, now: float) -> Progress | None:
        """The report to send now, if any."""
        if self._newest is None or now < self._next_at:
            return None
        report, self._newest = self._newest, None
        self._last_sent, self._next_at = report, now + self.every_s
        return report

    def delay(self, now: float) -> float | None:
        """Seconds until one is due; None while there is none."""
        return None if self._newest is None else max(0.0, self._next_at - now)
