"""The audit log: what its entries say, how each names the one before, and the check of a whole chain.

An entry is deterministic CBOR and holds the SHA-256 of the entry before it, so that none can be changed, left
out or moved without the end of the chain coming out otherwise. Who keeps an end that was exported can tell
later whether what stood before it stands still. No entry holds a secret or a message's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import attrs

from .cbor import Value, decode, encode
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import Hash, Instant, sha256
from .shape import MapReader, as_array, as_bytes, as_pair, as_uint

__all__ = [
    "CHAIN_START",
    "AuditChain",
    "AuditEnd",
    "AuditEntry",
    "AuditExport",
    "AuditKind",
    "AuditNote",
    "ChainBroken",
    "ChainCheck",
    "Fact",
    "RelayAuditKind",
    "audit_note",
    "chained",
    "export_audit",
    "export_newest",
    "follow",
    "read_audit_export",
    "read_entry",
    "require_kept",
]

FORMAT: Final = "taskferry-audit/1"
ENTRY_BYTES: Final = 8_192
SUBJECT_BYTES: Final = 256
FACTS: Final = 16
FACT_BYTES: Final = 512
#: Entries in one export; of a longer log the newest are exported.
EXPORTED: Final = 200_000
EXPORT_BYTES: Final = 64 * 1_048_576
_CBOR_ITEMS: Final = 2 * EXPORTED
#: What a file has before each entry, and besides them, at most.
_HEAD_BYTES: Final = 3
_AROUND_BYTES: Final = 1_024

Fact = str | int
"""What is said about an entry's subject: a short text or a whole number."""


class AuditKind(StrEnum):
    """What an owner can find in the log."""

    SET_UP = "set_up"
    SIGN_IN = "sign_in"
    AGENT_CHANGED = "agent_changed"
    CARD_CHANGED = "card_changed"
    CONNECTION_ASKED = "connection_asked"
    CONNECTION_ACCEPTED = "connection_accepted"
    CONNECTION_DECLINED = "connection_declined"
    CONNECTION_REVOKED = "connection_revoked"
    CONNECTION_BLOCKED = "connection_blocked"
    CONNECTION_UNBLOCKED = "connection_unblocked"
    CONNECTION_REGAINED = "connection_regained"
    GRANT = "grant"
    PERMISSION_CHANGED = "permission_changed"
    APPROVAL = "approval"
    DENIAL = "denial"
    REFUSAL = "refusal"
    RULE_CHANGED = "rule_changed"
    GATE_CHANGED = "gate_changed"
    BREAKER = "breaker"
    BREAKER_CHANGED = "breaker_changed"
    KEY_ROTATED = "key_rotated"
    DEVICE_ADDED = "device_added"
    DEVICE_REVOKED = "device_revoked"
    DEVICE_RENAMED = "device_renamed"
    RECOVERY_CHANGED = "recovery_changed"
    RECOVERED = "recovered"
    RENAMED = "renamed"
    TRUST_CHANGED = "trust_changed"
    IDENTITY_CHANGED = "identity_changed"
    PEER_DEVICES = "peer_devices"
    ALARM = "alarm"
    CREDENTIAL_MADE = "credential_made"
    CREDENTIAL_REVOKED = "credential_revoked"
    INVITE_MADE = "invite_made"
    INVITE_REVOKED = "invite_revoked"
    INVITE_USED = "invite_used"
    EXPORT = "export"
    MANAGE_KEY = "manage_key"
    BACKUP = "backup"
    RESTORED = "restored"
    SHORTENED = "shortened"


class RelayAuditKind(StrEnum):
    """What an operator can find in a relay's log."""

    STARTED = "started"
    RESTORED = "restored"
    ACCOUNT_TAKEN = "account_taken"
    NAME_CLAIMED = "name_claimed"
    DEVICE_ADDED = "device_added"
    DEVICE_REVOKED = "device_revoked"
    RECOVERY_CHANGED = "recovery_changed"
    RECOVERED = "recovered"
    SIGN_IN = "sign_in"
    REFUSAL = "refusal"
    ACCOUNT_HELD = "account_held"
    HOLD_LIFTED = "hold_lifted"
    SUSPENDED = "suspended"
    RELEASED = "released"
    EVIDENCE = "evidence"
    TICKET_MADE = "ticket_made"
    TICKET_USED = "ticket_used"
    TICKET_REVOKED = "ticket_revoked"
    MAIL_FAILED = "mail_failed"
    OPERATOR_SIGN_IN = "operator_sign_in"


