"""Which secret store a data directory uses: decided at its first start, written down, and then kept to.

A store that was chosen and is not there is an error: nothing is made anew, for that would be another device.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

from .. import system
from .private_files import read_private, write_private
from .secret_files import FileSecrets
from .secret_port import DEVICE, NAMES, SecretStore, SecretsUnavailable
from .secret_service import KeyringSecrets, find_backend, find_open_backend

__all__ = ["KINDS", "SecretsMisplaced", "find_secrets", "move_secrets", "open_secrets", "read_mark"]

KINDS: Final = ("files", "keyring")
_FILE: Final = "secrets.json"
_ID_BYTES: Final = 16


class SecretsMisplaced(Exception):
    """The secrets are elsewhere than the settings say; the text says what to do."""


@attrs.frozen
class Mark:
    """What a data directory says of its secrets: where they are, and its name in the secret store."""

    kept: str
    directory: str


def read_mark(data: Path) -> Mark | None:
    """Where the secrets of a data directory are; None before the first start, and for older directories.

    Raises SecretsMisplaced for a damaged file, UnsafeFile, OSError.
    """
    path = data / _FILE
    try:
        content = json.loads(read_private(path))
        mark = Mark(str(content["kept"]), str(content["directory"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SecretsMisplaced(f"{path} is damaged; put it back from a copy of the folder.") from error
    if mark.kept not in KINDS:
        raise SecretsMisplaced(f"{path} was written by a newer version of TaskFerry. Install that one.")
    return mark


def _write_mark(data: Path, mark: Mark) -> None:
    write_private(data / _FILE, json.dumps({"kept": mark.kept, "directory": mark.directory}).encode())


def open_secrets(data: Path, wanted: str) -> SecretStore:
    """The secret store of a data directory that exists and is held.

    `wanted` is files, keyring, or auto: the system's store if it is there and open at the first start.
    Raises SecretsUnavailable, SecretsMisplaced, UnsafeFile, OSError.
    """
    mark = read_mark(data)
    files = FileSecrets(data)
    if mark is None:
        mark = Mark(_first_kind(files, wanted), system.entropy(_ID_BYTES).hex())
        _write_mark(data, mark)
    if wanted not in {"auto", mark.kept}:
        raise SecretsMisplaced(
            f"This machine's secrets are kept in {_words(mark.kept)}. "
            f"To move them, stop the daemon and run: taskferry secrets move --to {wanted}"
        )
    if mark.kept == "files":
        return files
    secrets = _in_keyring(mark.directory)
    _clear_leftovers(files, secrets)
    return secrets


def find_secrets(data: Path) -> SecretStore:
    """The secret store of a data directory that was used before. Raises as `open_secrets`."""
    mark = read_mark(data)
    return _in_keyring(mark.directory) if mark is not None and mark.kept == "keyring" else FileSecrets(data)


def _first_kind(files: FileSecrets, wanted: str) -> str:
    if any(files.read(name) is not None for name in NAMES):
        return "files"
    if wanted == "auto":
        try:
            find_open_backend()
        except SecretsUnavailable:
            return "files"
        return "keyring"
    if wanted == "keyring":
        try:
            find_backend()
        except SecretsUnavailable as error:
            text = f"{error} To keep the keys in files: taskferry up --secrets files"
            raise SecretsUnavailable(text) from None
    return wanted


def _words(kind: str) -> str:
    return "the system's secret store" if kind == "keyring" else "files"


def _in_keyring(directory: str) -> KeyringSecrets:
    try:
        return KeyringSecrets(find_backend(), directory)
    except SecretsUnavailable as error:
        raise SecretsUnavailable(
            f"The keys of this machine are in the system's secret store, which is not to be had: {error} "
            "Unlock it or log in, then try again. No new keys were made."
        ) from None


def _clear_leftovers(files: FileSecrets, secrets: SecretStore) -> None:
    """Remove what a move that was cut off left in files, once it is seen to be in the store."""
    for name in NAMES:
        left = files.read(name)
        if left is not None and secrets.read(name) == left:
            files.erase(name)


def move_secrets(data: Path, to: str) -> bool:
    """Move the secrets of a data directory that is held; False if they are there already.

    Copied, read back, noted, and only then erased where they were: cut off anywhere, one whole copy counts.
    Raises as `open_secrets`.
    """
    mark = read_mark(data) or Mark("files", system.entropy(_ID_BYTES).hex())
    if mark.kept == to:
        return False
    files = FileSecrets(data)
    keyring = _in_keyring(mark.directory)
    old, new = (files, keyring) if to == "keyring" else (keyring, files)
    contents = {name: content for name in NAMES if (content := old.read(name)) is not None}
    if to == "files" and DEVICE not in contents and (data / "daemon.db").exists():
        raise SecretsUnavailable(
            "The system's secret store has no keys of this machine; nothing was moved. "
            "Log in as the user who made them, or recover the account."
        )
    for name, content in contents.items():
        new.write(name, content)
        if new.read(name) != content:
            raise SecretsUnavailable("What was copied did not come back; nothing was moved.")
    _write_mark(data, attrs.evolve(mark, kept=to))
    for name in NAMES:
        old.erase(name)
    return True
