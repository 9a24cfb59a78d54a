"""What can go wrong with a store. Each error is one plain sentence that names cause and remedy."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ConflictKind",
    "StoreClosed",
    "StoreConflict",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnavailable",
    "WrongStore",
]


class StoreError(Exception):
    """Base of everything that a store raises on purpose."""


class ConflictKind(StrEnum):
    """Which comparison of a commit failed."""

    LOG_MOVED = "log-moved"
    NAME_TAKEN = "name-taken"
    STALE_VERSION = "stale-version"
    TOO_MANY = "too-many"
    ENDED = "ended"
    EXISTS = "exists"
    UNKNOWN = "unknown"
    REVISION = "revision"
    SEQUENCE = "sequence"
    EQUIVOCATION = "equivocation"
    KEY_USED = "key-used"
    INVITE_USED = "invite-used"
    RESERVED = "reserved"
    TICKET_USED = "ticket-used"
    TICKET_OVER = "ticket-over"
    WRONG_NAME = "wrong-name"


class StoreConflict(StoreError):
    """The store holds something else than the changes were made for. Nothing of the commit is stored.

    Load again, decide again. `kind` is compared by programs.
    """

    def __init__(self, kind: ConflictKind, text: str) -> None:
        super().__init__(f"{kind.value}: {text}")
        self.kind = kind


class StoreClosed(StoreError):
    """We closed this store; nothing of the call was done."""


class StoreFull(StoreError):
    """No space was left. Nothing of the commit is stored, and the store works again once there is space."""


class StoreFailed(StoreError):
    """Reading or writing failed, and what is on disk is not known.

    The store refuses all further work; opened again, it recovers everything that was acknowledged.
    """


class StoreCorrupt(StoreFailed):
    """The file is damaged. Restore a backup; nothing here repairs it."""


class StoreUnavailable(StoreError):
    """The store cannot be opened; nothing was changed."""


class StoreLocked(StoreUnavailable):
    """Another process has it open."""


class StoreReadOnly(StoreUnavailable):
    """It, or its folder, cannot be written."""


class StoreTooNew(StoreUnavailable):
    """A newer version of this program has written it."""


class WrongStore(StoreUnavailable):
    """It is a store of another kind, or some other program's file."""
