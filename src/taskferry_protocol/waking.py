"""When an agent that nobody runs is worth a hint: one for what comes together, one more, and then no more.

Reading confirms a hint. What was read or acknowledged, and what waits for the owner, is not unread.
"""

from __future__ import annotations

from typing import Final

import attrs

from .ids import Instant
from .limits import MINUTE_MS
from .records import RuntimeRecord, RuntimeStatus

__all__ = ["APART_MS", "HINTS", "READING_MS", "REPEAT_MS", "Progress", "Verdict", "decide", "reads_until"]

#: Between two hints of one wake, at least.
APART_MS: Final = 30_000
#: A hint that nobody has followed is repeated once after so long.
REPEAT_MS: Final = 10 * MINUTE_MS
#: Hints for the same unread items, the repetition counted.
HINTS: Final = 2
#: After it looked or acted last, a program still counts as reading for so long, where it is idle, or busy.
READING_MS: Final = 90_000
BUSY_MS: Final = 60 * MINUTE_MS


@attrs.frozen
class Progress:
    """How far a wake has come: `newest` is the place of the newest item that a hint was given for."""

    newest: int = 0
    hints: int = 0
    hinted_at: Instant | None = None


@attrs.frozen
class Verdict:
    """What to do now, what to remember, and when to look again; None: when there is news."""

    hint: bool
    progress: Progress
    again_at: Instant | None = None


def reads_until(runtime: RuntimeRecord, acted: Instant | None) -> Instant:
    """Until when a live runtime counts as reading by itself.

    `acted` is when it did anything but say that it lives, None for one that sends no heartbeats: a session
    that somebody has left open lives on, and looks into no inbox.
    """
    if acted is None:
        return runtime.expires_at
    busy = runtime.status is RuntimeStatus.BUSY
    return min(runtime.expires_at, Instant(acted + (BUSY_MS if busy else READING_MS)))


def decide(progress: Progress, newest: int, reader_until: Instant | None, now: Instant) -> Verdict:
    """`newest` is the place of the newest unread item, 0 where there is none.

    `reader_until` is until when a program counts as reading by itself, None if none does.
    """
    if not newest:
        # The time of the last hint stays, so that reading and new mail in turns make no storm.
        return Verdict(hint=False, progress=Progress(0, 0, progress.hinted_at))
    is_news = newest > progress.newest
    if not is_news and progress.hints >= HINTS:
        return Verdict(hint=False, progress=progress)
    if reader_until is not None and reader_until > now:
        return Verdict(hint=False, progress=progress, again_at=reader_until)
    if progress.hinted_at is not None:
        wait = APART_MS if is_news or not progress.hints else REPEAT_MS
        # Where the clock was set back, the wait is measured anew from here on: it would never end otherwise.
        since = min(progress.hinted_at, now)
        due = Instant(since + wait)
        if now < due:
            progress = attrs.evolve(progress, hinted_at=since)
            return Verdict(hint=False, progress=progress, again_at=due)
    hints = 1 if is_news else progress.hints + 1
    again = Instant(now + REPEAT_MS) if hints < HINTS else None
    return Verdict(hint=True, progress=Progress(newest, hints, now), again_at=again)
