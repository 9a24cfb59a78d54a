"""Frames of one link that wait to be written: many small ones go out in one write."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

__all__ = ["Outbox"]

#: Frames beyond this wait for the next write.
TOGETHER_BYTES: Final = 65_536


class Outbox:
    """A queue of frames. How many may wait is for the link to say."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def extend(self, frames: Iterable[bytes]) -> None:
        """Put frames behind those that wait."""
        self._frames.extend(frames)

    def take(self) -> list[bytes]:
        """Take out the first frames: one, and those behind it that are small enough to go with it."""
        taken = [self._frames.popleft()]
        size = len(taken[0])
        while self._frames and (size := size + len(self._frames[0])) <= TOGETHER_BYTES:
            taken.append(self._frames.popleft())
        return taken
