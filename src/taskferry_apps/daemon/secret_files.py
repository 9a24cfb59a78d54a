"""Secrets in files: mode 0600 in a folder of mode 0700, in the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..settings import owner_token_path
from .private_files import make_private_directory, read_private, write_private

__all__ = ["FileSecrets"]

FOLDER: Final = "keys"


class FileSecrets:
    """The secrets of one data directory, each in a file."""

    kind: Final = "files"

    def __init__(self, data: Path) -> None:
        self._data = data

    def where(self, name: str) -> str:
        """The path of a secret, for its owner."""
        return str(self._path(name))

    def _path(self, name: str) -> Path:
        return owner_token_path(self._data) if name == "owner" else self._data / FOLDER / f"{name}.json"

    def read(self, name: str) -> bytes | None:
        """A secret, None if there is none. Raises UnsafeFile, OSError."""
        try:
            return read_private(self._path(name))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Keep a secret durably. Raises UnsafeFile, OSError."""
        path = self._path(name)
        if path.parent != self._data:
            make_private_directory(path.parent)
        write_private(path, content)

    def erase(self, name: str) -> None:
        """Forget a secret. Raises OSError."""
        self._path(name).unlink(missing_ok=True)
