"""A set-up under way: what it goes on from after a crash, so that a name once claimed is not lost.

Only here, and only until the set-up is finished, does the recovery key stand in a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

from .keys import DamagedKeys, key_folder
from .private_files import make_private_directory, read_private, write_private

__all__ = ["Beginning", "load_beginning", "save_beginning"]

_FILE: Final = "set-up.json"


@attrs.frozen
class Beginning:
    """The owner's name, the account's first statement, and the seed of its recovery key."""

    owner: str
    statement: bytes
    recovery: bytes = attrs.field(repr=False)


def load_beginning(data: Path) -> Beginning | None:
    """The set-up that was not finished, None if there is none. Raises DamagedKeys, UnsafeFile, OSError."""
    path = key_folder(data) / _FILE
    try:
        content = json.loads(read_private(path))
        return Beginning(
            str(content["owner"]), bytes.fromhex(content["statement"]), bytes.fromhex(content["recovery"])
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedKeys(f"{path} is damaged. Remove it and set up again.") from error


def save_beginning(data: Path, beginning: Beginning | None) -> None:
    """Keep it durably, or remove it. Raises UnsafeFile, OSError."""
    folder = key_folder(data)
    make_private_directory(folder)
    path = folder / _FILE
    if beginning is None:
        path.unlink(missing_ok=True)
        return
    content = {
        "owner": beginning.owner,
        "statement": beginning.statement.hex(),
        "recovery": beginning.recovery.hex(),
    }
    write_private(path, json.dumps(content).encode())
