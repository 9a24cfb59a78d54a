"""Reading the files that travel with a task, within what fits in an envelope."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .outcome import CommandFailed, Exit

__all__ = ["attachments", "read_file", "save_bytes"]

#: What one envelope carries is 256 KiB; padding and the rest of the message need their share.
MOST_BYTES: Final = 190_000


def read_file(path: Path) -> bytes:
    """The content of `path`, or a sentence on why not."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CommandFailed(
                f"{path} has {path.stat().st_size:,} bytes; one envelope carries {MOST_BYTES:,} of files.",
                Exit.USAGE,
            )
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.", Exit.USAGE) from None


def attachments(paths: Iterable[Path]) -> list[dict[str, str]]:
    """The files as the local API takes them."""
    found = []
    total = 0
    for path in paths:
        content = read_file(path)
        total += len(content)
        if total > MOST_BYTES:
            raise CommandFailed(
                f"The files have more than {MOST_BYTES:,} bytes together; one envelope carries no more.",
                Exit.USAGE,
            )
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found.append({"name": path.name, "media": media, "data_base64": base64.b64encode(content).decode()})
    return found


def save_bytes(path: Path, content: bytes) -> None:
    """Write a new file; an existing one is not overwritten."""
    try:
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError:
        raise CommandFailed(f"{path} exists already; name another file with -o.", Exit.USAGE) from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.", Exit.TROUBLE) from None
