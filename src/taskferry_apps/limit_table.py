"""A table of limits: an attrs class whose fields say what each is of, in what unit, and why."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import attrs

__all__ = [
    "Limit",
    "LimitRow",
    "Of",
    "Unit",
    "amount_in_words",
    "changed_by",
    "described",
    "fixed",
    "rows_of",
    "settable",
    "value_in_words",
]


class Of(StrEnum):
    """What a limit is of."""

    NETWORK = "connections and requests"
    SESSIONS = "sessions"
    MAIL = "mail"
    DISK = "the disk"
    JOINING = "joining"
    PAGES = "pages"
    MEMORY = "what is held in memory"
    PEERS = "what others send"
    PROGRAMS = "programs of this machine"


class Unit(StrEnum):
    """What a limit counts."""

    COUNT = "count"
    BYTES = "bytes"
    SECONDS = "s"
    MS = "ms"
    DAYS = "d"
    PER_MINUTE = "a minute"
    PER_HOUR = "an hour"


@attrs.frozen
class Limit:
    """One limit: its name as an operator writes it, and what holds of it wherever it is used.

    `span` is the least and the most that it may be set to; None where it is fixed. `none`: 0 means no limit.
    """

    name: str
    field: str
    of: Of
    usual: int
    unit: Unit
    why: str
    span: tuple[int, int] | None
    none: bool = False


@attrs.frozen
class LimitRow:
    """A limit as it is now; `used` is how much of it is taken, None where that is not known."""

    limit: Limit
    value: int
    source: str
    used: int | None = None

    @property
    def words(self) -> str:
        """What it is, for people."""
        return value_in_words(self.limit, self.value)

    @property
    def used_words(self) -> str:
        """How much of it is taken; a hyphen where that is not known."""
        return "-" if self.used is None else amount_in_words(self.limit.unit, self.used)

    @property
    def share(self) -> float | None:
        """The part of it that is taken."""
        return None if self.used is None or not self.value else self.used / self.value


def value_in_words(limit: Limit, value: int) -> str:
    """`256 MiB`, `30 min`, `600 a minute`; "none" where 0 means that there is no limit."""
    if limit.none and not value:
        return "none"
    words = amount_in_words(limit.unit, value)
    return words if limit.unit in (Unit.COUNT, Unit.BYTES, Unit.MS) else f"{words} {limit.unit}"


def amount_in_words(unit: Unit, amount: int) -> str:
    """An amount that is counted so; a rate without its time."""
    match unit:
        case Unit.BYTES:
            return _size(amount)
        case Unit.MS:
            return _time(amount)
        case _:
            return f"{amount:,}"


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < _KIBI or unit == "GiB":
            return f"{amount:,.0f} {unit}" if amount == int(amount) else f"{amount:,.1f} {unit}"
        amount /= _KIBI
    raise AssertionError("the last unit takes everything")


def _time(ms: int) -> str:
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms % size == 0 and ms >= size:
            return f"{ms // size:,} {unit}"
    return f"{ms} ms"


_KIBI: Final = 1_024
#: A dozen digits say a terabyte.
_DIGITS: Final = 13


def settable(of: Of, usual: int, unit: Unit, why: str, span: tuple[int, int], *, none: bool = False) -> Any:
    """A field that may be set within `span`."""
    return attrs.field(
        default=usual, metadata={"of": of, "unit": unit, "why": why, "span": span, "none": none}
    )


def fixed(of: Of, usual: int, unit: Unit, why: str) -> Any:
    """A field that is as it is."""
    return attrs.field(
        default=usual, metadata={"of": of, "unit": unit, "why": why, "span": None, "none": False}
    )


def described(kind: type[attrs.AttrsInstance]) -> Mapping[str, Limit]:
    """The limits of a class by their names, in their order."""
    limits = (
        Limit(field.name.replace("_", "-"), field.name, usual=field.default, **field.metadata)
        for field in attrs.fields(kind)
    )
    return {limit.name: limit for limit in limits}


def changed_by(text: str, limits: Mapping[str, Limit]) -> dict[str, int]:
    """What a text sets, by field: `name=number`, comma-separated.

    Raises ValueError, which completes the sentence "it must be".
    """
    found: dict[str, int] = {}
    for item in text.split(","):
        name, equals, number = (part.strip() for part in item.partition("="))
        if not item.strip():
            continue
        limit = limits.get(name)
        if limit is None or limit.span is None:
            names = ", ".join(known.name for known in limits.values() if known.span is not None)
            raise ValueError(f"name=number, comma-separated, of {names}")
        least, most = limit.span
        is_number = bool(equals) and number.isascii() and number.isdigit() and len(number) <= _DIGITS
        if not is_number or not least <= int(number) <= most:
            raise ValueError(f"such that {name} is a number from {least} to {most}")
        if limit.field in found:
            raise ValueError(f"one number for each name; {name} has two")
        found[limit.field] = int(number)
    return found


def rows_of(limits: attrs.AttrsInstance, source: str) -> tuple[LimitRow, ...]:
    """All as they are now; `source` says where those come from that are not as usual."""
    rows = []
    for limit in described(type(limits)).values():
        value = getattr(limits, limit.field)
        where = source if value != limit.usual else "fixed" if limit.span is None else "default"
        rows.append(LimitRow(limit, value, where))
    return tuple(rows)
