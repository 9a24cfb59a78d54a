"""The audit log as it is stored; `..audit` says what an entry holds and how a chain is checked.

A store gives each note its number and the hash of the entry before, in the transaction that appends it.
"""

from __future__ import annotations

import attrs

from ..audit import AuditNote
from ..ids import Instant
from ..values import value
from .base import Place


@attrs.frozen
class AppendAudit:
    """Write a note down at the end of the audit log. Result: `Placed`."""

    note: AuditNote


@attrs.frozen
class PruneAudit:
    """Take at most `limit` of the oldest entries: those before `before`, and those beyond the newest `keep`.

    The log begins after the last one taken, whose number and hash are kept. Result: `Counted`.
    """

    before: Instant
    keep: int
    limit: int


@value
class Placed:
    """The running number that a row was given."""

    place: Place


@attrs.frozen
class AuditRow:
    """An entry as it is held: its number and kind, by which it is found, and its bytes, which count."""

    place: Place
    kind: str
    raw: bytes
