"""Where requests go: an address that somebody named, or whoever holds a data directory.

A credential goes where the caller says, or to the process that holds this user's data directory, and never to
whoever else listens where a daemon did or might. So the holder is looked for before each request, and once
more when the connection stands.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from .errors import DaemonAway

__all__ = ["Address", "DaemonStarting", "Holder", "NoDaemon", "Way"]

Address = str | Callable[[], str]
"""`http://host:port`, or a function that finds it now; that raises DaemonAway."""

_NAME_IT: Final = "name its address in TASKFERRY_LOCAL_URL"


class NoDaemon(DaemonAway):
    """Nobody holds the data directory."""


class DaemonStarting(DaemonAway):
    """Somebody holds the data directory, and does not listen yet, or no longer: worth waiting for."""


@attrs.frozen
class Holder:
    """The daemon that holds the data directory `data`; a call gives its address."""

    data: Path

    def __call__(self) -> str:
        """The address. Raises NoDaemon, DaemonStarting; DaemonAway for a directory that others can write."""
        from ..daemon.private_files import is_directory_held

        try:
            found = self.data.stat()
        except OSError:
            raise NoDaemon(
                f"There is no data directory {self.data} to know the daemon by.",
                f"Start it with: taskferry up; or {_NAME_IT}.",
            ) from None
        if not is_directory_held(self.data):
            from ..disk import full_disk_words

            raise NoDaemon(
                f"No daemon runs with the data directory {self.data}.{full_disk_words(self.data)}",
                f"Start it with: taskferry up; or name another directory in TASKFERRY_DATA, or {_NAME_IT}.",
            )
        # Whoever else can write there can say that they are the daemon.
        if found.st_uid != os.geteuid():
            raise DaemonAway(
                f"The data directory {self.data} belongs to another user, and so does its daemon.",
                f"Name yours in TASKFERRY_DATA; or, if you trust that daemon, {_NAME_IT}.",
            )
        if stat.S_IMODE(found.st_mode) & 0o022:
            raise DaemonAway(
                f"Others can write into the data directory {self.data}, so its daemon may be theirs.",
                f"Run: chmod 700 {self.data}; and start the daemon again.",
            )
        url = self._written()
        if url is None:
            raise DaemonStarting(
                f"The daemon of the data directory {self.data} does not listen: it is starting, or stopping.",
                "See what it says, and try again.",
            )
        return url

    def _written(self) -> str | None:
        from ..daemon.private_files import WHEREABOUTS

        try:
            url = json.loads((self.data / WHEREABOUTS).read_text())["url"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return url if isinstance(url, str) and url.startswith("http://") else None


class Way:
    """How one client gets to its daemon, which may come back elsewhere."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._found = ""

    @property
    def named(self) -> str:
        """The address, where it is the caller's own word; else empty."""
        return "" if callable(self._address) else self._address.rstrip("/")

    @property
    def url(self) -> str:
        """The address, or where the last request went; empty while nothing is known. For people."""
        if not self._found:
            try:
                self.find()
            except DaemonAway:
                pass
        return self._found

    def find(self) -> str:
        """The address now. Raises DaemonAway."""
        self._found = (self._address() if callable(self._address) else self._address).rstrip("/")
        return self._found

    def check(self, url: str) -> None:
        """Nothing, if the daemon still is at `url`. Raises DaemonAway.

        Asked once the connection there stands: a daemon takes its address back before it lets go of its port,
        so whoever is connected then is the daemon.
        """
        if callable(self._address) and self.find() != url:
            raise DaemonAway(f"The daemon is not at {url} any more.", "Try again.")
