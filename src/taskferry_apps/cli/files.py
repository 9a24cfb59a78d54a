"""The files of commands: what travels with a task, and what is saved of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..client.attachments import api_files, read_file, read_files
from ..client.errors import FileTrouble
from .outcome import CommandFailed, Exit

__all__ = ["attachments", "bounded_content", "content_of", "save_bytes"]


def content_of(path: Path) -> bytes:
    """The content of `path`, or a sentence on why not."""
    try:
        return read_file(path)
    except FileTrouble as error:
        raise CommandFailed(str(error), Exit.USAGE) from None


def bounded_content(path: Path, most: int) -> bytes:
    """No more of `path` than one byte past `most`, for whoever refuses what is larger."""
    try:
        with path.open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.", Exit.USAGE) from None


def attachments(paths: Iterable[Path]) -> list[dict[str, str]]:
    """The files as the local API takes them."""
    try:
        return api_files(read_files(paths))
    except FileTrouble as error:
        raise CommandFailed(str(error), Exit.USAGE) from None


def save_bytes(path: Path, content: bytes) -> None:
    """Write a new file for its owner alone, whatever the umask; an existing one is not overwritten."""
    made = False
    try:
        with open(path, "xb", opener=_private) as stream:
            made = True
            stream.write(content)
    except FileExistsError:
        raise CommandFailed(f"{path} exists already; name another file with -o.", Exit.USAGE) from None
    except OSError as error:
        if made:
            # Half a file would look like a whole one, and be in the way of the next try.
            path.unlink(missing_ok=True)
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.", Exit.TROUBLE) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
