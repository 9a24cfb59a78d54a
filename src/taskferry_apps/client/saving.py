"""What a peer sent, into files of this machine: new ones, for the owner's eyes only, under safe names.

A peer's file name is text and no path: it may hold separators, dots, control characters, anything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..visible import visible
from .errors import FileTrouble, NotFound
from .plans import Plan
from .requests import Request, body_of, get, path_of
from .task_calls import show_task
from .task_results import Part

__all__ = ["NewFile", "part_bytes", "safe_name", "save_export", "save_files", "save_part"]

_MODE: Final = 0o600
_LONGEST_NAME: Final = 120
_LONGEST_SUFFIX: Final = 16
_PLAIN: Final = "._- ()+,="
#: Names that are taken are numbered; a folder with so many of one name is not meant.
_MOST_OF_A_NAME: Final = 1_000
_NEW: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)


def part_bytes(id: str, version: int, part: int = 0) -> Request[bytes]:
    """The bytes of one part of a task; version 0 is what came with the request. Parts count from 0."""
    return get(path_of("tasks", id, "artifacts", version, part), body_of)


def save_part(id: str, version: int, part: int, path: str | os.PathLike[str]) -> Plan[Path]:
    """Write one part to a new file. Raises FileTrouble if there is one already."""
    return (yield from _saved(path_of("tasks", id, "artifacts", version, part), NewFile(Path(path))))


def save_files(id: str, version: int, folder: str | os.PathLike[str]) -> Plan[tuple[Path, ...]]:
    """Write the files of a version into a folder that is there; version 0 is what came with the request.

    Each has the name that its sender gave it, made safe, and numbered where that is taken: nothing is
    written outside of the folder, and nothing over what is there. Raises FileTrouble.
    """
    task = yield from show_task(id)
    found = [one.parts for one in task.versions if one.number == version]
    if not found and version:
        raise NotFound(404, "not-found", f"Task {task.id[:8]} has no version {version}.")
    paths: list[Path] = []
    for part in found[0] if found else task.parts:
        if part.kind == "file":
            sink = NewFile(Path(folder), safe_name(part))
            paths.append((yield from _saved(path_of("tasks", id, "artifacts", version, part.number), sink)))
    return tuple(paths)


def save_export(id: str, path: str | os.PathLike[str]) -> Plan[Path]:
    """Write a task's signed history to a new file, which anyone can verify offline: taskferry verify FILE."""
    return (yield from _saved(path_of("tasks", id, "export"), NewFile(Path(path))))


def _saved(source: str, sink: NewFile) -> Plan[Path]:
    yield from Request("GET", source, body_of, sink=sink)
    return sink.path


def safe_name(part: Part) -> str:
    """A name for a part's file that is one plain step of a path, visible, no option, and not too long."""
    # Some letters show nothing.
    shown = "".join(
        letter if (letter.isalnum() and visible(letter) == letter) or letter in _PLAIN else "_"
        for letter in part.name
    )
    # A dash in front would be an option to programs that are called with all files of a folder.
    name = shown.strip(" .").lstrip("-. ")
    if not name.strip("_"):
        return f"part-{part.number}"
    stem, suffix = os.path.splitext(name)
    if len(suffix) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    # File systems count bytes.
    short = stem.encode()[: _LONGEST_NAME - len(suffix.encode())].decode(errors="ignore")
    return (short.rstrip() or f"part-{part.number}") + suffix


class NewFile:
    """A sink that makes a new file at `path`; with a `name`, in that folder, numbered if it is taken."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self._folder = path if name else None
        self._name = name
        self._open: int | None = None

    def begin(self) -> None:
        """Make the file. Raises FileTrouble."""
        self.abandon()
        try:
            if self._folder is None:
                self._open = os.open(self.path, _NEW, _MODE)
            else:
                self._open = self._numbered(self._folder)
        except FileExistsError:
            raise FileTrouble(f"{self.path} exists already.", "Name another file.") from None
        except OSError as error:
            raise self._trouble(error) from None

    def _numbered(self, folder: Path) -> int:
        stem, suffix = os.path.splitext(self._name)
        for number in range(1, _MOST_OF_A_NAME):
            self.path = folder / (f"{stem}-{number}{suffix}" if number > 1 else self._name)
            try:
                return os.open(self.path, _NEW, _MODE)
            except FileExistsError:
                continue
        raise FileExistsError

    def write(self, piece: bytes) -> None:
        """Append. Raises FileTrouble."""
        try:
            while piece and self._open is not None:
                piece = piece[os.write(self._open, piece) :]
        except OSError as error:
            raise self._trouble(error) from None

    def finish(self) -> None:
        """Close it. Raises FileTrouble."""
        opened, self._open = self._open, None
        try:
            if opened is not None:
                os.close(opened)
        except OSError as error:
            raise self._trouble(error) from None

    def abandon(self) -> None:
        """Remove what was begun."""
        if self._open is not None:
            opened, self._open = self._open, None
            os.close(opened)
            self.path.unlink(missing_ok=True)

    def _trouble(self, error: OSError) -> FileTrouble:
        return FileTrouble(f"{self.path} cannot be written: {error.strerror}.")
