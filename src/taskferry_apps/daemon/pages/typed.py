"""What an owner types into a form, read strictly: a refusal names the field and says how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from taskferry_protocol.ids import Hash, Instant

from ..port import DaemonRefusal

__all__ = ["chosen", "moment_text", "moment_typed", "stale", "whole_hash", "whole_typed"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
#: The last moment that is written with four digits of a year.
_LAST: Final = 253_402_300_799_999
_UNITS_MS: Final = {"m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,5}) ?(m|min|h|d)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def moment_typed(text: str, now: Instant, field: str) -> Instant | None:
    """`30m`, `2h`, `3d` from `now`, or a time with its zone that is to come; None for nothing.

    Raises DaemonRefusal(bad-value).
    """
    typed = text.strip()
    if not typed:
        return None
    if match := _LENGTH.fullmatch(typed):
        return Instant(now + int(match[1]) * _UNITS_MS[match[2]])
    try:
        moment = datetime.fromisoformat(typed.upper())
    except ValueError:
        raise _bad(field, "A time looks like 30m, 2h, 3d or 2030-12-24T18:00Z.") from None
    if moment.tzinfo is None:
        raise _bad(field, "A time needs its zone, as in 2030-12-24T18:00Z.")
    try:
        at = (moment.astimezone(UTC) - _EPOCH) // _MS
    except OverflowError:
        raise _bad(field, "That time is beyond every calendar.") from None
    if at <= now:
        raise _bad(field, "That time has passed already.")
    return Instant(at)


def moment_text(at: Instant | None) -> str:
    """A moment as `moment_typed` reads it, to the millisecond; "" for none."""
    if at is None:
        return ""
    moment = _EPOCH + min(at, _LAST) * _MS
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def whole_typed(text: str, most: int, field: str) -> int:
    """A whole number from 0 to `most`. Raises DaemonRefusal(bad-value)."""
    typed = text.strip().replace(",", "")
    if not _NUMBER.fullmatch(typed) or int(typed) > most:
        raise _bad(field, f"A whole number from 0 to {most:,} is wanted.")
    return int(typed)


def chosen(form: Mapping[str, str], field: str, among: tuple[str, ...]) -> str:
    """What was chosen among a form's answers. Raises DaemonRefusal(bad-value)."""
    answer = form.get(field, "")
    if answer not in among:
        raise _bad(field, "That is none of the answers of this page.")
    return answer


def whole_hash(text: str, what: str) -> Hash:
    """A hash that a page has written out in full. Raises DaemonRefusal(not-found)."""
    if not _HASH.fullmatch(text):
        raise DaemonRefusal("not-found", f"There is no such {what}.", "Begin from its list.", status=404)
    return Hash(bytes.fromhex(text))


def stale(what: str) -> DaemonRefusal:
    """What the page showed is not what there is now; nothing was done."""
    return DaemonRefusal(
        "conflict", f"{what} has changed since this page was made.", "Look again, then decide.", status=409
    )


def _bad(field: str, text: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", text, "Go back, mend it and try again.", detail={"field": field})
