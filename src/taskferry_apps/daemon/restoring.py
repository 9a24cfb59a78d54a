"""Putting a backup back: opened into a folder of its own, checked, and only then given its name.

Nothing of a file that is cut off, altered or opened by the wrong secret is ever seen under the name.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

import attrs
import trio

from taskferry_protocol.audit import AuditKind, audit_note
from taskferry_protocol.backups import (
    COMMIT_BYTES,
    HEAD_BYTES,
    Header,
    Opener,
    header_length,
    read_header,
)
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.records import AppendAudit, Offset, PutSetting, RelayCursor, SetCursor
from taskferry_stores.port import StoreError
from taskferry_stores.sqlite import IntegrityCheck, open_daemon_store

from .. import system
from .core import SEQUENCE_FLOOR
from .instance import begin_restored
from .keys import DamagedKeys, decode_keys, encode_keys
from .private_files import make_private_directory, sync_folder
from .regaining import RESTORED
from .resuming import NO_GENERATION
from .secret_files import FileSecrets
from .secret_port import DEVICE

__all__ = [
    "CannotRestore",
    "Identity",
    "Restored",
    "check_target",
    "numbers_after",
    "read_opening",
    "restore",
]

STORE: Final = "store"
KEYS: Final = "keys"
PIECE_BYTES: Final = 1_048_576


class CannotRestore(Exception):
    """The backup was not restored, and nothing was changed. The text says why and what to do."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Identity(StrEnum):
    """Which device the restored machine is."""

    NEW = "new"
    """None yet: `recover` makes one."""
    SAME = "same"
    """The one that made the backup, which must be gone for good."""


@attrs.frozen
class Opening:
    """The beginning of a backup file: its header, as it was read and as it stands there."""

    header: Header
    raw: bytes
    commit: bytes


@attrs.frozen
class Restored:
    """What was put back."""

    owner: str
    account: str
    made_at: Instant


#: More than a device sends in its life.
_LEAP: Final = 2**32
_DRAWN_BYTES: Final = 6

_TEXTS: Final = {
    RejectCode.UNKNOWN_VERSION: "The backup was made by a newer version of TaskFerry. Install that one.",
    RejectCode.BAD_WRAP: "That is not the phrase that this backup was made for.",
    RejectCode.BAD_COMMIT: "The backup does not open: a wrong passphrase, or its beginning was altered.",
    RejectCode.BAD_CIPHERTEXT: "The backup is damaged: a part of it was altered.",
}


def refusal(error: RemoteProtocolError) -> CannotRestore:
    """What an owner is told of a file that cannot be opened."""
    text = _TEXTS.get(error.code, f"The file is no whole backup: {error.text}.")
    return CannotRestore(f"{text} Nothing was restored.", error.code.value)


def read_opening(stream: BinaryIO) -> Opening:
    """The beginning of the file. Raises CannotRestore, OSError."""
    try:
        head = stream.read(HEAD_BYTES)
        raw = head + stream.read(header_length(head))
        header = read_header(raw)
        commit = stream.read(COMMIT_BYTES)
        names = {name for name, _ in header.parts}
        if names != {STORE, KEYS}:
            raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, "other parts than are known here")
    except RemoteProtocolError as error:
        raise refusal(error) from error
    return Opening(header, raw, commit)


def check_target(data: Path) -> None:
    """Nothing if a backup may be put back under this name. Raises CannotRestore, OSError."""
    if data.is_symlink() or (data.exists() and (not data.is_dir() or any(data.iterdir()))):
        raise CannotRestore(
            f"{data} is not empty. Name another folder with --data, or move that one away.", "not-empty"
        )


def restore(
    stream: BinaryIO,
    opening: Opening,
    key: bytes,
    data: Path,
    *,
    identity: Identity,
    now: Instant,
    progress: Callable[[int], None],
) -> Restored:
    """Put a backup back under the name `data`, which is free.

    `progress` hears how many more bytes of the file are done. Raises CannotRestore, OSError.
    """
    check_target(data)
    data.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(data)
    beside = data.with_name(f"{_beginning(data)}{os.getpid()}")
    make_private_directory(beside)
    held = _held(beside)
    try:
        keys = _unpack(stream, opening, key, beside, progress)
        same_since = now if identity is Identity.SAME else None
        owner = trio.run(_check_store, beside / "daemon.db", opening.header, now, same_since)
        if identity is Identity.SAME:
            ring = decode_keys(keys, "The key part of the backup")
            FileSecrets(beside).write(DEVICE, encode_keys(ring))
            begin_restored(beside, system.entropy)
        sync_folder(beside)
        check_target(data)
        beside.rename(data)
        sync_folder(data.parent)
    except RemoteProtocolError as error:
        raise refusal(error) from error
    except (StoreError, DamagedKeys) as error:
        raise CannotRestore(f"{error} Nothing was restored.", "damaged") from error
    finally:
        os.close(held)
        shutil.rmtree(beside, ignore_errors=True)
    return Restored(owner, opening.header.account.hex(), opening.header.at)