@attrs.frozen
class AuditNote:
    """Something to write down. `facts` are sorted by name; make one with `audit_note`."""

    kind: str
    subject: str
    facts: tuple[tuple[str, Fact], ...]
    at: Instant


@attrs.frozen(order=True)
class AuditEnd:
    """A place in a chain: how many entries there were, and the hash of the last of them."""

    n: int
    hash: Hash


#: Before the first entry there is none to name.
CHAIN_START: Final = AuditEnd(0, Hash(bytes(32)))


@attrs.frozen
class AuditChain:
    """Where what is held begins (entries up to `base` were taken away when their time was over) and ends."""

    base: AuditEnd = CHAIN_START
    head: AuditEnd = CHAIN_START


@attrs.frozen
class AuditEntry:
    """A note in its place."""

    n: int
    prev: Hash
    note: AuditNote
    raw: bytes = attrs.field(repr=False)

    @property
    def end(self) -> AuditEnd:
        """The chain's end just after this entry."""
        return AuditEnd(self.n, sha256(self.raw))


class ChainBroken(Exception):
    """The chain does not hold at entry `n`; the text says what was found."""

    def __init__(self, n: int, text: str) -> None:
        super().__init__(text)
        self.n = n


def audit_note(kind: str, subject: str, facts: Mapping[str, Fact], at: Instant) -> AuditNote:
    """A note within the bounds: longer texts are cut."""
    if len(facts) > FACTS:
        raise LocalProtocolError(f"an audit entry says at most {FACTS} facts")
    kept = {name: _cut(fact, FACT_BYTES) if isinstance(fact, str) else fact for name, fact in facts.items()}
    return AuditNote(kind, _cut(subject, SUBJECT_BYTES), tuple(sorted(kept.items())), at)


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def chained(note: AuditNote, before: AuditEnd) -> AuditEntry:
    """The entry that a note makes after the end of a chain."""
    n = before.n + 1
    raw = encode(
        {
            "n": n,
            "prev": before.hash,
            "at": note.at,
            "kind": note.kind,
            "subject": note.subject,
            "facts": dict(note.facts),
        }
    )
    return AuditEntry(n, before.hash, note, raw)


def read_entry(raw: bytes) -> AuditEntry:
    """An entry from its bytes. Raises RemoteProtocolError with the codes of encoding and shape."""
    value = decode(raw, limit=ENTRY_BYTES)
    reader = MapReader(value, "", ("n", "prev", "at", "kind", "subject", "facts"))
    return AuditEntry(
        reader.uint("n", low=1),
        Hash(reader.bytes("prev", size=32)),
        AuditNote(
            at=reader.time("at"),
            kind=reader.text("kind", least=1, most=64),
            subject=reader.text("subject", most=SUBJECT_BYTES),
            facts=reader.read("facts", _facts),
        ),
        raw,
    )


def _facts(value: Value, field: str) -> tuple[tuple[str, Fact], ...]:
    if type(value) is not dict:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a map expected", field=field)
    if len(value) > FACTS:
        raise RemoteProtocolError(RejectCode.TOO_MANY, f"{FACTS} facts are allowed", field=field)
    found: list[tuple[str, Fact]] = []
    for name, fact in value.items():
        if type(fact) is not str and type(fact) is not int:
            raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text or a number expected", field=field)
        found.append((name, fact))
    return tuple(sorted(found))


class ChainCheck:
    """Follows a chain entry by entry. `end` is how far it holds."""

    def __init__(self, base: AuditEnd) -> None:
        self.end = base

    def take(self, raw: bytes, kind: str | None = None, n: int | None = None) -> AuditEntry:
        """The next entry. `kind` and `n` are what is kept beside it. Raises ChainBroken."""
        place = self.end.n + 1
        try:
            entry = read_entry(raw)
        except RemoteProtocolError as error:
            raise ChainBroken(place, f"Entry {place} cannot be read: {error.code.value}.") from error
        if entry.n != place or n not in {None, place}:
            found = entry.n if entry.n != place else n
            raise ChainBroken(place, f"Entry {place} is missing; entry {found} stands in its place.")
        if entry.prev != self.end.hash:
            text = f"Entry {place} names another entry before it than the one that stands there."
            raise ChainBroken(place, text)
        if kind not in {None, entry.note.kind}:
            raise ChainBroken(place, f"Entry {place} is listed as {kind}, and says {entry.note.kind}.")
        self.end = entry.end
        return entry

    def finish(self, head: AuditEnd) -> None:
        """All entries were taken: the chain ends at `head`. Raises ChainBroken."""
        if self.end.n < head.n:
            place = self.end.n + 1
            text = f"Entries {place} to {head.n} are missing at the end."
            raise ChainBroken(place, text if head.n > place else f"Entry {place} is missing at the end.")
        if self.end != head:
            raise ChainBroken(self.end.n, f"The chain ends with another entry {self.end.n} than it should.")


