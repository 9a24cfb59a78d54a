"""Files that travel with a task: within what one envelope carries, and as the local API takes them."""

from __future__ import annotations

import base64
import mimetypes
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from .errors import FileTrouble
from .plans import Plan, ReadFiles

__all__ = ["MOST_BYTES", "Attachment", "FileLike", "api_files", "attached", "read_file", "read_files"]

#: What one envelope carries is 256 KiB; padding and the rest of the message need their share.
MOST_BYTES: Final = 190_000


@attrs.frozen
class Attachment:
    """A file that stands nowhere yet: its plain name, its bytes, and its media type."""

    name: str
    data: bytes = attrs.field(repr=False)
    media: str = ""


FileLike = str | os.PathLike[str] | Attachment
"""A file to send: where it stands, or what is in it."""


def attached(files: Sequence[FileLike]) -> Plan[list[dict[str, str]]]:
    """The files as the API takes them, in their order. Raises FileTrouble."""
    paths = [Path(file) for file in files if not isinstance(file, Attachment)]
    read: list[Attachment] = list((yield ReadFiles(paths))) if paths else []
    found = [file if isinstance(file, Attachment) else read.pop(0) for file in files]
    return api_files(found)


def api_files(found: Sequence[Attachment]) -> list[dict[str, str]]:
    """Attachments in the words of the API. Raises FileTrouble for more than fits."""
    _check_size(found)
    return [
        {
            "name": file.name,
            "media": file.media or mimetypes.guess_type(file.name)[0] or "application/octet-stream",
            "data_base64": base64.b64encode(file.data).decode(),
        }
        for file in found
    ]


def read_files(paths: Iterable[Path]) -> list[Attachment]:
    """Their contents. Blocking. Raises FileTrouble."""
    found: list[Attachment] = []
    for path in paths:
        found.append(Attachment(path.name, read_file(path)))
        _check_size(found)
    return found


def _check_size(found: Sequence[Attachment]) -> None:
    if sum(len(file.data) for file in found) > MOST_BYTES:
        raise FileTrouble(
            f"The files have more than {MOST_BYTES:,} bytes together; one envelope carries no more.",
            "Send fewer, or make them smaller.",
        )


def read_file(path: Path) -> bytes:
    """The content of a file that fits into an envelope. Blocking. Raises FileTrouble."""
    try:
        with path.open("rb") as stream:
            # A pipe tells no size, and a device has no end.
            content = stream.read(MOST_BYTES + 1)
            size = max(os.fstat(stream.fileno()).st_size, len(content))
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {error.strerror}.") from None
    if size > MOST_BYTES:
        raise FileTrouble(f"{path} has {size:,} bytes; one envelope carries {MOST_BYTES:,} of files.")
    return content
