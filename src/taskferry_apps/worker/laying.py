"""Lays a task out as files for its command: what came with the request, and the versions submitted so far."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio

from ..client.saving import save_files
from ..client.task_results import Part, Task
from .brief import prompt, revision_object, revision_words, task_object
from .line import Line

__all__ = ["laid_out"]

_MODE: Final = 0o600


async def laid_out(line: Line, task: Task, folder: Path) -> None:
    """Fill a fresh folder. Raises OSError, FileTrouble, and what the daemon refuses."""
    inside = folder / "in"
    await _write(inside / "brief.md", task.brief)
    await _write(inside / "requirements.json", _json(list(task.requirements)))
    # Their places are taken before a file of the other side's can have such a name.
    for name in ("task.json", "stdin.md"):
        await _write(inside / name, "")
    names = await _parts(line, task, 0, task.parts, inside)
    await _write(inside / "task.json", _json(task_object(task, names)), mode="w")
    for version in task.versions:
        place = folder / "versions" / str(version.number)
        place.mkdir(mode=0o700)
        await _parts(line, task, version.number, version.parts, place)
    reasons = revision_words(task)
    if reasons:
        await _write(folder / "revision.md", reasons)
        await _write(folder / "revision.json", _json(revision_object(task)))
    await _write(inside / "stdin.md", prompt(task, tuple(names.values())), mode="w")


async def _parts(line: Line, task: Task, version: int, parts: Iterable[Part], place: Path) -> dict[int, str]:
    """Write a version's parts, and give the path of each from the task's folder."""
    written: dict[int, str] = {}
    under = Path("in") if version == 0 else Path("versions", str(version))
    parts = tuple(parts)
    for part in parts:
        text, suffix = (part.text, "txt") if part.text is not None else (part.json_text, "json")
        if text is not None:
            name = f"part-{part.number}.{suffix}"
            await _write(place / name, text)
            written[part.number] = str(under / name)
    files = [part for part in parts if part.kind == "file"]
    if files:
        # Named by the other side: made safe, and never over what is there.
        saved = await line.do(lambda: save_files(task.id, version, place))
        written |= {part.number: str(under / path.name) for part, path in zip(files, saved, strict=True)}
    return written


async def _write(path: Path, text: str, mode: str = "x") -> None:
    def write() -> None:
        with path.open(mode, encoding="utf-8", errors="replace", newline="") as stream:
            path.chmod(_MODE)
            stream.write(text)

    await trio.to_thread.run_sync(write)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
