"""Which start of which data directory this is, so that a copied one is noticed before it signs anything.

An id is drawn at a start once the one before is known to have been at the relay; so a kill at any moment, and
any number of starts without a relay, leave a chain that the relay can follow. The folder's own number and
the machine tell, without anybody's help, that the directory is not where it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

from taskferry_protocol.frames import Instance
from taskferry_protocol.ids import Entropy, sha256

from .keys import DamagedKeys
from .private_files import read_private, write_private

__all__ = ["InstanceMark", "begin_restored", "open_instance"]

ID_BYTES: Final = 16
_FILE: Final = "instance.json"
_MACHINE: Final = Path("/etc/machine-id")


@attrs.define
class InstanceMark:
    """The start under way. `moved`: the directory is not where it was, and no relay has vouched yet.

    `_restored`: its owner has said that it takes the place of the one that made its backup.
    """

    _data: Path
    _id: bytes
    _prev: bytes | None
    _confirmed: bool
    _run: bytes
    _where: tuple[int, str]
    take_over: bool
    moved: bool
    _restored: bool = False

    def hello(self) -> Instance:
        """What the relay is told."""
        return Instance(self._id, self._prev, self._run, self.take_over)

    def confirm(self) -> None:
        """The relay has taken this instance for the only one. Raises UnsafeFile, OSError."""
        if self._confirmed and not self.moved:
            self.take_over = False
            return
        self._confirmed, self.take_over, self.moved = True, False, False
        self._where, self._restored = _where(self._data), False
        self.save()

    def save(self) -> None:
        """Write it durably. Raises UnsafeFile, OSError."""
        folder, machine = self._where
        content = {
            "format": 1,
            "id": self._id.hex(),
            "prev": self._prev.hex() if self._prev is not None else None,
            "confirmed": self._confirmed,
            "folder": folder,
            "machine": machine,
            "restored": self._restored,
        }
        write_private(self._data / _FILE, json.dumps(content).encode())


def open_instance(data: Path, entropy: Entropy, *, take_over: bool) -> InstanceMark:
    """Begin this start in a data directory that is held. Raises DamagedKeys, UnsafeFile, OSError."""
    path, here, run = data / _FILE, _where(data), entropy(ID_BYTES)
    try:
        content = json.loads(read_private(path))
        id, prev = bytes.fromhex(content["id"]), content["prev"]
        mark = InstanceMark(
            data,
            id,
            bytes.fromhex(prev) if prev is not None else None,
            bool(content["confirmed"]),
            run,
            (int(content["folder"]), str(content["machine"])),
            take_over or bool(content.get("restored")),
            False,
            bool(content.get("restored")),
        )
    except FileNotFoundError:
        mark = InstanceMark(data, entropy(ID_BYTES), None, False, run, here, take_over, False)
        mark.save()
        return mark
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedKeys(
            f"{path} is damaged. Remove it, and start with: taskferry up --take-over"
        ) from error
    mark.moved = mark._restored or mark._where != here
    if mark._confirmed:
        mark._prev, mark._id, mark._confirmed = mark._id, entropy(ID_BYTES), False
        mark.save()
    return mark


def begin_restored(data: Path, entropy: Entropy) -> None:
    """Have a restored directory take the place of the one that made its backup, whenever it first starts.

    Raises UnsafeFile, OSError.
    """
    id, run = entropy(ID_BYTES), entropy(ID_BYTES)
    InstanceMark(data, id, None, False, run, _where(data), True, False, True).save()


def _where(data: Path) -> tuple[int, str]:
    """The folder's number on its disk, and a mark of the machine; a copy has another folder."""
    try:
        machine = sha256(b"taskferry instance " + _MACHINE.read_bytes()).hex()
    except OSError:
        machine = ""
    return data.stat().st_ino, machine
