"""Lines that a thread writes to standard error, so that nobody who logs waits for whoever reads.

A pipe that is open and never read, or a terminal that was stopped, takes 64 KiB and then holds up whoever
writes. What waits here meanwhile is bounded; what is beyond it is lost, and counted where it is missing.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import RawIOBase
from typing import Final, TextIO

import attrs

__all__ = ["HELD_BYTES", "LogWriter", "raw_of"]

HELD_BYTES: Final = 1_048_576
#: About what the line about a gap takes.
_GAP_BYTES: Final = 256


@attrs.define
class _Gap:
    """So many lines are missing here."""

    lines: int


class LogWriter:
    """A stream of whole lines. Their order stays, and nothing but their number is lost without a word.

    `told` gives the line that says how many are missing.
    """

    def __init__(self, stream: TextIO, raw: RawIOBase, told: Callable[[int], str]) -> None:
        self.stream: Final = stream
        self.told = told
        self._raw = raw
        self._encoding = stream.encoding or "utf-8"
        # A signal's handler may log while its own thread is in here: the lock lets it.
        self._changed = threading.Condition()
        self._waiting: deque[bytes | _Gap] = deque()
        self._held = 0
        self._is_writing = False
        self._thread: threading.Thread | None = None
        self._unwritten = 0
        self._is_torn = False
        self._is_given_up = False

    def write(self, text: str) -> None:
        """Take one line, with its end, and return at once."""
        line = text.encode(self._encoding, "backslashreplace")
        with self._changed:
            if self._held + len(line) <= HELD_BYTES:
                self._waiting.append(line)
                self._held += len(line)
            elif self._waiting and isinstance(last := self._waiting[-1], _Gap):
                last.lines += 1
            else:
                self._waiting.append(_Gap(1))
                self._held += _GAP_BYTES
            self._changed.notify_all()
            self._begin()

    def flush(self) -> None:
        """Nothing: lines are on their way."""

    def end(self, patience_s: float) -> None:
        """Let what waits be written, for so long. What nobody takes until then is given up, and what follows.

        Whatever ends a program prints goes to the same place, and would wait there for ever.
        """
        deadline = time.monotonic() + patience_s
        with self._changed:
            while not self._is_given_up and (self._waiting or self._is_writing):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            else:
                return
            self._is_given_up = True
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._raw.fileno())

    def _begin(self) -> None:
        # A process that was forked has none of the threads of before.
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The system gives none now: what waits is bounded, and the next line tries again.
            return
        self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                missing, lines = self._next()
                self._is_writing = True
            try:
                self._put(missing, lines)
            finally:
                with self._changed:
                    self._held -= len(lines) + (_GAP_BYTES if missing else 0)
                    self._is_writing = False
                    self._changed.notify_all()

    def _next(self) -> tuple[int, bytes]:
        """How many lines are missing, and what follows, up to where others are.

        It goes in one piece: for every write this thread has to wait until another lets it go on.
        """
        waiting = self._waiting
        missing = gap.lines if isinstance(gap := waiting[0], _Gap) else 0
        if missing:
            waiting.popleft()
        lines = []
        while waiting and isinstance(line := waiting[0], bytes):
            lines.append(line)
            waiting.popleft()
        return missing, b"".join(lines)

    def _put(self, missing: int, lines: bytes) -> None:
        """Write lines, after one about those before them that could not be written, a full disk's too."""
        self._unwritten += missing
        if self._unwritten:
            told = self.told(self._unwritten).encode(self._encoding, "backslashreplace")
            if self._written(told) < len(told):
                self._unwritten += lines.count(b"\n")
                return
            self._unwritten = 0
        self._unwritten = lines[self._written(lines) :].count(b"\n")

    def _written(self, lines: bytes) -> int:
        """Write as much as can be written, from the beginning of a line; how much that is."""
        if self._is_torn and not self._is_torn_end():
            return 0
        left = memoryview(lines)
        with suppress(OSError, ValueError):
            while left:
                left = left[self._write(left) :]
        done = len(lines) - len(left)
        self._is_torn = done > 0 and lines[done - 1 : done] != b"\n"
        return done

    def _is_torn_end(self) -> bool:
        """Whether the line that was begun and broke off has its end now."""
        with suppress(OSError, ValueError):
            self._is_torn = not self._write(memoryview(b"\n"))
        return not self._is_torn

    def _write(self, data: memoryview) -> int:
        while (written := self._raw.write(data)) is None:
            # Somebody who shares it has made it one that does not wait.
            select.select((), (self._raw,), ())
        return written


def raw_of(stream: TextIO) -> RawIOBase | None:
    """What is beneath the system's stream, without a lock or a buffer; None for one of a program's own.

    A thread that waits in a buffer's lock would hold up the end of the program.
    """
    if stream is not sys.__stderr__:
        return None
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, RawIOBase) else None
