"""How far a watch has come: kept in a file, so that the next one goes on there."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import attrs
import click

from .daemon_link import data_directory
from .outcome import CommandFailed, Exit

__all__ = ["WatchPlace"]

_FOLDER = "watch"


@attrs.define
class WatchPlace:
    """A file with the number of the last event that was told; None where none can be kept."""

    path: Path | None

    @classmethod
    def choose(cls, named: Path | None, agent: str, *, wake: bool, runtime: str = "") -> WatchPlace:
        """The file that was named, or the one of this agent, or program, in the data directory.

        Raises CommandFailed where the named one cannot be written: now, and not at the first event.
        """
        if named is not None:
            if named.is_dir():
                raise CommandFailed(f"{named} is a folder; name a file with --state.", Exit.USAGE)
            try:
                _try(named)
            except OSError as error:
                raise _unwritable(named, error) from None
            return cls(named)
        name = re.sub("[^a-z0-9_-]+", "-", agent.rpartition("/")[2]) or "agents"
        program = re.sub("[^a-z0-9_-]+", "-", runtime)
        kind = "all" if not wake else f"{program}.wake" if program else "wake"
        kept = data_directory() / _FOLDER / f"{name}.{kind}"
        try:
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _try(kept)
        except OSError as error:
            click.echo(
                f"taskferry: {kept} cannot be written ({error.strerror}), so the next watch will not "
                "know how far this one came. Name another file with --state.",
                err=True,
            )
            return cls(None)
        return cls(kept)

    def start(self, begin: str | None, *, wake: bool) -> int | None:
        """The event after which to begin, None for now. Raises CommandFailed for a file of nonsense."""
        kept = self._read()
        if begin is not None:
            return 0 if begin == "start" else None
        if kept is not None:
            return kept
        # Of all that ever happened only what is unread wakes anybody.
        return 0 if wake else None

    def _read(self) -> int | None:
        if self.path is None:
            return None
        try:
            text = self.path.read_text("ascii").strip()
            if not text:
                # The machine lost its power before it was written.
                return None
            if not re.fullmatch("[0-9]{1,15}", text):
                raise ValueError(text)
            return int(text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise CommandFailed(
                f"{self.path} does not hold a place; remove it, or name another file with --state.",
                Exit.USAGE,
            ) from None

    def keep(self, number: int) -> None:
        """Note that everything up to an event is told. Raises CommandFailed."""
        if self.path is None:
            return
        try:
            beside = _beside(self.path, f"{number}\n")
            beside.replace(self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from None


def _beside(place: Path, text: str) -> Path:
    """A file beside it that holds a text. Each is new: several sessions of an agent share their place."""
    number, name = tempfile.mkstemp(prefix=f"{place.name}.", suffix=".new", dir=place.parent)
    beside = Path(name)
    try:
        os.write(number, text.encode("ascii"))
    except OSError:
        beside.unlink()
        raise
    finally:
        os.close(number)
    return beside


def _try(place: Path) -> None:
    _beside(place, "").unlink()


def _unwritable(place: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"{place} cannot be written: {error.strerror}.", Exit.TROUBLE)
