"""Backups as callers see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["BackupService", "BackupStream"]


@attrs.frozen
class BackupStream:
    """A backup to be read once: its file's size in bytes, and the file, piece by piece."""

    size: int
    pieces: AbstractAsyncContextManager[AsyncIterator[bytes]]


class BackupService(Protocol):
    """Makes backups; the owner's alone."""

    async def make(self, caller: Caller, passphrase: str | None) -> BackupStream:
        """A backup that the recovery phrase opens, or a passphrase. Raises DaemonRefusal."""
