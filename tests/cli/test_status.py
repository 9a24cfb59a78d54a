"""`taskferry status`: at one glance, whether something waits for the owner and which command is next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest
from click.testing import CliRunner

# The package's own name for it is the command.
module = import_module("taskferry_apps.cli.status")

NOTHING = dict.fromkeys(
    ("questions", "requests", "tasks", "stopped", "identities", "alarms", "quarantined"), 0
)


class Daemon:
    """Answers as the local API does, with what waits as given."""

    def __init__(self, waiting: dict[str, int] | None, **more: object) -> None:
        self._answer: dict[str, object] = {
            "set_up": True,
            "handle_owner": "alice",
            "relay": {"url": "https://relay.example", "connected": True, "transport": "websocket"},
            "waiting": waiting,
            **more,
        }

    def health(self) -> dict[str, object]:
        """The status."""
        return self._answer

    def get(self, path: str) -> dict[str, object]:
        """No agents."""
        assert path == "/agents"
        return {"agents": []}


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch):
    """Run the command before a daemon that tells this."""

    def run(*words: str, waiting: dict[str, int] | None, **more: object) -> str:
        @contextmanager
        def client() -> Iterator[Daemon]:
            yield Daemon(waiting, **more)

        monkeypatch.setattr(module, "local_client", client)
        ran = CliRunner().invoke(module.status, words, obj={})
        assert ran.exit_code == 0, ran.output
        return ran.output

    return run


def test_what_waits_is_counted_with_the_next_command(status) -> None:
    """Each kind in words, one and many; and what lists them."""
    said = status(waiting={**NOTHING, "questions": 1, "requests": 2, "tasks": 1, "stopped": 2})
    assert (
        "! Waiting for you: 1 question of an agent, 2 requests for a connection, 1 task at the gate, "
        "2 pairs of agents stopped by a breaker\nNext: taskferry approvals\n"
    ) in said
    assert "Nothing waits" not in said


def test_that_nothing_waits_is_said(status) -> None:
    """No silence that could mean either."""
    said = status(waiting=NOTHING)
    assert "Nothing waits for you." in said
    assert "Next:" not in said
    assert "quarantine" not in said


def test_the_quarantine_is_told_apart_from_what_waits(status) -> None:
    """It asks for no word; how much it is and what shows it, is said."""
    said = status(waiting={**NOTHING, "quarantined": 3})
    assert "Nothing waits for you." in said
    assert "In quarantine, without effect: 3 items. See: taskferry quarantine list" in said


@pytest.mark.parametrize(
    ("kind", "more", "next_step"),
    [
        ("alarms", {"alarms": ["Something is wrong."]}, "taskferry alarms list"),
        ("identities", {"changed_peers": ["@bob"]}, "taskferry peer show @bob"),
    ],
)
def test_an_alarm_or_a_question_who_somebody_is_waits_too(status, kind, more, next_step) -> None:
    """It is told with its own next step, and nobody reads beside it that nothing waits."""
    said = status(waiting={**NOTHING, kind: 1}, **more)
    assert next_step in said
    assert "Nothing waits" not in said


def test_an_agents_credential_is_told_nothing_of_what_waits(status) -> None:
    """Neither that something waits nor that nothing does."""
    said = status(waiting=None)
    assert "wait" not in said.lower()


def test_programs_read_the_counts(status) -> None:
    """As the local API tells them."""
    counts = {**NOTHING, "tasks": 2}
    assert json.loads(status("--json", waiting=counts))["waiting"] == counts


def test_a_copy_from_before_an_update_is_named_with_its_end(status, tmp_path) -> None:
    """What it holds, and that it goes by itself."""
    told = status("--data", str(tmp_path), waiting=NOTHING)
    assert "before an update" not in told
    (tmp_path / "daemon.db.before-9").write_bytes(bytes(2_048))
    told = " ".join(status("--data", str(tmp_path), waiting=NOTHING).split())
    assert "daemon.db.before-9 (2 KiB)" in told
    assert "goes by itself" in told
