"""Backups: a consistent copy of the store with the keys, encrypted as it is read."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

import attrs
import trio

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.backups import (
    CHUNK_BYTES,
    Header,
    PassphraseLock,
    RecoveryLock,
    Sealer,
    lock_by_passphrase,
    lock_for_recovery,
    sealed_size,
)
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.passphrases import Effort

from .backup_port import BackupStream
from .core import Core
from .draft import Draft
from .keys import encode_keys
from .names import require_owner
from .port import Caller, DaemonRefusal
from .recovery_standing import sealed_for

__all__ = ["Backups", "Copying", "clear_copies"]

_COPY: Final = ".backup-copy"
#: Read and encrypted at once.
PIECE_BYTES: Final = 8 * CHUNK_BYTES


@attrs.frozen
class Copying:
    """How a store is copied to a file while it is used, and the folder for the copy."""

    copy_to: Callable[[Path], Awaitable[None]]
    folder: Path


def clear_copies(folder: Path) -> None:
    """Remove the copy that a backup left which was cut off. Raises OSError."""
    (folder / _COPY).unlink(missing_ok=True)


class Backups:
    """Makes one backup at a time."""

    def __init__(self, core: Core, copying: Copying | None, effort: Effort | None = None) -> None:
        self._core = core
        self._copying = copying
        self._effort = effort or Effort()
        self._lock = trio.Lock()

    async def make(self, caller: Caller, passphrase: str | None) -> BackupStream:
        """A backup for the recovery phrase, or a passphrase. Raises DaemonRefusal, and the store's errors."""
        require_owner(caller)
        core, copying = self._core, self._copying
        if copying is None:
            raise DaemonRefusal(
                "not-possible", "This daemon's store is in memory, and cannot be copied.", status=409
            )
        own = core.own
        lock, key = await self._locked(passphrase)
        async with self._lock:
            copied = await self._copy(copying)
        try:
            # After the copy, so that every key is in it which the copied log may name.
            keys = encode_keys(core.keys)
            size = await trio.to_thread.run_sync(lambda: os.fstat(copied.fileno()).st_size)
            async with core.lock:
                draft = Draft(core)
                draft.audit(AuditKind.BACKUP, "this machine", bytes=size, lock=lock.kind)
                await draft.commit()
        except BaseException:
            copied.close()
            raise
        header = Header(core.now(), own, (("store", size), ("keys", len(keys))), lock)
        return BackupStream(sealed_size(header), _pieces(copied, keys, Sealer(header, key)))

    async def _locked(self, passphrase: str | None) -> tuple[RecoveryLock | PassphraseLock, bytes]:
        core = self._core
        if passphrase is not None:
            try:
                return await trio.to_thread.run_sync(
                    lock_by_passphrase, passphrase, self._effort, core.entropy
                )
            except LocalProtocolError as error:
                raise DaemonRefusal("not-possible", f"{error}.", "Free some memory.", status=503) from error
        to = await sealed_for(core.store, await core.own_log())
        if to is None:
            raise DaemonRefusal(
                "no-backup-key",
                "This daemon does not know for which recovery phrase to encrypt.",
                "Tell it once: taskferry recovery check. Or use a passphrase: --passphrase",
                status=409,
            )
        return lock_for_recovery(to, core.entropy)

    async def _copy(self, copying: Copying) -> BinaryIO:
        """The store's copy, open and without a name: whatever happens, nothing of it stays."""
        path = copying.folder / _COPY
        await trio.to_thread.run_sync(clear_copies, copying.folder)
        try:
            await copying.copy_to(path)
            return await trio.to_thread.run_sync(path.open, "rb")
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(clear_copies, copying.folder)


@asynccontextmanager
async def _pieces(copied: BinaryIO, keys: bytes, sealer: Sealer) -> AsyncIterator[AsyncIterator[bytes]]:
    async def read() -> AsyncGenerator[bytes]:
        yield sealer.opening
        while plain := await trio.to_thread.run_sync(copied.read, PIECE_BYTES):
            if sealed := await trio.to_thread.run_sync(sealer.seal, plain):
                yield sealed
        yield sealer.seal(keys) + sealer.finish()

    # The copy has no name any more: closed, or forgotten by a caller who never came for it, it is gone.
    with copied:
        async with aclosing(read()) as pieces:
            yield pieces
