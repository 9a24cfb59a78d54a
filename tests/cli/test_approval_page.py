"""The page of a task that waits, in rare cases: no connection any more, an open gate, one's own kin."""

from __future__ import annotations

import pytest
from click import unstyle

from taskferry_apps.cli.approval_page import draw_task
from taskferry_apps.cli.quoting import Quoter

GRANT = {
    "classes": ["task"],
    "rate_per_minute": 60,
    "largest_bytes": 1_024,
    "terms": {"human_gate": False, "task_budget": 1},
}


def page(capsys: pytest.CaptureFixture[str], peer: str, connection: dict[str, object] | None) -> str:
    """What is shown of a task of `peer` to bob's writer."""
    item = {"mine": "@bob/writer", "peer": peer, "task_id": "3f9c01ab" * 8}
    whole = {"peer": peer, "trust": "verified", "title": "Report", "brief": "", "connection": connection}
    draw_task(item, whole, Quoter())
    return unstyle(capsys.readouterr().out)


def test_a_task_whose_gate_is_open_says_why_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    """The permission alone would read as if it had gone straight to the agent."""
    shown = page(capsys, "@alice/requester", {"id": "ab" * 32, "given": GRANT})
    assert "Tasks go straight to @bob/writer (no human gate)." in shown
    assert "It waits all the same" in shown
    gated = {**GRANT, "terms": {"human_gate": True, "task_budget": 1}}
    assert "all the same" not in page(capsys, "@alice/requester", {"id": "ab" * 32, "given": gated})


def test_a_task_that_names_no_budget_has_the_usual_one(capsys: pytest.CaptureFixture[str]) -> None:
    """As its page says, too: a breaker ends it all the same."""
    assert "budget       the usual one" in page(capsys, "@alice/requester", {"id": "ab" * 32, "given": GRANT})


def test_a_task_of_somebody_who_is_no_longer_connected(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, in place of what was agreed."""
    assert "not connected any more" in page(capsys, "@alice/requester", None)


def test_a_task_among_ones_own_agents_needs_no_permission(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is its sender somebody to be trusted more or less."""
    shown = page(capsys, "@bob/other", None)
    assert "another agent of yours" in shown
    assert "What was agreed" not in shown
    assert "It has no brief." in shown