def follow(
    chain: AuditChain,
    rows: Iterable[tuple[bytes, str, int]],
    expected: AuditEnd | None = None,
    *,
    still: bool = False,
) -> Iterator[AuditEntry]:
    """Every entry of a chain, checked; `rows` are (bytes, kind, number) as they are held, in order.

    Entries beyond the head were written meanwhile, and end it, unless all is of one moment: `still`. At
    `expected`, an end that the log once had, it must be as it was. Raises ChainBroken.
    """
    if expected is not None and not chain.base.n <= expected.n <= chain.head.n:
        raise ChainBroken(expected.n, f"Entry {expected.n}, which the log once ended with, is missing.")
    check = ChainCheck(chain.base)
    _compare(check.end, expected)
    for raw, kind, n in rows:
        if n > chain.head.n:
            if still:
                raise ChainBroken(n, f"Entry {n} stands beyond the end of the log.")
            break
        entry = check.take(raw, kind, n)
        _compare(check.end, expected)
        yield entry
    check.finish(chain.head)


def require_kept(chain: AuditChain, earlier: AuditExport, before: Instant, keep: int) -> None:
    """Nothing if what a pruned log has no more of an earlier export was older than `before`, or more than
    the newest `keep`. Raises ChainBroken.
    """
    for entry in earlier.entries:
        if entry.n <= chain.base.n and entry.n > chain.head.n - keep and entry.note.at >= before:
            raise ChainBroken(entry.n, f"Entry {entry.n} was taken away before its time was over.")


def _compare(end: AuditEnd, expected: AuditEnd | None) -> None:
    if expected is not None and end.n == expected.n and end != expected:
        raise ChainBroken(end.n, f"Entry {end.n} is another one than when the log was exported.")


def export_newest(owner: str, at: Instant, chain: AuditChain, entries: Sequence[AuditEntry]) -> bytes:
    """The file of a whole chain that was followed, or of as many of its newest entries as one file holds."""
    first, room = len(entries), EXPORT_BYTES - _AROUND_BYTES
    while first > max(0, len(entries) - EXPORTED):
        room -= len(entries[first - 1].raw) + _HEAD_BYTES
        if room < 0:
            break
        first -= 1
    base = entries[first - 1].end if first else chain.base
    return export_audit(owner, at, AuditChain(base, chain.head), [entry.raw for entry in entries[first:]])


@attrs.frozen
class AuditExport:
    """An exported log, which holds in itself. `owner` is whose it is, as the exporter claims."""

    owner: str
    exported_at: Instant
    chain: AuditChain
    entries: tuple[AuditEntry, ...]


def export_audit(owner: str, at: Instant, chain: AuditChain, entries: Iterable[bytes]) -> bytes:
    """The file of a chain that was checked."""
    return encode(
        {
            "format": FORMAT,
            "owner": owner,
            "exported_at": at,
            "base": [chain.base.n, chain.base.hash],
            "head": [chain.head.n, chain.head.hash],
            "entries": list(entries),
        }
    )


def read_audit_export(raw: bytes) -> AuditExport:
    """An exported log, every entry of which was followed from its base to its head.

    Raises RemoteProtocolError for what is no such file, ChainBroken where the chain does not hold.
    """
    value = decode(raw, limit=EXPORT_BYTES, items=_CBOR_ITEMS)
    reader = MapReader(value, "", ("format", "owner", "exported_at", "base", "head", "entries"))
    if reader.text("format", most=64) != FORMAT:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, f"not {FORMAT}", field="format")
    owner = reader.text("owner", most=SUBJECT_BYTES)
    exported_at = reader.time("exported_at")
    chain = AuditChain(reader.read("base", _end), reader.read("head", _end))
    check = ChainCheck(chain.base)
    entries = tuple([check.take(entry) for entry in reader.read("entries", _entries)])
    check.finish(chain.head)
    return AuditExport(owner, exported_at, chain, entries)


def _end(value: Value, field: str) -> AuditEnd:
    n, hash = as_pair(value, field)
    return AuditEnd(as_uint(n, field), Hash(as_bytes(hash, field, size=32)))


def _entries(value: Value, field: str) -> list[bytes]:
    return [as_bytes(item, field, most=ENTRY_BYTES) for item in as_array(value, field, most=EXPORTED)]
