"""Whole programs whose writes fail: the library that does it, and the orders that it reads."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from enum import IntEnum
from pathlib import Path
from typing import Final

__all__ = ["Control", "NoCompiler", "Writes", "build"]

_SOURCE: Final = Path(__file__).with_name("failing_writes.c")
_WORDS: Final = struct.Struct("=8Q")


class NoCompiler(Exception):
    """There is no C compiler here, so nothing can be loaded into a program."""


class Writes(IntEnum):
    """How a call fails."""

    FULL = 1
    """No space is left."""
    ERROR = 2
    """The disk failed."""
    SHORT = 3
    """Half of it is written; for other calls than writes, no space is left."""
    KILL = 4
    """The program is killed before it is made."""


def build(folder: Path) -> Path:
    """The library, made in `folder`. Raises NoCompiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler("there is no cc")
    library = folder / "failing_writes.so"
    if not library.exists():
        words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
        subprocess.run(words, check=True, capture_output=True)
    return library


class Control:
    """The orders for one program, and what came of them; they may change while it runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(_WORDS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _WORDS.size)
        self._failed_before = False
        self._failed_at_start = 0

    def fail(self, number: int, how: Writes, *, lasting: bool = False) -> None:
        """Let the call of that number, counted from now on, fail, and with `lasting` all after it."""
        self._failed_before = self.has_failed
        self._put(3, int(lasting))
        self._put(2, int(how))
        self._put(4, 0)
        self._failed_at_start = 0
        self._put(1, self.calls + number)

    def forgive(self) -> None:
        """Let nothing fail any more."""
        self._put(1, 0)

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return self._get(0)

    @property
    def failed(self) -> int:
        """How many failed since `fail`."""
        return self._get(4)

    @property
    def has_failed(self) -> bool:
        """Whether any call failed since `begin`: programs may take their time to end for it."""
        return self._failed_before or self.failed > self._failed_at_start

    def begin(self) -> None:
        """The program starts anew, and nothing fails."""
        self.forgive()
        self._failed_before = False
        self._failed_at_start = self.failed

    def close(self) -> None:
        """Let go of the file."""
        self._shared.close()

    def _get(self, word: int) -> int:
        found: int = struct.unpack_from("=Q", self._shared, 8 * word)[0]
        return found

    def _put(self, word: int, value: int) -> None:
        struct.pack_into("=Q", self._shared, 8 * word, value)
