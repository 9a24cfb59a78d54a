"""What an integration does, step by step: doing it, keeping a record of it, and undoing it by that record.

The record is written before each step, so what was begun can be undone after a crash. Only what we wrote is
removed: a file that was changed since is edited back, or kept and named.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ..amounts import counted
from ..others_environment import without_ours
from .edits import CannotEdit, without_block

__all__ = [
    "EditFile",
    "IntegrationFailed",
    "KeepFile",
    "Record",
    "RunProgram",
    "Step",
    "WriteFolder",
    "apply",
    "undo",
]

_PATIENCE_S: Final = 120.0
_BIGGEST: Final = 4 * 2**20

#: An entry of a record, as JSON holds it.
Entry = dict[str, object]
Tell = Callable[[str], None]


class IntegrationFailed(Exception):
    """It cannot be done; the text is for the owner and names the next step."""


@attrs.frozen
class WriteFolder:
    """A folder of ours alone, with these texts by their paths below it."""

    root: Path
    files: Mapping[str, str]

    def words(self) -> str:
        """What it does, for people."""
        return f"write {counted(len(self.files), 'file', 'files')} to {self.root}"


@attrs.frozen
class EditFile:
    """A file of somebody else's, with a block of ours between marks."""

    path: Path
    change: Callable[[str], str]

    def words(self) -> str:
        """What it does, for people."""
        return f"add an entry to {self.path}" if self.path.exists() else f"make {self.path} with an entry"


@attrs.frozen
class KeepFile:
    """A file that programs of later steps rewrite: it gets its bytes back if nobody has changed it since."""

    path: Path

    def words(self) -> str:
        """What it does, for people."""
        return f"keep what {self.path} holds now"


@attrs.frozen
class RunProgram:
    """A program's own way, and how it is taken back."""

    command: tuple[str, ...]
    back: tuple[str, ...]

    def words(self) -> str:
        """What it does, for people."""
        return "run " + _shown(self.command)


Step = WriteFolder | EditFile | KeepFile | RunProgram


def _shown(command: Sequence[str]) -> str:
    import shlex

    return shlex.join([Path(command[0]).name, *command[1:]])


@attrs.define
class Record:
    """The record of one integration: `<folder>/<name>.json`, and what an edited file held before."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / f"{self.name}.json"

    def read(self) -> list[Entry]:
        """What was done, the first first; nothing where there is no record. Raises IntegrationFailed."""
        try:
            entries = json.loads(self.path.read_text("utf-8"))["done"]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError):
            entries = None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise IntegrationFailed(f"{self.path} cannot be read; undo by hand, then remove it.")
        return entries

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep what was done; nothing done leaves no record."""
        if entries:
            _replace(self.path, json.dumps({"done": list(entries)}, indent=2).encode(), 0o600)
            return
        self.path.unlink(missing_ok=True)

    def before(self) -> Path:
        """Where the bytes are kept that an edited file had."""
        return self.folder / f"{self.name}.before"

    def kept(self) -> Path:
        """Where the bytes are kept of a file that a program rewrites."""
        return self.folder / f"{self.name}.kept"


# --- Doing --------------------------------------------------------------------------------------------------


def apply(steps: Sequence[Step], record: Record, tell: Tell) -> None:
    """Do the steps in order; if one fails, undo those before it. Raises IntegrationFailed."""
    entries: list[Entry] = []
    for step in steps:
        tell(step.words())
        try:
            for entry in _entries(step, record):
                entries.append(entry)
                record.write(entries)
            _do(step)
            _note_after(entries)
            record.write(entries)
        except (IntegrationFailed, CannotEdit, OSError) as error:
            _note_after(entries)
            record.write(entries)
            undo(record, lambda _: None)
            raise IntegrationFailed(_why(step, error)) from None


