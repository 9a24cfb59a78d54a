"""What a command has left, as what is submitted. Only plain files of its folder are ever read.

Links, pipes, sockets and devices are never followed or opened: whoever talked the command into leaving one
gets nothing by it. Everything here blocks, and works in open folders, so that no name can lead out of them.
"""

from __future__ import annotations

import json
import os
import stat
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs

from taskferry_protocol.limits import PART_TEXT_BYTES, PARTS
from taskferry_protocol.shape import has_controls

from ..client.attachments import MOST_BYTES, Attachment
from .text import harmless

__all__ = ["Harvest", "ResultKind", "Unfit", "gathered"]

#: A folder with more is no result, and is not even listed to its end.
_MOST_ENTRIES: Final = 1_000
_DEEPEST: Final = 8
_NAME_BYTES: Final = 200
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe with nobody at its other end would hold the opener for ever.
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ResultKind(Enum):
    """What of a command's output is its result."""

    AUTO = "auto"
    """The files, and what it wrote to standard output, if anything."""
    STDOUT = "stdout"
    FILES = "files"
    JSON = "json"
    """Standard output as one JSON value, and the files."""


class Unfit(Exception):
    """What was left cannot be submitted; the text says why, for the other side, too."""


@attrs.frozen
class Harvest:
    """A version to submit. `left_out` are sentences about what was not taken."""

    text: str | None
    json: object
    files: tuple[Attachment, ...]
    left_out: tuple[str, ...]

    @property
    def note(self) -> str:
        """What the other side should know about it."""
        return " ".join(self.left_out)

    @property
    def digest(self) -> bytes:
        """Stands for the whole of it."""
        seal = sha256()
        for piece in (
            json.dumps([self.text, self.json, self.note]).encode(),
            *(piece for file in self.files for piece in (file.name.encode(), file.data)),
        ):
            seal.update(len(piece).to_bytes(8, "big") + piece)
        return seal.digest()


def gathered(kind: ResultKind, stdout: Path, out: Path) -> Harvest:
    """The version that a command has left. Raises Unfit, OSError."""
    files: list[Attachment] = []
    left_out: list[str] = []
    if kind is not ResultKind.STDOUT:
        files, left_out = _files(out)
    said = b"" if kind is ResultKind.FILES else _read(stdout)
    text, value = None, None
    if kind is ResultKind.JSON:
        value = _value(said)
    elif said.strip():
        text = harmless(said.decode(errors="replace")).rstrip("\n")
        if len(text.encode()) > PART_TEXT_BYTES:
            raise Unfit(_too_large("standard output", len(said), PART_TEXT_BYTES))
    if text is None and value is None and not files:
        raise Unfit(_nothing(kind, left_out))
    count = len(files) + (text is not None) + (value is not None)
    if count > PARTS:
        raise Unfit(f"The command left {len(files)} files; one version holds {PARTS} parts.")
    size = sum(len(file.data) for file in files) + len(said)
    if size > MOST_BYTES:
        raise Unfit(_too_large("result", size, MOST_BYTES))
    return Harvest(text, value, tuple(files), tuple(left_out))


