"""The audit log's chain: what was changed, left out, moved, added or cut off is found, and where."""

from __future__ import annotations

import pytest

from taskferry_protocol import audit
from taskferry_protocol.audit import (
    CHAIN_START,
    FACTS,
    SUBJECT_BYTES,
    AuditChain,
    AuditEnd,
    AuditEntry,
    ChainBroken,
    ChainCheck,
    audit_note,
    chained,
    export_audit,
    read_audit_export,
    read_entry,
    require_kept,
)
from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash, Instant

NOW = Instant(1_700_000_000_000)


def a_chain(length: int) -> list[AuditEntry]:
    """Entries one after another."""
    entries: list[AuditEntry] = []
    end = CHAIN_START
    for number in range(length):
        entries.append(chained(audit_note("grant", f"@bob/{number}", {"n": number}, NOW), end))
        end = entries[-1].end
    return entries


def follow(raws: list[bytes], head: AuditEnd) -> None:
    """Check a chain from its start."""
    check = ChainCheck(CHAIN_START)
    for raw in raws:
        check.take(raw)
    check.finish(head)


def changed(entry: AuditEntry, **members: object) -> bytes:
    """An entry of which somebody has changed something."""
    value = decode(entry.raw)
    assert isinstance(value, dict)
    return encode({**value, **members})


def test_a_chain_holds_as_it_was_written():
    """Every entry reads back as it was, and the chain ends at its head."""
    entries = a_chain(5)
    follow([entry.raw for entry in entries], entries[-1].end)
    assert [read_entry(entry.raw) for entry in entries] == entries
    follow([], CHAIN_START)


TAMPERED = {
    "changed": (lambda e: [e[0].raw, changed(e[1], subject="@eve/x"), *(x.raw for x in e[2:])], 3),
    "changed at the end": (lambda e: [*(x.raw for x in e[:4]), changed(e[4], at=1)], 5),
    "left out": (lambda e: [e[0].raw, *(x.raw for x in e[2:])], 2),
    "left out at the start": (lambda e: [x.raw for x in e[1:]], 1),
    "swapped": (lambda e: [e[0].raw, e[2].raw, e[1].raw, e[3].raw, e[4].raw], 2),
    "cut off": (lambda e: [x.raw for x in e[:3]], 4),
    "repeated": (lambda e: [e[0].raw, *(x.raw for x in e)], 2),
    "added": (lambda e: [*(x.raw for x in e), chained(e[0].note, e[4].end).raw], 6),
    "renumbered": (
        lambda e: [e[0].raw, changed(e[2], n=2), changed(e[3], n=3), changed(e[4], n=4)],
        2,
    ),
    "unreadable": (lambda e: [e[0].raw, b"\xff", *(x.raw for x in e[2:])], 2),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_found(how):
    """The number of the entry where the chain does not hold is told."""
    entries = a_chain(5)
    tamper, at = TAMPERED[how]
    with pytest.raises(ChainBroken) as broken:
        follow(tamper(entries), entries[-1].end)
    assert broken.value.n == at


def test_a_log_may_be_without_what_it_need_not_keep_and_nothing_else():
    """Against an export: entries that are old, or more than are kept, may be gone, and no others."""
    entries = a_chain(5)
    exported = AuditChain(head=entries[3].end)
    earlier = read_audit_export(export_audit("relay", NOW, exported, [entry.raw for entry in entries[:4]]))
    chain = AuditChain(entries[1].end, entries[4].end)
    require_kept(chain, earlier, before=Instant(NOW + 1), keep=5)
    require_kept(chain, earlier, before=NOW, keep=3)
    for keep, at in ((4, 2), (5, 1)):
        with pytest.raises(ChainBroken) as broken:
            require_kept(chain, earlier, before=NOW, keep=keep)
        assert broken.value.n == at


def test_what_stands_beside_an_entry_must_agree_with_it():
    """A row listed under another kind or number would be left out of a list, and is found."""
    (entry,) = a_chain(1)
    for kind, n in (("refusal", 1), ("grant", 2)):
        with pytest.raises(ChainBroken):
            ChainCheck(CHAIN_START).take(entry.raw, kind, n)
    assert ChainCheck(CHAIN_START).take(entry.raw, "grant", 1) == entry


def test_an_export_is_checked_when_it_is_read():
    """It comes back as it was; one that was changed is refused, and so is another kind of file."""
    entries = a_chain(4)
    chain = AuditChain(entries[0].end, entries[-1].end)
    raw = export_audit("alice", NOW, chain, [entry.raw for entry in entries[1:]])
    read = read_audit_export(raw)
    assert (read.owner, read.exported_at, read.chain) == ("alice", NOW, chain)
    assert read.entries == tuple(entries[1:])
    with pytest.raises(ChainBroken):
        read_audit_export(export_audit("alice", NOW, chain, [entry.raw for entry in entries[1:3]]))
    with pytest.raises(RemoteProtocolError):
        read_audit_export(b"nothing of the kind")
    value = decode(raw)
    assert isinstance(value, dict)
    with pytest.raises(RemoteProtocolError) as refused:
        read_audit_export(encode({**value, "format": "taskferry-audit/2"}))
    assert refused.value.code is RejectCode.UNKNOWN_VERSION


def test_an_export_of_more_than_a_file_holds_has_the_newest_and_can_be_read(monkeypatch: pytest.MonkeyPatch):
    """However large entries are: an export that nobody can read would be no export of anything."""
    monkeypatch.setattr(audit, "EXPORT_BYTES", 20_000)
    end, entries = CHAIN_START, list[AuditEntry]()
    for _ in range(100):
        entries.append(chained(audit_note("grant", "@bob/w", {"text": "x" * 500}, NOW), end))
        end = entries[-1].end
    raw = audit.export_newest("alice", NOW, AuditChain(CHAIN_START, end), entries)
    read = read_audit_export(raw)
    assert 18_000 < len(raw) <= 20_000
    assert read.chain.head == end
    assert read.entries == tuple(entries[-len(read.entries) :])
    assert read.chain.base == entries[-len(read.entries) - 1].end


@pytest.mark.parametrize(
    "members",
    [
        {"n": 0},
        {"prev": b"short"},
        {"kind": ""},
        {"facts": []},
        {"facts": {"flag": True}},
        {"facts": {f"f{n}": n for n in range(FACTS + 1)}},
        {"more": 1},
    ],
)
def test_an_entry_of_another_shape_is_refused(members):
    """Shape and bounds are checked when an entry is read."""
    with pytest.raises(RemoteProtocolError):
        read_entry(changed(a_chain(1)[0], **members))


def test_long_texts_are_cut_and_many_facts_are_a_fault():
    """No caller can make an entry that is not read again, whatever a label holds."""
    note = audit_note("grant", "é" * 1_000, {"label": "ü" * 5_000, "lone": "\ud800"}, NOW)
    assert len(note.subject.encode()) <= SUBJECT_BYTES
    entry = chained(note, AuditEnd(7, Hash(bytes(32))))
    assert read_entry(entry.raw) == entry
    with pytest.raises(LocalProtocolError):
        audit_note("grant", "x", {f"f{n}": n for n in range(FACTS + 1)}, NOW)
