"""Amounts in words: bytes, lists, and times that are told in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from .printed import ago, clean

__all__ = ["bytes_in_words", "counted", "listed", "several", "time_in_words"]


def bytes_in_words(value: object) -> str:
    """`256 KiB` where that is exact, `1,234 bytes` elsewhere; "0 bytes" for what is no number."""
    if not isinstance(value, int):
        return "0 bytes"
    for size, unit in ((1_048_576, "MiB"), (1_024, "KiB")):
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,} bytes"


def counted(number: int, one: str, more: str) -> str:
    """`1 entry` or `1,200 entries`."""
    return f"{number:,} {one if number == 1 else more}"


def several(told: object, one: str, more: str) -> str:
    """The same of a number that is told by others, whatever it is."""
    number = clean(told)
    return f"{number} {one if number == '1' else more}"


def listed(words: list[str]) -> str:
    """`a, b and c`; there is at least one."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def time_in_words(ms: object) -> str:
    """`in 3 d` or `2 h ago`, of milliseconds since 1970; "" for what is no time."""
    if not isinstance(ms, int):
        return ""
    try:
        return ago(datetime.fromtimestamp(ms / 1000, UTC).isoformat())
    except (OverflowError, OSError, ValueError):
        return ""