def _value(said: bytes) -> object:
    try:
        value: object = json.loads(said, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise Unfit("The command's standard output is not one JSON value.") from None
    if value is None:
        raise Unfit("The command's standard output is JSON null, which is no result.")
    try:
        # Python reads numbers beyond every float, and halves of letters, which nobody can write down again.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Unfit("The command's standard output has a number or text that JSON cannot carry.") from None
    return value


def _refused(name: str) -> object:
    raise ValueError(name)


def _nothing(kind: ResultKind, left_out: list[str]) -> str:
    where = {
        ResultKind.FILES: "no file in its folder out",
        ResultKind.STDOUT: "nothing on standard output",
    }.get(kind, "nothing on standard output, and no file in its folder out")
    return " ".join([f"The command ended well and left {where}.", *left_out])


def _too_large(what: str, size: int, most: int) -> str:
    return f"The command's {what} has {size:,} bytes; one version carries {most:,}."


def _read(path: Path) -> bytes:
    descriptor = os.open(path, _OPEN_FILE)
    try:
        if os.fstat(descriptor).st_nlink > 1:
            raise Unfit(
                f"The command has put a hard link in the place of its {path.name}, where a copy would do."
            )
        return _content(descriptor)
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    """A file that is read no further than it can be sent."""
    pieces: list[bytes] = []
    left = MOST_BYTES + 1
    while left and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    size = max(os.fstat(descriptor).st_size, MOST_BYTES + 1) if not left else 0
    if size:
        raise Unfit(_too_large("result", size, MOST_BYTES))
    return b"".join(pieces)


def _files(out: Path) -> tuple[list[Attachment], list[str]]:
    walk = _Walk()
    try:
        top = os.open(out, _OPEN_FOLDER)
    except OSError:
        # The command may have removed it, or put a link in its place.
        return [], ["The folder out is no folder any more."]
    try:
        walk.enter(top, "", 0)
    finally:
        os.close(top)
    return sorted(walk.found, key=lambda file: file.name), sorted(walk.left_out)


@attrs.define
class _Walk:
    """A walk through a folder, each step by a descriptor of the folder before."""

    found: list[Attachment] = attrs.field(factory=list)
    left_out: list[str] = attrs.field(factory=list)
    _entries: int = 0
    _bytes: int = 0
    _names: set[str] = attrs.field(factory=set)

    def enter(self, folder: int, place: str, depth: int) -> None:
        """Take the plain files of an open folder and of those below it."""
        names: list[str] = []
        with os.scandir(folder) as listed:
            for entry in listed:
                self._entries += 1
                if self._entries > _MOST_ENTRIES:
                    raise Unfit(f"The command left more than {_MOST_ENTRIES:,} files and folders in out.")
                names.append(entry.name)
        for name in sorted(names):
            self._take(folder, name, f"{place}{name}", depth)

    def _take(self, folder: int, name: str, shown: str, depth: int) -> None:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            if depth >= _DEEPEST:
                raise Unfit(f"Folders in out are nested deeper than {_DEEPEST}.")
            below = os.open(name, _OPEN_FOLDER, dir_fd=folder)
            try:
                self.enter(below, f"{shown}/", depth + 1)
            finally:
                os.close(below)
        elif stat.S_ISREG(mode):
            self._read(folder, name, shown)
        else:
            self._leave(shown, "it is a link" if stat.S_ISLNK(mode) else "it is no plain file")

    def _read(self, folder: int, name: str, shown: str) -> None:
        descriptor = os.open(name, _OPEN_FILE, dir_fd=folder)
        try:
            # What was a file at the first look may be something else by now.
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                self._leave(shown, "it is no plain file")
                return
            if found.st_nlink > 1:
                # A second name for a file elsewhere leads out as a symbolic link does.
                self._leave(shown, "it has several names (hard links), and only a copy is sent")
                return
            data = _content(descriptor)
        finally:
            os.close(descriptor)
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            raise Unfit(_too_large("files together", self._bytes, MOST_BYTES))
        if len(self.found) >= PARTS:
            raise Unfit(f"The command left more than {PARTS} files; one version holds {PARTS} parts.")
        self.found.append(Attachment(self._plain(shown), data))

    def _leave(self, shown: str, why: str) -> None:
        if len(self.left_out) < PARTS:
            self.left_out.append(f"{self._plain(shown)} was left out: {why}.")

    def _plain(self, shown: str) -> str:
        """A name for the other side: the path with its steps joined, one of a kind."""
        name = harmless(shown.encode(errors="surrogateescape").decode(errors="replace"))
        name = "".join("_" if letter in "/\\\n\t" or has_controls(letter) else letter for letter in name)
        stem, suffix = os.path.splitext(name)
        if len(suffix.encode()) > 16:
            stem, suffix = name, ""
        stem = stem.encode()[: _NAME_BYTES - len(suffix.encode())].decode(errors="ignore")
        number, taken = 1, stem + suffix
        while taken in self._names:
            number += 1
            taken = f"{stem}-{number}{suffix}"
        self._names.add(taken)
        return taken
