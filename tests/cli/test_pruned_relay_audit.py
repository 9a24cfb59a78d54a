"""What a relay's audit log has no more is compared with an export of before, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from taskferry_apps import system
from taskferry_apps.cli.relay_audit import audit
from taskferry_apps.relay.audit import KEPT_MS
from taskferry_protocol.audit import RelayAuditKind, audit_note, read_audit_export
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import AppendAudit, Generation
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
