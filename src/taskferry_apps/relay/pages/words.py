"""Times, amounts and others' text as pages show them. Pure."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

from taskferry_protocol.ids import Instant

from ...amounts import counted
from ...page_kit.words import size

__all__ = ["FILTERS", "ago", "exact", "inert", "length", "number", "share"]

_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))
_THOUSAND: Final = 1_000
_PERCENT: Final = 0.01
#: The last moment of the year 9999; a card may name a later one.
_LAST_MS: Final = 253_402_300_799_999
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def length(ms: float) -> str:
    """A length of time in one unit: `3 days`."""
    for unit, word in _UNITS:
        if ms >= unit:
            count = int(ms // unit)
            return f"{count} {word}{'s' if count != 1 else ''}"
    return "less than a second"


def ago(at: Instant, now: Instant) -> str:
    """`3 days ago`, `in 2 hours`, `just now`."""
    passed = now - at
    if abs(passed) < _THOUSAND:
        return "just now"
    return f"{length(passed)} ago" if passed > 0 else f"in {length(-passed)}"


def exact(at: Instant) -> str:
    """The whole time, for whoever points at it."""
    return _moment(at).strftime("%-d %B %Y, %H:%M:%S UTC")


def machine(at: Instant) -> str:
    """The time for programs (RFC 3339)."""
    return _moment(at).isoformat(timespec="seconds").replace("+00:00", "Z")


def _moment(at: Instant) -> datetime:
    return datetime.fromtimestamp(min(at, _LAST_MS) // 1000, UTC)


def number(value: int) -> str:
    """With thousands set apart."""
    return f"{value:,}"


def share(part: float) -> str:
    """A part of a limit in whole percents."""
    return "under 1 %" if part < _PERCENT else f"{part:.0%}".replace("%", " %")


def inert(text: object) -> str:
    """Others' text in one line, without anything that turns it around or is no character of a text."""
    return "".join(
        " " if character in "\n\r\t" else character if _is_harmless(character) else "\ufffd"
        for character in str(text)
    )


def inert_lines(text: object) -> str:
    """As `inert`, with its line breaks."""
    return "\n".join(inert(line) for line in str(text).splitlines())


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Co") and character not in _TURNING


FILTERS: Final = {
    "ago": ago,
    "counted": counted,
    "exact": exact,
    "inert": inert,
    "inert_lines": inert_lines,
    "length": length,
    "machine": machine,
    "number": number,
    "share": share,
    "size": size,
}