def _beginning(data: Path) -> str:
    return f".{data.name}.restoring-"


def _held(folder: Path) -> int:
    """A descriptor that keeps a folder from counting as left behind. Raises OSError, if somebody has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _clear_leftovers(data: Path) -> None:
    """Remove what restores under this name have left that were killed: history and keys, in the open."""
    for left in data.parent.iterdir():
        if not left.name.startswith(_beginning(data)) or left.lstat().st_uid != os.geteuid():
            continue
        try:
            held = _held(left)
        except OSError:
            # Another one is under way; or it is none of ours.
            continue
        try:
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(held)


def _unpack(
    stream: BinaryIO, opening: Opening, key: bytes, folder: Path, progress: Callable[[int], None]
) -> bytes:
    """Write the store into `folder`; the keys' part, which is small. Raises RemoteProtocolError, OSError."""
    opener = Opener(opening.raw, opening.commit, opening.header, key)
    sizes = dict(opening.header.parts)
    if sizes[KEYS] > PIECE_BYTES:
        raise RemoteProtocolError(RejectCode.TOO_LARGE, "keys of such a size")
    if shutil.disk_usage(folder).free < opening.header.size:
        raise CannotRestore(f"{folder.parent} has too little room for {opening.header.size:,} bytes.", "full")
    kept = bytearray()
    descriptor = os.open(folder / "daemon.db", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as store:
        os.fchmod(store.fileno(), 0o600)
        parts = _Parts(opening.header, {STORE: store.write, KEYS: kept.extend})
        while sealed := stream.read(PIECE_BYTES):
            parts.take(opener.feed(sealed))
            progress(len(sealed))
        opener.finish()
        store.flush()
        os.fsync(store.fileno())
    return bytes(kept)


class _Parts:
    """Hands the content's bytes to the part that they belong to."""

    def __init__(self, header: Header, sinks: dict[str, Callable[[bytes], object]]) -> None:
        self._left = [(sinks[name], size) for name, size in header.parts]

    def take(self, plain: bytes) -> None:
        """The next bytes of the content."""
        while plain:
            sink, size = self._left[0]
            mine, plain = plain[:size], plain[size:]
            sink(mine)
            if len(mine) == size:
                del self._left[0]
            else:
                self._left[0] = (sink, size - len(mine))


def numbers_after(used: int, now: Instant, entropy: Entropy) -> int:
    """Above which number a device that goes on from a backup numbers what it sends.

    `used`: at or above this began what was sent before the backup, by the clocks of then. What came after it
    is not known here. Where the clock has gone on since, it is more than was ever sent: nobody sends one each
    millisecond. Where it has not, it is wrong or was, and says nothing: then it is more by far, and drawn, so
    that a second restore of one backup begins elsewhere.
    """
    if now > used:
        return now
    return used + _LEAP + int.from_bytes(entropy(_DRAWN_BYTES), "big")


async def _check_store(path: Path, header: Header, now: Instant, same_since: Instant | None) -> str:
    """The owner's name in a restored store, which is sound and of the account that the header names.

    `same_since`: the store goes on as the device that it was, whose numbers must not be used a second time.
    """
    async with open_daemon_store(path, check=IntegrityCheck.FULL) as store:
        own = await store.own_account()
        if own is None or own.record.account != header.account:
            raise CannotRestore(
                "The backup holds another account than it says. Nothing was restored.", "other"
            )
        note = audit_note(
            AuditKind.RESTORED.value,
            "this machine",
            {"made_at": header.at, "device": "the same" if same_since is not None else "a new one"},
            now,
        )
        await store.commit((AppendAudit(note),))
        if same_since is not None:
            before = (await store.settings((SEQUENCE_FLOOR,))).get(SEQUENCE_FLOOR, b"")
            used = max(header.at, int.from_bytes(before, "big"))
            first = numbers_after(used, same_since, system.entropy)
            floor = PutSetting(SEQUENCE_FLOOR, first.to_bytes(8, "big"))
            # What was taken since is known to be gone: no relay is to see an older copy in this one.
            anew = [
                SetCursor(RelayCursor(at.relay, NO_GENERATION, Offset(0))) for at in await store.cursors()
            ]
            # What the owner has decided since about connections, the relay still has.
            await store.commit((floor, *anew, RESTORED))
    return own.record.name
