"""What a relay's audit log has no more is compared with an export of before, too."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from taskferry_apps import system
from taskferry_apps.cli.relay_audit import audit
from taskferry_apps.relay.audit import KEPT, KEPT_MS
from taskferry_protocol.audit import RelayAuditKind, audit_note, read_audit_export, read_entry
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import AppendAudit, Counted, Generation, PruneAudit
from taskferry_stores.sqlite import open_relay_store


def _relay_audit(*words: str) -> Result:
    return CliRunner().invoke(audit, words, obj={})


async def test_a_beginning_that_was_cut_off_before_its_time_is_found_out(tmp_path: Path) -> None:
    """Of what an export has, only what housekeeping would have taken away by now may be missing."""
    database, file, now = tmp_path / "relay.db", tmp_path / "before.cbor", system.now()
    async with open_relay_store(database, generation=Generation(b"g" * 16)) as store:
        for at in (now - KEPT_MS - DAY_MS, now - DAY_MS, now):
            note = audit_note(RelayAuditKind.STARTED, "somewhere", {}, Instant(at))
            await store.commit((AppendAudit(note),))
    assert _relay_audit("export", str(file), "--db", str(database)).exit_code == 0
    for entry, code in zip(read_audit_export(file.read_bytes()).entries[:2], (0, 6), strict=True):
        with closing(sqlite3.connect(database)) as other, other:
            other.execute("DELETE FROM audit WHERE n <= ?", (entry.n,))
            other.execute("UPDATE audit_chain SET base = ?, base_hash = ?", (entry.n, entry.end.hash))
        assert _relay_audit("verify", "--db", str(database)).exit_code == 0
        compared = _relay_audit("verify", "--db", str(database), "--against", str(file), "--json")
        assert compared.exit_code == code
        assert ("Entry 2 was taken away" in compared.output) is (code == 6)


async def test_an_export_of_which_nothing_is_kept_any_more_is_no_loss(tmp_path: Path) -> None:
    """Housekeeping took all of it away in time, as it says; one entry that was not due is still found out."""
    database, old, newer = tmp_path / "relay.db", tmp_path / "old.cbor", tmp_path / "newer.cbor"
    now = system.now()
    async with open_relay_store(database, generation=Generation(b"g" * 16)) as store:
        for at, file in ((now - KEPT_MS - DAY_MS, old), (now - DAY_MS, newer)):
            await store.commit((AppendAudit(audit_note(RelayAuditKind.STARTED, "x", {}, Instant(at))),))
            assert _relay_audit("export", str(file), "--db", str(database)).exit_code == 0
        for _ in range(2):
            await store.commit((AppendAudit(audit_note(RelayAuditKind.STARTED, "x", {}, now)),))
        pruned = PruneAudit(Instant(now - KEPT_MS), KEPT, 512)
        assert await store.commit((pruned,)) == (Counted(1),)
        # The first entry after the export's end goes, too.
        await store.commit((PruneAudit(now, KEPT, 512),))
    compared = _relay_audit("verify", "--db", str(database), "--against", str(old))
    assert (compared.exit_code, "its time was over" in compared.output) == (0, True), compared.output
    told = json.loads(_relay_audit("verify", "--db", str(database), "--against", str(old), "--json").output)
    assert (told["holds"], told["broken_at"]) == (True, None)
    with closing(sqlite3.connect(database)) as other, other:
        entry = chained_end(other, 3)
        other.execute("DELETE FROM audit WHERE n <= 3")
        other.execute("UPDATE audit_chain SET base = 3, base_hash = ?", (entry,))
    compared = _relay_audit("verify", "--db", str(database), "--against", str(newer), "--json")
    assert (compared.exit_code, "Entry 2 was taken away" in compared.output) == (6, True), compared.output


def chained_end(database: sqlite3.Connection, n: int) -> bytes:
    """The hash of an entry."""
    (raw,) = database.execute("SELECT raw FROM audit WHERE n = ?", (n,)).fetchone()
    return read_entry(raw).end.hash
