"""What a tool answers: facts for programs, and the same in words for models. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ..client.errors import (
    ApprovalNeeded,
    DaemonAway,
    NotPossible,
    NotTaskFerry,
    Refused,
    TakenOver,
    TaskFerryError,
    TooFast,
    Unauthorized,
)
from ..client.results import Delivery, Held
from ..visible import one_line, visible

__all__ = ["Answer", "compact", "delivery_words", "held_facts", "held_words", "refused", "short", "trouble"]

#: Ids are shown by so many digits; the API takes them so.
_DIGITS = 8
_SENTENCES = 2_000
#: The daemon's next steps name commands. For some a model has a tool; the others are its owner's.
_TOOLS: Final = (
    (re.compile(r"taskferry inbox\b"), "taskferry_inbox"),
    (re.compile(r"taskferry task list\b"), "taskferry_task_list"),
    (re.compile(r"taskferry task show [0-9A-Za-z]+"), "taskferry_show"),
    (re.compile(r"taskferry connections\b"), "taskferry_whoami"),
    (re.compile(r"taskferry connect [\w-]+ (?=@)"), "taskferry_connect "),
)


@attrs.frozen
class Answer:
    """`facts` fit the tool's output schema, `text` says the same. A refusal has no facts."""

    text: str
    facts: Mapping[str, object] | None = None

    @property
    def is_error(self) -> bool:
        """Whether the tool did not do what it was asked."""
        return self.facts is None


def compact(facts: object) -> str:
    """JSON as it travels."""
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def short(id: str) -> str:
    """An id as it is shown."""
    return id[:_DIGITS]


def delivery_words(delivery: Delivery | None) -> str:
    """How far something has come."""
    if delivery is None:
        return "unknown"
    return f"{delivery.rung} ({delivery.code})" if delivery.code else delivery.rung


def held_facts(held: Sequence[Held]) -> list[dict[str, object]]:
    """Whose tasks wait for the owner."""
    return [{"peer": one.peer, "count": one.count} for one in held]


def held_words(held: Sequence[Held]) -> str:
    """The same as a line; empty if nothing waits."""
    if not held:
        return ""
    whose = ", ".join(f"{one.count} from {one.peer}" for one in held)
    return f"Held for your owner: {whose}. Your owner decides with: taskferry approvals"


def trouble(message: str, next_step: str = "") -> Answer:
    """A refusal in a sentence and the next step, which may quote what others wrote: nothing unseen."""
    for command, tool in _TOOLS:
        next_step = command.sub(tool, next_step)
    return Answer(one_line(f"{message} {next_step}".strip(), _SENTENCES))


def refused(error: TaskFerryError) -> Answer:
    """What a model is told of an error: what is wrong, and what would help."""
    match error:
        case ApprovalNeeded():
            return Answer(approval_words(error.approval))
        case Unauthorized():
            return trouble(
                "This credential is not known to the daemon, or was revoked.",
                "Tell your owner: start `taskferry mcp` again, or make another with: taskferry token create",
            )
        case DaemonAway():
            return trouble(error.message, "Tell your owner to start it with: taskferry up. Then try again.")
        case NotTaskFerry():
            return trouble(error.message, "Tell your owner to check the daemon's address.")
        case TakenOver():
            return trouble(
                f"Nothing was done. {error.message}",
                "Do no work on it. What is yours: taskferry_inbox; show it again before you act on it.",
            )
        case NotPossible():
            can = ", ".join(error.actions) or "nothing"
            return trouble(f"{error.message} The task is {error.state}; possible now: {can}.")
        case TooFast():
            wait = f" Wait {error.retry_after:.0f} seconds." if error.retry_after is not None else ""
            return trouble(f"{error.message}{wait}", error.next_step)
        case Refused() if error.code == "owner-only":
            return trouble("Only your owner may do that.", "Tell your owner what you need, and why.")
        case Refused() if "/openapi.json" in error.next_step:
            return trouble(error.message, "The daemon may be of another version; tell your owner.")
        case _:
            return trouble(error.message, error.next_step)


def approval_words(approval: str) -> str:
    """What to do where the owner is asked first."""
    id = visible(short(approval))
    return (
        f"Not done: your owner is asked first (approval {id}). Only your owner can answer: "
        f"taskferry approvals show {id}. Tell your owner; wait with taskferry_wait, approval {id}; once it "
        "is approved, call again with exactly the same arguments."
    )
