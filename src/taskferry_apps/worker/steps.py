"""What to do next with a task that a worker holds: pure, from the task and from what was written down."""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import Final

import attrs

from ..client.task_results import Task

__all__ = [
    "Kept",
    "Next",
    "Stage",
    "begun",
    "is_over",
    "key_of",
    "may_begin",
    "next_of",
    "open_reasons",
    "other_machine",
    "revisions_asked",
]

#: The daemon remembers a request's key for a day.
_KEY_LIFE_MS: Final = 23 * 3_600_000
_EFFECTIVE: Final = "effective"
_HANDED_IN: Final = frozenset({"submitted", "resubmitted"})


class Stage(Enum):
    """How far a task has come here; each is on the disk before what follows is done."""

    ACCEPTING = "accepting"
    ACCEPTED = "accepted"
    """Accepted, and to be run, for the first time or for a revision."""
    MADE = "made"
    """The command has ended well; what it left is to be submitted."""
    FAILING = "failing"
    HANDED_IN = "handed-in"


@attrs.frozen
class Kept:
    """What is written down of one task."""

    task: str
    stage: Stage
    since_ms: int
    """When it was to be accepted."""
    answers: int = 0
    """Revision requests that the run at hand, or the last one, answers."""
    versions: int = 0
    """Versions that there were when the run began."""
    reason: str = ""
    """Why it is given up."""

    @property
    def round(self) -> int:
        """Counts the runs that the task has needed: 0 for the first."""
        return self.answers


class Next(Enum):
    """What is to be done."""

    ACCEPT = "accept"
    RUN = "run"
    SUBMIT = "submit"
    FAIL = "fail"
    WAIT = "wait"
    """For the other side."""
    CLEAN_UP = "clean up"
    """It has ended."""
    LEAVE = "leave"
    """Another machine of the owner's has it."""


def next_of(task: Task, kept: Kept, now_ms: int) -> Next:
    """The next thing to do. The same after a crash at any place: nothing is done twice, or left."""
    if task.final:
        return Next.CLEAN_UP
    if other_machine(task):
        return Next.LEAVE
    if not task.actions:
        return Next.WAIT
    # While the daemon remembers the key, the same request tells whether it was this worker's.
    is_known = "accept" in task.actions or now_ms - kept.since_ms < _KEY_LIFE_MS
    if kept.stage is Stage.ACCEPTING and is_known:
        return Next.ACCEPT
    if kept.stage is Stage.FAILING:
        return Next.FAIL
    if is_over(task):
        return Next.WAIT
    is_answered = len(task.versions) > kept.versions or kept.stage is Stage.HANDED_IN
    if is_answered and (task.state in _HANDED_IN or revisions_asked(task) <= kept.answers):
        return Next.WAIT
    if kept.stage is Stage.MADE and not is_answered:
        return Next.SUBMIT
    return Next.RUN


def begun(task: Task, kept: Kept) -> Kept:
    """What is written down as a run begins."""
    return attrs.evolve(
        kept, stage=Stage.ACCEPTED, answers=revisions_asked(task), versions=len(task.versions), reason=""
    )


def revisions_asked(task: Task) -> int:
    """Revision requests that have taken effect."""
    return sum(event.type == "revision_request" and event.effect == _EFFECTIVE for event in task.events)


def open_reasons(task: Task) -> tuple[str, ...]:
    """What the newest revision requests, since the last version, want changed. Another's words."""
    count = 0
    for event in reversed(task.events):
        if event.effect == _EFFECTIVE and event.type in ("artifact_submit", "revision_request"):
            if event.type == "artifact_submit":
                break
            count += 1
    asked = task.revision_requests[len(task.revision_requests) - count :]
    return tuple(reason for request in asked for reason in request.reasons)


def may_begin(task: Task) -> bool:
    """Whether there is something to do for a worker that does not hold it: to accept it, or to take it over.

    What was handed in and waits for the other side is nobody's to take over, nor is what another machine of
    the owner's has accepted.
    """
    is_left = "submit" in task.actions and task.state not in _HANDED_IN and not task.acts_on
    return "accept" in task.actions or is_left


def other_machine(task: Task) -> str:
    """The machine of the owner's that has a task, as it is called; "" for this one, and before it is settled.

    Two machines may accept at once: the other side's next word says which of them it takes.
    """
    begun = next((event for event in task.events if event.side == "worker"), None)
    return task.acts_on if begun is not None and begun.confirmed else ""


def is_over(task: Task) -> bool:
    """Whether a command that works on it should stop."""
    return task.final or "submit" not in task.actions


def key_of(worker: str, word: str, task: str, count: int = 0, content: bytes = b"") -> str:
    """The key under which a step is sent: the same step after a crash is the same request."""
    parts = (worker.encode(), word.encode(), task.encode(), str(count).encode(), content)
    return sha256(b"\0".join(parts)).hexdigest()
