"""Frames of one session that wait to be written: few, and small in all, or its daemon is not heard.

Many small ones go out in one write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from .limits import USUAL

__all__ = ["Outbox"]

FRAMES: Final = USUAL.outbox_frames
BYTES: Final = USUAL.outbox_bytes
#: Frames beyond this wait for the next write.
TOGETHER_BYTES: Final = 65_536


class Outbox:
    """A queue that takes whatever it is given, and says when that is too much.

    An answer to one frame always finds room, so it holds the answers to what was heard together at most above
    its bounds.
    """

    __slots__ = ("_bytes", "_frames")

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be asked for."""
        return len(self._frames) > FRAMES or self._bytes > BYTES

    def extend(self, frames: Iterable[bytes]) -> None:
        """Put frames behind those that wait."""
        for frame in frames:
            self._frames.append(frame)
            self._bytes += len(frame)

    def take(self) -> list[bytes]:
        """Take out the first frames: one, and those behind it that are small enough to go with it."""
        taken = [self._frames.popleft()]
        size = len(taken[0])
        while self._frames and size + len(self._frames[0]) <= TOGETHER_BYTES:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self._bytes -= size
        return taken
