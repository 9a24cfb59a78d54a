"""How pages write times, sizes, states and what others said: filters for templates. Pure but for `when`.

What a peer or a relay wrote goes through `said` or `lines` wherever it is shown: escaped, kept apart from
the direction of the text around it, and with everything unseen in it made visible.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from taskferry_protocol.former_names import shown_agent

from ..visible import one_line, visible

__all__ = [
    "FILTERS",
    "STATE_TONES",
    "ago",
    "beginning",
    "exact",
    "lines",
    "pill",
    "plain",
    "said",
    "short",
    "size",
    "when",
]

#: Longer titles and names are cut in lists; their own page shows the whole.
_LINE_CHARS: Final = 160
#: The last moment of the year 9999; others may name later ones.
_LAST_MS: Final = 253_402_300_799_999
#: More of a text than this is for a download, not for a page.
_TEXT_CHARS: Final = 65_536

#: Each state's tone, the same as its colour in the terminal: good, busy, mine, bad, or quiet.
STATE_TONES: Final[Mapping[str, str]] = {
    "created": "quiet",
    "sent": "busy",
    "accepted": "busy",
    "working": "busy",
    "submitted": "new",
    "resubmitted": "new",
    "revision_requested": "mine",
    "completed": "good",
    "declined": "bad",
    "cancelled": "bad",
    "expired": "bad",
    "failed": "bad",
    "queued": "quiet",
    "relayed": "busy",
    "delivered": "good",
    "requested_in": "mine",
    "requested_out": "busy",
    "revoked": "bad",
    "blocked": "bad",
    "ended": "bad",
    "held": "mine",
    "asked": "mine",
    "waiting": "mine",
    "unread": "mine",
    "offered": "busy",
    "read": "busy",
    "processed": "quiet",
    "idle": "good",
    "busy": "busy",
    "offline": "quiet",
    "active": "good",
    "connected": "good",
    "verified": "good",
    "pinned": "busy",
    "unverified": "mine",
    "changed": "bad",
}


def when(at: int | None, none: str = "never") -> Markup:
    """A time in UTC milliseconds: how long ago, with the exact time beneath the pointer."""
    if at is None:
        return Markup("{}").format(none)
    moment = _moment(at)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), exact(at), ago(at, int(time.time() * 1000))
    )


def exact(at: int) -> str:
    """A time in UTC milliseconds, to the second."""
    return f"{_moment(at):%d %B %Y, %H:%M:%S} UTC".lstrip("0")


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(min(at, _LAST_MS) // 1000, UTC)


def ago(at: int, now: int) -> str:
    """How long before or after `now`; both in UTC milliseconds."""
    seconds = (now - at) / 1000
    amount, future = abs(seconds), seconds < -1
    for unit_s, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if amount >= unit_s:
            # What lies ahead is rounded: a deadline set to two hours is not shown as one.
            words = f"{round(amount / unit_s) if future else int(amount // unit_s)} {unit}"
            return f"in {words}" if future else f"{words} ago"
    return "soon" if future else "just now" if amount < 5 else f"{int(amount)} s ago"


def size(count: int) -> str:
    """Bytes as people read them."""
    if count < 1_024:
        return f"{count} bytes" if count != 1 else "1 byte"
    amount, units = count / 1_024, ["TiB", "GiB", "MiB", "KiB"]
    unit = units.pop()
    while amount >= 1_024 and units:
        amount, unit = amount / 1_024, units.pop()
    return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"


def said(text: object, most: int = _LINE_CHARS) -> Markup:
    """Others' words in one line."""
    return Markup("<bdi>{}</bdi>").format(one_line(str(text), most))


def lines(text: object, most: int = _TEXT_CHARS) -> Markup:
    """Others' words with their line breaks; the page's style keeps those."""
    # Two characters may become one, and none becomes less: what is beyond is cut off in any case.
    whole = visible(str(text)[: 2 * most + 1])
    cut = whole if len(whole) <= most else whole[: most - 1] + "…"
    return Markup('<bdi class="said">{}</bdi>').format(cut)


def beginning(text: str, most: int) -> tuple[str, int]:
    """What fits of a text into `most` characters as it is shown, and how many of its own are left."""
    whole = text.replace("\r\n", "\n")
    shown = visible(whole[:most])
    if len(shown) <= most:
        return shown, len(whole[most:])
    # Fewer fit, since some are written as their codes.
    pieces: list[str] = []
    room = most
    for character in whole:
        piece = visible(character)
        room -= len(piece)
        if room < 0:
            break
        pieces.append(piece)
    return "".join(pieces), len(whole) - len(pieces)


def plain(text: object) -> str:
    """A piece of others' words, within an element that keeps it apart."""
    return visible(str(text))


def pill(state: str, words: str = "") -> Markup:
    """A state as a small label in its tone."""
    tone = STATE_TONES.get(state, "quiet")
    return Markup('<span class="pill {}">{}</span>').format(tone, words or state.replace("_", " "))


def short(identifier: bytes | str) -> str:
    """The beginning of an id, enough to tell it by and to name it in a command."""
    return (identifier.hex() if isinstance(identifier, bytes) else identifier)[:12]


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "when": when,
    "exact": exact,
    "size": size,
    "said": said,
    "lines": lines,
    "plain": plain,
    "pill": pill,
    "short": short,
    "agent": shown_agent,
}
