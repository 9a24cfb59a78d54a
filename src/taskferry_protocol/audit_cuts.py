"""What an owner's audit log lets go of once it is longer or older than its owner wants, and how that shows.

Old entries go from the beginning, some at a time. An entry written in the same commit says up to where, with
the hash of the last one that went: whoever holds an export of before can compare, and a log that begins later
without saying so was cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .audit import (
    CHAIN_START,
    AuditChain,
    AuditEnd,
    AuditEntry,
    AuditKind,
    AuditNote,
    ChainBroken,
    Fact,
    audit_note,
)
from .ids import Hash, Instant
from .limits import DAY_MS

__all__ = ["CUT", "cut_note", "due_cut", "require_told"]

#: Entries that go at a time, so that few say so.
CUT: Final = 1_000


def due_cut(
    chain: AuditChain, oldest: Sequence[AuditEntry], *, before: Instant, keep: int
) -> AuditEnd | None:
    """Where the log begins once what is due has gone; None while nothing is.

    `oldest` are its first `CUT` entries. They go once there are more than `keep`; those from before `before`,
    once the first of them is a day older, so that at most one entry a day says so.
    """
    if chain.head.n - chain.base.n > keep and oldest:
        return oldest[-1].end
    if not oldest or oldest[0].note.at >= before - DAY_MS:
        return None
    gone = oldest[0]
    for entry in oldest:
        if entry.note.at >= before:
            break
        gone = entry
    return gone.end


def cut_note(held: AuditChain, base: AuditEnd, at: Instant) -> AuditNote:
    """What is written down with a cut."""
    facts: dict[str, Fact] = {"from": held.base.n + 1, "upto": base.n, "hash": base.hash.hex()}
    return audit_note(AuditKind.SHORTENED, "audit log", facts, at)


def require_told(chain: AuditChain, entries: Iterable[AuditEntry]) -> None:
    """Nothing if the last cut that the log tells of is where it begins. Raises ChainBroken."""
    told = CHAIN_START
    for entry in entries:
        if entry.note.kind == AuditKind.SHORTENED:
            told = _cut_in(entry)
    if told != chain.base:
        text = f"Entries up to {chain.base.n} are missing at the beginning, and no entry says that they went."
        raise ChainBroken(chain.base.n + 1, text)


def _cut_in(entry: AuditEntry) -> AuditEnd:
    facts = dict(entry.note.facts)
    n, hash = facts.get("upto"), facts.get("hash")
    try:
        if isinstance(n, int) and isinstance(hash, str):
            return AuditEnd(n, Hash(bytes.fromhex(hash)))
    except ValueError:
        pass
    raise ChainBroken(entry.n, f"Entry {entry.n} does not say what was taken away.")
