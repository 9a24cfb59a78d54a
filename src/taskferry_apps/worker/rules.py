"""Which tasks a worker takes: the owner's limits on what comes, as pure decisions."""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

import attrs

from ..client.task_results import Task

__all__ = ["DAY_MS", "Asked", "Choice", "Rules", "Verdict", "asked_by", "judged", "with_room"]

DAY_MS: Final = 86_400_000


class Choice(Enum):
    """What becomes of a task that has come."""

    TAKE = "take"
    ASK = "ask"
    """The owner is asked first."""
    LEAVE = "leave"
    """It stays in the inbox as it is."""
    LATER = "later"
    """It stays for now, and is looked at again."""
    DECLINE = "decline"


@attrs.frozen
class Verdict:
    """A choice, and why, in a sentence for the owner; for a decline also for the peer."""

    choice: Choice
    why: str = ""


@attrs.frozen
class Rules:
    """What the owner allows. Nothing set allows everything that may start without a person."""

    peers: tuple[str, ...] = ()
    """Patterns of handles such as `@alice/*`; empty for everyone."""
    longest_title: int | None = None
    longest_brief: int | None = None
    """Characters of the brief and the requirements together."""
    most_requirements: int | None = None
    largest_input: int | None = None
    """Bytes of all parts of the request together."""
    per_day: int | None = None
    is_declining: bool = False
    """Whether what does not fit is declined; else it is left."""
    is_asking: bool = False
    """Whether the owner is asked about each task."""


@attrs.frozen
class Asked:
    """What of a task the rules look at: by whom, and the sizes of what it asks."""

    peer: str
    title: str
    chars: int
    """Characters of the brief and the requirements together."""
    requirements: int
    input_bytes: int


def asked_by(task: Task) -> Asked:
    """What a task asks."""
    return Asked(
        task.peer,
        task.title,
        len(task.brief) + sum(map(len, task.requirements)),
        len(task.requirements),
        sum(part.size for part in task.parts),
    )


def judged(rules: Rules, task: Asked, *, may_start: bool, taken_today: int) -> Verdict:
    """What to do with a task that is not accepted yet. `may_start` is the inbox item's auto_start."""
    misfit = _misfit(rules, task)
    if misfit:
        return Verdict(Choice.DECLINE if rules.is_declining else Choice.LEAVE, misfit)
    if rules.is_asking:
        return Verdict(Choice.ASK)
    if not may_start:
        return Verdict(
            Choice.LATER,
            f"nothing from {task.peer} may start without you: use --ask; or allow it with "
            "`taskferry permissions set --auto-start`, once you have verified its owner",
        )
    return with_room(rules, taken_today)


def with_room(rules: Rules, taken_today: int) -> Verdict:
    """Whether one more fits into the day."""
    if rules.per_day is not None and taken_today >= rules.per_day:
        return Verdict(Choice.LATER, f"{taken_today} were taken within a day, and --per-day allows no more")
    return Verdict(Choice.TAKE)


def _misfit(rules: Rules, task: Asked) -> str:
    """Why a task never fits; empty if it does."""
    if rules.peers and not any(fnmatchcase(task.peer, pattern) for pattern in rules.peers):
        return f"{task.peer} is none of those whose tasks are taken here"
    for name, size, most in (
        ("title has {} characters", len(task.title), rules.longest_title),
        ("brief has {} characters", task.chars, rules.longest_brief),
        ("request has {} requirements", task.requirements, rules.most_requirements),
        ("input has {} bytes", task.input_bytes, rules.largest_input),
    ):
        if most is not None and size > most:
            return f"its {name.format(size)}, more than {most}"
    return ""
