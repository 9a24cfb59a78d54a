"""A part of a task as a file: its name, its media type and its bytes."""

from __future__ import annotations

from collections.abc import Sequence

from taskferry_protocol.messages import FilePart, JsonPart, Part, TextPart

from .names import not_found
from .port import DaemonRefusal
from .views import TaskView

__all__ = ["download_of", "part_of"]


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
