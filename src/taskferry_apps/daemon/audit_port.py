"""The owner's audit log as its readers see it."""

from __future__ import annotations

from typing import Protocol

import attrs

from taskferry_protocol.audit import AuditChain, AuditEnd, AuditEntry

from .port import Caller

__all__ = ["AuditPage", "AuditService", "AuditVerdict"]


@attrs.frozen
class AuditPage:
    """Entries, newest first, and the cursor to go on from ("" at the end)."""

    entries: tuple[AuditEntry, ...]
    cursor: str


@attrs.frozen
class AuditVerdict:
    """Whether the whole log holds. `broken_at` is the entry where it does not, and `text` what was found."""

    chain: AuditChain
    broken_at: int | None = None
    text: str = ""


class AuditService(Protocol):
    """What was done, decided and refused: read, checked and exported by the owner alone."""

    async def entries(
        self, caller: Caller, kind: str, cursor: str, limit: int, subject: str = ""
    ) -> AuditPage:
        """Newest first; `kind` may be "". With `subject`, those alone in whose subject or facts it stands.

        One answer looks through so many entries at most: it may hold few or none, and have a cursor.
        """

    async def verify(self, caller: Caller, expected: AuditEnd | None) -> AuditVerdict:
        """Follow the log from its first entry; `expected` is an end that it had before, if one is known."""

    async def export(self, caller: Caller) -> bytes:
        """The log as a file that can be checked by itself, and compared with later."""

    async def note_refused(self, caller: Caller, what: str, code: str) -> None:
        """A program asked for what it may not do."""
