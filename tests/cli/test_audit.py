"""`taskferry audit`: listed, checked, exported, and compared with an earlier export."""

from __future__ import annotations

from .conftest import Shell


def test_the_log_is_listed_exported_and_compared(alice: Shell) -> None:
    """Entries in words and as JSON; an export is checked by itself and against the log of later."""
    made = alice("token", "create", "requester", "--label", "for the audit", "--json").json()
    listed = alice("audit", "list", "--kind", "credential_made")
    told = f'You made a credential "for the audit" for programs of requester ({str(made["id"])[:8]}).'
    assert told in listed.out
    assert str(made["token"]) not in alice("audit", "list", "--json", "--limit", "200").out
    none = alice("audit", "list", "--kind", "recovered").out
    assert none.splitlines()[0] == "Nothing of the kind recovered is written down."
    file = alice.folder / "audit.cbor"
    assert alice("audit", "export", str(file)).code == 0
    assert alice("audit", "export", str(file)).code == 2
    assert alice("token", "revoke", str(made["id"])[:8]).code == 0
    held = alice("audit", "verify", "--against", str(file))
    assert "The audit log holds" in held.out
    answer = alice("audit", "verify", "--json").json()
    assert answer["holds"] is True
    page = alice("audit", "list", "--limit", "1", "--json").json()
    assert alice("audit", "list", "--limit", "1", "--cursor", str(page["cursor"])).code == 0


def test_another_log_or_a_changed_file_does_not_pass(alice: Shell, bob: Shell) -> None:
    """An export of somebody else's log is missed in this one; a file that was changed says so."""
    file = alice.folder / "alices-audit.cbor"
    assert alice("audit", "export", str(file)).code == 0
    ran = bob("audit", "verify", "--against", str(file))
    assert ran.code == 6
    assert "does not hold" in ran.err
    assert bob("audit", "verify", "--against", str(file), "--json").code == 6
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b"set_up", b"sat_up", 1))
    changed = alice("audit", "verify", "--against", str(file))
    assert changed.code == 6
    assert "does not hold itself" in changed.err
    file.write_bytes(b"something else")
    assert alice("audit", "verify", "--against", str(file)).code == 2
    assert alice("audit", "verify", "--against", "nowhere.cbor").code == 2
