"""What owners are told of a try to link a machine that comes to nothing."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import RejectCode

from .port import DaemonRefusal

__all__ = ["SAID", "nothing", "starting"]

SAID: Final = {
    RejectCode.WORDS_DIFFER: "The words do not belong together: nothing was signed, and this try is over.",
    RejectCode.EXPIRED: "Ten minutes are over: nothing was signed.",
    RejectCode.BAD_COMMIT: "The other machine did not keep to its first word: somebody may be in between.",
}
"""By code; for another one, its own text is said."""


def nothing() -> DaemonRefusal:
    """Whoever types words is told so where none are to be compared."""
    return DaemonRefusal(
        "conflict",
        "There are no words to compare now.",
        "Begin with `taskferry device link` on the new machine.",
        status=409,
    )


def starting() -> DaemonRefusal:
    """Whoever asks before the daemon runs."""
    return DaemonRefusal("internal", "The daemon is only starting.", "Try again.", status=503)
