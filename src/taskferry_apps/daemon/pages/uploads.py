"""Files that the owner chose in a form, as parts of a message."""

from __future__ import annotations

import re
from typing import Final

from quart.datastructures import FileStorage

from taskferry_protocol.messages import FilePart
from taskferry_protocol.shape import has_controls

from ..port import DaemonRefusal

__all__ = ["part_of_file"]

_MEDIA: Final = re.compile(r"[ -~]{1,127}", re.ASCII)
_PLAIN: Final = "application/octet-stream"
_NAME_BYTES: Final = 255


def part_of_file(file: FileStorage) -> FilePart:
    """A file that a browser sent, under its own name without a path. Raises DaemonRefusal(bad-value)."""
    # Some browsers name the folder as well.
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    if name in ("", ".", "..") or has_controls(name) or len(name.encode()) > _NAME_BYTES:
        raise DaemonRefusal(
            "bad-value",
            "A file has a name that cannot be sent.",
            f"Give it a plain name of at most {_NAME_BYTES} bytes.",
            detail={"field": "files"},
        )
    media = file.mimetype if _MEDIA.fullmatch(file.mimetype or "") else _PLAIN
    return FilePart.of(name, media, file.read())
