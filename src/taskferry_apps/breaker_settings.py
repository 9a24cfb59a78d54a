"""When breakers trip, as an owner sets it: `messages=200,hops=12`, what is left out being as usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.limits import HOPS

__all__ = ["LIMIT_NAMES", "most_of", "read_limits", "written_limits"]

LIMIT_NAMES: Final[Mapping[str, str]] = {
    "hops": "hops",
    "messages": "talk",
    "messages-a-day": "talk_a_day",
    "events": "events",
    "events-a-day": "events_a_day",
    "repeats": "repeats",
    "task-messages": "budget",
}
"""The limits by the names that owners give them, and which of `BreakerLimits` each is."""
#: Nobody reads more in a day, and counts stay small.
_MOST: Final = 100_000


def most_of(field: str) -> int:
    """The largest number that a field of `BreakerLimits` may be set to; the least is 1."""
    return HOPS if field == "hops" else _MOST


def read_limits(text: str) -> BreakerLimits:
    """The limits that a text sets. Raises ValueError, which completes the sentence "it must be"."""
    found: dict[str, int] = {}
    for item in text.split(","):
        name, equals, number = item.strip().partition("=")
        if not item.strip():
            continue
        field = LIMIT_NAMES.get(name)
        if field is None or not equals or not number.isascii() or not number.isdigit() or len(number) > 6:
            raise ValueError(f"name=number, comma-separated, of {', '.join(LIMIT_NAMES)}")
        most = most_of(field)
        if not 1 <= int(number) <= most:
            raise ValueError(f"{name} from 1 to {most}")
        if field in found:
            raise ValueError(f"one number for each name; {name} has two")
        found[field] = int(number)
    return attrs.evolve(BreakerLimits(), **found)


def written_limits(limits: BreakerLimits) -> str:
    """The text that sets these limits."""
    return ",".join(f"{name}={getattr(limits, field)}" for name, field in LIMIT_NAMES.items())
