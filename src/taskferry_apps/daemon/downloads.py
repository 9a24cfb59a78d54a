"""A part of a task as a file: its name, its media type and its bytes; how browsers are given files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from taskferry_protocol.messages import FilePart, JsonPart, Part, TextPart

from .names import not_found
from .port import DaemonRefusal
from .views import TaskView

__all__ = ["DOWNLOAD_POLICY", "attachment", "download_of", "part_of"]

#: On files that peers sent: should a browser ever show one, it is nobody's page.
DOWNLOAD_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"


def attachment(name: str) -> str:
    """The Content-Disposition of a file to be saved (RFC 6266), with a plain name for clients that know no
    other (RFC 8187 for the rest).
    """
    fallback = "".join(
        character if character.isascii() and (character.isalnum() or character in "._-") else "_"
        for character in name
    ).lstrip(".")
    return f"attachment; filename=\"{fallback or 'file'}\"; filename*=UTF-8''{quote(name, safe='')}"


def download_of(task: TaskView, version: int, part: int) -> tuple[str, str, bytes]:
    """Name, media type and bytes of a part, counted from 0; version 0 is what the request brought.

    Raises DaemonRefusal(not-found).
    """
    found = [shown.parts for shown in task.versions if shown.version == version]
    return part_of(task.parts if version == 0 else found[0] if found else (), version, part)


def part_of(parts: Sequence[Part], version: int, part: int) -> tuple[str, str, bytes]:
    """Name, media type and bytes of one of the parts of a version. Raises DaemonRefusal(not-found)."""
    if not 0 <= part < len(parts):
        raise not_found("part")
    return _download(parts[part], version, part)


def _download(part: Part, version: int, index: int) -> tuple[str, str, bytes]:
    match part:
        case TextPart(text=text, name=name):
            return name or f"v{version}-{index}.txt", "text/plain; charset=utf-8", text.encode()
        case JsonPart(json=text, name=name):
            return name or f"v{version}-{index}.json", "application/json", text.encode()
        case FilePart(name=name, media=media, data=data):
            return name, media, data
        case _:
            raise DaemonRefusal(
                "not-found", "That part is a blob, which this version does not fetch.", status=404
            )
