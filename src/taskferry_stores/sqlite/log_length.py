"""How long the write-ahead log has become since it was last copied, reckoned without asking the disk."""

from __future__ import annotations

from typing import Final

__all__ = ["CHECKPOINT_BYTES", "LogLength"]

CHECKPOINT_BYTES = 32 * 1024 * 1024
"""About so much is written to the log before it is copied into the database."""
PAGE_BYTES: Final = 4_096
"""Of a page in the log, as SQLite makes them unless told otherwise."""
COMMIT_BYTES: Final = 40_960
"""What a commit costs in the log, however little is in it: a page of each table and index that it touches."""
CHANGE_BYTES: Final = 8_192
"""What a change costs there beside its own bytes, if it shares no page with others: a few pages."""
LEAST_SHARE: Final = 1 / 4
"""No less than this of what is reckoned so is taken to be written, however many changes shared a commit."""


class LogLength:
    """Adds up what commits write. Changes that share pages write less: how much less, each copy tells."""

    def __init__(self) -> None:
        self._reckoned = 0
        self._share = 1.0

    @property
    def is_long(self) -> bool:
        """Whether it is time to copy the log."""
        return self._reckoned * self._share >= CHECKPOINT_BYTES

    def add(self, changes: int, size: int = 0) -> None:
        """A commit was written, of so many changes with so many bytes of their own."""
        self._reckoned += COMMIT_BYTES + changes * CHANGE_BYTES + size

    def begin_copy(self) -> int:
        """It is being copied; what it was reckoned to be, for `copied`."""
        reckoned, self._reckoned = self._reckoned, 0
        return reckoned

    def copied(self, reckoned: int, pages: int) -> None:
        """It was copied, and had really so many pages."""
        if reckoned:
            self._share = min(1.0, max(LEAST_SHARE, pages * PAGE_BYTES / reckoned))