def _why(step: Step, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The system refuses to {step.words()}: {error.strerror or error}. Nothing was changed."
    if isinstance(error, CannotEdit):
        path = step.path if isinstance(step, EditFile) else ""
        return f"{path} was left as it is: {error} Mend it, or add the entry by hand (docs/integrations.md)."
    return str(error)


def _entries(step: Step, record: Record) -> Iterator[Entry]:
    """What to write down before a step. Raises IntegrationFailed, CannotEdit, OSError for a refusal."""
    match step:
        case WriteFolder(root, files):
            if root.is_symlink() or root.exists():
                raise IntegrationFailed(
                    f"{root} is there already and not from this command. Move it away, then try again."
                )
            hashes = {name: _hash(text.encode()) for name, text in files.items()}
            yield {"kind": "folder", "root": str(root), "files": hashes}
        case EditFile(path, change):
            path = path.resolve()
            before = _bytes(path)
            after = change(_text(before or b"")).encode()
            if before is not None:
                _replace(record.before(), before, 0o600)
            yield {"kind": "edit", "path": str(path), "new": before is None, "wrote": _hash(after)}
        case KeepFile(path):
            path = path.resolve()
            before = _bytes(path)
            if before is not None:
                _replace(record.kept(), before, 0o600)
            yield {"kind": "keep", "path": str(path), "new": before is None, "after": None}
        case RunProgram(_, back):
            yield {"kind": "run", "back": list(back)}


def _do(step: Step) -> None:
    match step:
        case WriteFolder(root, files):
            for name, text in files.items():
                target = root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _replace(target, text.encode(), 0o644)
        case EditFile(path, change):
            path = path.resolve()
            before = _bytes(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, change(_text(before or b"")).encode(), _mode(path))
        case KeepFile():
            pass
        case RunProgram(command, _):
            _run(command)


def _note_after(entries: Sequence[Entry]) -> None:
    """Note what the steps have left in files that are kept, by which later changes of others are told."""
    for entry in entries:
        if entry["kind"] == "keep":
            entry["after"] = _print_of(Path(str(entry["path"])))


def _run(command: Sequence[str]) -> None:
    """Run a program to its end. Raises IntegrationFailed with the last line that it said."""
    try:
        done = subprocess.run(  # noqa: S603 - words of ours, and no shell
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_S,
            env=without_ours(os.environ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise IntegrationFailed(f"`{_shown(command)}` failed: {type(error).__name__}.") from None
    if done.returncode:
        said = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise IntegrationFailed(f"`{_shown(command)}` failed: {said[-1] if said else done.returncode}")


# --- Undoing ------------------------------------------------------------------------------------------------


def undo(record: Record, tell: Tell) -> list[str]:
    """Take back what the record says, the last first. Returns sentences on what had to stay.

    Raises IntegrationFailed.
    """
    entries = record.read()
    kept: list[str] = []
    for entry in entries:
        if entry.get("kind") == "keep":
            entry["untouched"] = entry.get("after") == _print_of(Path(str(entry.get("path"))))
    while entries:
        entry = entries[-1]
        try:
            kept += _undo(entry, record, tell)
        except (CannotEdit, OSError) as error:
            where = entry.get("path") or entry.get("root")
            why = error.strerror if isinstance(error, OSError) else error
            kept.append(f"{where} was left as it is: {why} Remove our entry by hand.")
        entries.pop()
        record.write(entries)
    return kept


def _undo(entry: Entry, record: Record, tell: Tell) -> list[str]:
    match entry:
        case {"kind": "folder", "root": str(root), "files": dict(hashes)}:
            tell(f"remove {root}")
            return _remove(Path(root), {str(name): str(value) for name, value in hashes.items()})
        case {"kind": "edit", "path": str(path), "new": bool(new), "wrote": str(wrote)}:
            tell(f"restore {path}")
            _restore(Path(path), record, new=new, wrote=wrote)
            return []
        case {"kind": "keep", "path": str(path), "new": bool(new), "untouched": bool(untouched)}:
            if untouched:
                tell(f"restore {path}")
                _put_back(Path(path), record.kept(), new=new)
            record.kept().unlink(missing_ok=True)
            return []
        case {"kind": "run", "back": list(back)} if back:
            command = [str(word) for word in back]
            tell("run " + _shown(command))
            try:
                _run(command)
            except IntegrationFailed as error:
                return [str(error)]
            return []
        case _:
            raise IntegrationFailed(f"{record.path} holds an entry that is not known; undo by hand.")


def _remove(root: Path, hashes: Mapping[str, str]) -> list[str]:
    if root.is_symlink():
        return [f"{root} is a link now; it was kept."]
    kept = []
    folders = {root}
    for name, wrote in hashes.items():
        path = root / name
        folders.update(parent for parent in path.parents if parent.is_relative_to(root))
        if path.is_symlink() or (path.exists() and _hash(path.read_bytes()) != wrote):
            kept.append(f"{path} was changed since; it was kept.")
        else:
            path.unlink(missing_ok=True)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        # What a program has compiled from ours is ours, too.
        for compiled in folder.glob("__pycache__/*.pyc"):
            compiled.unlink()
        for empty in (folder / "__pycache__", folder):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
    return kept


def _put_back(path: Path, kept: Path, *, new: bool) -> None:
    if new:
        path.unlink(missing_ok=True)
    else:
        _replace(path, kept.read_bytes(), _mode(path))


def _restore(path: Path, record: Record, *, new: bool, wrote: str) -> None:
    """Exactly what was there before; without our block, where others have changed it since."""
    now = _bytes(path)
    before = record.before()
    if now is not None and not new and _hash(now) == _hash(before.read_bytes()):
        pass  # The step was written down, and never done.
    elif now is None or _hash(now) != wrote:
        if now is not None:
            _replace(path, without_block(_text(now)).encode(), _mode(path))
    elif new:
        path.unlink()
    else:
        _replace(path, before.read_bytes(), _mode(path))
    before.unlink(missing_ok=True)


# --- Files --------------------------------------------------------------------------------------------------


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _print_of(path: Path) -> str:
    """By which a file's content is known again; empty where there is none that can be read."""
    try:
        content = _bytes(path)
    except (CannotEdit, OSError):
        return ""
    return "" if content is None else _hash(content)


def _bytes(path: Path) -> bytes | None:
    """A file's content; None where there is none. Raises CannotEdit, OSError."""
    try:
        if path.stat().st_size > _BIGGEST:
            raise CannotEdit("It is too large for a configuration.")
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise CannotEdit("It is no UTF-8 text.") from None


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return 0o600


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place at once, whole, with its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.taskferry-new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
