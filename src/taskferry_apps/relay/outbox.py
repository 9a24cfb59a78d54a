"""Frames of one session that wait to be written: few, and small in all, or its daemon is not heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from .limits import USUAL

__all__ = ["Outbox"]

FRAMES: Final = USUAL.outbox_frames
BYTES: Final = USUAL.outbox_bytes


class Outbox:
    """A queue that takes whatever it is given, and says when that is too much.

    An answer to one frame always finds room, so it holds one frame more than its bounds at most.
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
        """Put frames at the end."""
        for frame in frames:
            self._frames.append(frame)
            self._bytes += len(frame)

    def pop(self) -> bytes:
        """Take the first frame."""
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame
