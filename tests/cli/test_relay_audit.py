"""`taskferry relay audit`: read beside the running relay, checked, exported and compared."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from taskferry_apps.demo.stage import Stage

from .conftest import Shell, until


@pytest.fixture
def database(stage: Stage, alice: Shell) -> Path:
    """The running relay's file, once alice has joined and that is written down."""
    return stage.folder / "relay" / "relay.db"


def _until_listed(shell: Shell, database: Path, words: str) -> str:
    return until(
        lambda: shell("relay", "audit", "list", "--db", str(database), "--limit", "1000"),
        lambda ran: words in ran.out,
    ).out


def test_the_log_is_read_beside_the_running_relay(alice: Shell, database: Path) -> None:
    """Accounts and sign-ins are listed while the relay runs; an export is compared with the log of later."""
    out = _until_listed(alice, database, "@alice had a session")
    assert "@alice joined (account " in out
    assert alice("relay", "audit", "list", "--db", str(database), "--kind", "gossip").code == 2
    none = alice("relay", "audit", "list", "--db", str(database), "--kind", "mail_failed")
    assert none.out.splitlines()[0] == "Nothing of the kind mail_failed is written down."
    assert "without --kind" in none.out
    older = alice("relay", "audit", "list", "--db", str(database), "--cursor", "1")
    assert older.out == "Nothing that is older is written down.\n"
    file = alice.folder / "relay-audit.cbor"
    made = alice("relay", "audit", "export", str(file), "--db", str(database), "--json")
    assert made.code == 0, made.err
    assert alice("relay", "audit", "verify", "--db", str(database), "--against", str(file)).code == 0
    listed = alice("relay", "audit", "list", "--db", str(database), "--limit", "1", "--json").json()
    assert listed["more"] is True
    following = str(listed["cursor"])
    assert alice("relay", "audit", "list", "--db", str(database), "--cursor", following).code == 0


def test_a_tampered_copy_is_found_out(alice: Shell, database: Path) -> None:
    """A row that is gone, and a tail that was cut off with care, against an export of before."""
    _until_listed(alice, database, "@alice had a session")
    file = alice.folder / "before.cbor"
    assert alice("relay", "audit", "export", str(file), "--db", str(database)).code == 0
    copy = alice.folder / "copy.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    with target:
        target.execute("DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)")
    cut = alice("relay", "audit", "verify", "--db", str(copy))
    assert cut.code == 6
    assert "missing at the end" in cut.err
    with target:
        target.execute("DELETE FROM audit")
        target.execute("DELETE FROM audit_chain")
    target.close()
    assert alice("relay", "audit", "verify", "--db", str(copy)).code == 0
    anew = alice("relay", "audit", "verify", "--db", str(copy), "--against", str(file), "--json")
    assert anew.code == 6
    assert anew.json()["holds"] is False


def test_what_is_no_relays_file_is_said(alice: Shell, database: Path, tmp_path: Path) -> None:
    """A missing file, a daemon's file and a file of something else end with a sentence."""
    (tmp_path / "noise.db").write_bytes(b"noise" * 1_000)
    shutil.copy(alice.data / "daemon.db", tmp_path / "daemon.db")
    for name in ("none.db", "noise.db", "daemon.db"):
        ran = alice("relay", "audit", "list", "--db", str(tmp_path / name))
        assert ran.code == 7
        assert ran.err.startswith("taskferry: ")
