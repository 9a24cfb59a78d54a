"""Devices' counters, read once, counted up in memory, and written once with each commit.

They are held from one commit to the next. Whatever is taken back, and any other process that writes, makes
them be read anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from taskferry_protocol.ids import AgentRef, DeviceId

from .ledger import number_agents
from .rows import Column, select_in, update

HELD: Final = 4_096
"""Devices and agents that are held beyond a commit, some 500 bytes each."""

_COLUMNS: Final = ("n", "place", "last", "acked", "swept", "count", "bytes")
_BOXES: Final = "SELECT n, id, place, last, acked, swept, count, bytes FROM devices WHERE"


class Box:
    """A device's counters, as in its row."""

    __slots__ = ("acked", "bytes", "count", "id", "last", "n", "place", "swept", "touched")

    def __init__(self, row: sqlite3.Row) -> None:
        (self.n, self.id, self.place, self.last, self.acked, self.swept, self.count, self.bytes) = row
        self.touched = False


class Boxes:
    """The counters of a store with one writer. Used in a transaction only, between `begin` and `write`."""

    def __init__(self) -> None:
        self.of: dict[DeviceId, Box] = {}
        """Those that were loaded, by device."""
        self.numbered: dict[int, Box] = {}
        """The same by number."""
        self.targets: dict[AgentRef, int] = {}
        """Numbers of agents."""
        self.next = 0
        """The number of the next envelope; 0 while it is not known."""
        self._touched: list[Box] = []
        self._version = -1

    def forget(self) -> None:
        """Something was taken back: what is held may stand in no row."""
        self.of.clear()
        self.numbered.clear()
        self.targets.clear()
        self.next = 0
        self._touched.clear()

    def begin(self, connection: sqlite3.Connection, devices: set[DeviceId], targets: set[AgentRef]) -> None:
        """Load counters and numbers that changes name, and that are not held."""
        # It differs once another connection has written, and never through this one.
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._version or len(self.of) > HELD or len(self.targets) > HELD:
            self.forget()
            self._version = version
        if missing := devices - self.of.keys():
            self._load(connection, missing)
        if unknown := targets - self.targets.keys():
            self.targets |= number_agents(connection, unknown)

    def _load(self, connection: sqlite3.Connection, devices: set[DeviceId]) -> None:
        self._keep(select_in(connection, f"{_BOXES} id", ((device,) for device in devices)))
        if missing := devices - self.of.keys():
            connection.executemany("INSERT INTO devices (id) VALUES (?)", [(d,) for d in missing])
            self._keep(select_in(connection, f"{_BOXES} id", ((device,) for device in missing)))

    def load_numbered(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Load the counters of devices of which only the number is known."""
        unknown = set(numbers) - self.numbered.keys()
        self._keep(select_in(connection, f"{_BOXES} n", ((n,) for n in unknown)))

    def _keep(self, rows: list[sqlite3.Row]) -> None:
        for row in rows:
            box = Box(row)
            self.of[box.id] = box
            self.numbered[box.n] = box

    def touch(self, box: Box) -> None:
        """A counter changes."""
        if not box.touched:
            box.touched = True
            self._touched.append(box)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all counters that changed."""
        if self._touched:
            rows: list[tuple[Column, ...]] = [
                (box.n, box.place, box.last, box.acked, box.swept, box.count, box.bytes)
                for box in self._touched
            ]
            update(connection, "devices", _COLUMNS, rows)
            for box in self._touched:
                box.touched = False
            self._touched.clear()
