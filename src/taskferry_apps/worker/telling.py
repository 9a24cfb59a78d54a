"""What a worker tells its owner: one value a step, for lines on a terminal or JSON."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs

__all__ = ["Tell", "Told", "What"]


class What(Enum):
    """The kinds of step."""

    STARTED = "started"
    ACCEPTED = "accepted"
    RUNNING = "running"
    PROGRESS = "progress"
    SUBMITTED = "submitted"
    FAILED = "failed"
    STOPPED = "stopped"
    ENDED = "ended"
    LEFT = "left"
    LOST = "lost"
    TAKEN_OVER = "taken over"
    DECLINED = "declined"
    ASKING = "asking"
    AWAY = "away"
    BACK = "back"
    TROUBLE = "trouble"
    WOULD_ACCEPT = "would accept"
    WOULD_ASK = "would ask"
    WOULD_DECLINE = "would decline"


@attrs.frozen
class Told:
    """One step: of which task, and in words. Both may hold a peer's text."""

    what: What
    task: str = ""
    words: str = ""


Tell = Callable[[Told], None]
