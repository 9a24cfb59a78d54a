"""`taskferry relay account`, beside a relay that runs: a daemon is stopped, told why, and goes on again."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskferry_apps.demo.stage import Stage

from .conftest import Shell, items, owner_with, until


@pytest.fixture
def operator(stage: Stage, relay: str) -> Shell:
    """Whoever runs the relay."""
    return Shell(stage.folder, stage.folder / "relay")


@pytest.fixture
def db(stage: Stage) -> list[str]:
    """How the relay's database is named."""
    return ["relay", "--db", str(stage.folder / "relay" / "relay.db"), "account"]


def test_a_daemon_is_stopped_and_goes_on(stage: Stage, relay: str, operator: Shell, db: list[str]) -> None:
    """Its status says `suspended` and the reason; after the release it is connected again."""
    sue = owner_with(stage, relay, "sue", "agent")
    done = operator(*db, "suspend", "sue", "--reason", "sends  spam", "--json")
    assert done.json()["reason"] == "sends spam"
    told = until(lambda: sue("status", "--json"), lambda ran: "suspended" in ran.out)
    assert "sends spam" in told.out
    listed = operator(*db, "list", "--suspended", "--json")
    assert [(item["name"], item["state"]) for item in items(listed, "accounts")] == [("sue", "suspended")]
    shown = operator(*db, "show", "@sue")
    assert "sends spam" in shown.out
    assert "active" in shown.out
    assert operator(*db, "release", "sue").code == 0
    assert operator(*db, "release", "sue").code == 5
    assert items(operator(*db, "list", "--suspended", "--json"), "accounts") == []
    log = operator("relay", "audit", "list", "--db", db[2], "--kind", "suspended")
    assert "You suspended @sue" in log.out


def test_refusals_name_the_next_step(operator: Shell, db: list[str], tmp_path: Path) -> None:
    """No account, no reason, no database: each a sentence, a code of its own, and nothing is made."""
    unknown = operator(*db, "suspend", "nobody", "--reason", "x")
    assert unknown.code == 5
    assert "account list" in unknown.err
    assert operator(*db, "show", "../x").code == 5
    blank = operator(*db, "suspend", "nobody", "--reason", " ")
    assert blank.code == 2
    assert "--reason" in blank.err
    missing = operator("relay", "--db", str(tmp_path / "none.db"), "account", "list")
    assert missing.code == 5
    assert not (tmp_path / "none.db").exists()
