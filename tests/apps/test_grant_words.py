"""What a grant allows, in sentences."""

from __future__ import annotations

from typing import Any

from taskferry_apps.grant_words import grant_sentences

GRANT: dict[str, Any] = {
    "rate_per_minute": 60,
    "largest_bytes": 262_144,
    "ends": "",
    "auto_trigger": False,
    "human_gate": True,
    "largest_artifact": 262_144,
}


def said(*classes: str, task_budget: int = 20, **otherwise: object) -> list[str]:
    """What is said of a grant to bob's writer."""
    grant = GRANT | {"classes": classes, "task_budget": task_budget} | otherwise
    return grant_sentences("@alice/lead", "@bob/writer", "you", **grant)


def test_what_may_be_sent_is_told_in_one_order() -> None:
    """However the grant lists it."""
    assert said("artifact", "message", "task") == said("task", "artifact", "message")
    assert said("task", "artifact", "message")[0] == (
        "@alice/lead may send messages, tasks and artifacts to @bob/writer."
    )


def test_one_who_only_answers_is_not_said_to_ask() -> None:
    """Without an open task of its own there is neither a number of them nor a gate."""
    told = " ".join(said("task", "message", task_budget=0))
    assert "It may start no task of its own, only answer in those that @bob/writer asks for." in told
    assert "human gate" not in told
    assert "human gate" in " ".join(said("task", "message"))


def test_a_rate_of_none_is_told_as_nothing() -> None:
    """Classes and sizes beside it would promise what never passes."""
    assert said("task", "message", rate_per_minute=0) == ["@alice/lead may send nothing to @bob/writer."]
