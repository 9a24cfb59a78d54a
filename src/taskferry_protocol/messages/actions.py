"""What one device of an owner asks of another that writes in a task, and what came of it (spec/tasks.md)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from ..cbor import Value
from ..errors import RejectCode, RemoteProtocolError
from ..ids import Hash, Instant, check_name
from ..shape import as_text
from .base import Body, MessageClass, Presence, Wire
from .fields import count, digest, instant, nullable, number, prose, texts
from .parts import Part, read_parts

__all__ = ["ActionOutcome", "ActionRequest", "Credential", "Upshot"]

WORD_BYTES: Final = 32
CODE_BYTES: Final = 64
SENTENCE_BYTES: Final = 2_048


class Credential(StrEnum):
    """Whose local credential an action was asked with."""

    OWNER = "owner"
    AGENT = "agent"


class Upshot(StrEnum):
    """What became of an action."""

    DONE = "done"
    REFUSED = "refused"


def _credential(value: Value, field: str) -> Credential:
    try:
        return Credential(as_text(value, field, most=WORD_BYTES))
    except ValueError:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "owner or agent", field=field) from None


def _upshot(value: Value, field: str) -> Upshot:
    try:
        return Upshot(as_text(value, field, most=WORD_BYTES))
    except ValueError:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "done or refused", field=field) from None


def _name(value: Value, field: str) -> str:
    return check_name(as_text(value, field, most=WORD_BYTES), field)


@attrs.frozen
class ActionRequest(Body):
    """Ask the device that writes for a side of `task` to sign an event there, as `agent`, until `until`.

    `action` is accept, decline, progress, submit, revise, complete, cancel or fail; another one is refused.
    `by` is whose credential was shown where it was asked. The rest is what goes into the event.
    """

    type_name = "action_request"
    message_class = MessageClass.ACCOUNT
    wire = (
        Wire("task", digest),
        Wire("action", prose(least=1, most=WORD_BYTES)),
        Wire("agent", _name),
        Wire("by", _credential),
        Wire("until", instant),
        Wire("text", prose()),
        Wire("percent", nullable(number(high=100))),
        Wire("parts", read_parts),
        Wire("reasons", texts(least=0)),
        Wire("version", nullable(number(low=1))),
        Wire("hash", nullable(digest)),
        Wire("answers", nullable(count)),
    )

    task: Hash
    action: str
    agent: str
    by: Credential
    until: Instant
    text: str = ""
    percent: int | None = None
    parts: tuple[Part, ...] = ()
    reasons: tuple[str, ...] = ()
    version: int | None = None
    hash: Hash | None = None
    answers: int | None = None


@attrs.frozen
class ActionOutcome(Body):
    """What became of a request, named by its envelope: done, with the event signed, or refused, with why.

    `state` is the task's state there in words, `next_step` what can be done about a refusal.
    """

    type_name = "action_outcome"
    message_class = MessageClass.ACCOUNT
    wire = (
        Wire("request", digest),
        Wire("outcome", _upshot),
        Wire("event", nullable(digest)),
        Wire("state", prose(most=CODE_BYTES)),
        Wire("code", prose(most=CODE_BYTES)),
        Wire("text", prose(most=SENTENCE_BYTES)),
        Wire("next", prose(most=SENTENCE_BYTES), Presence.REQUIRED, "next_step"),
    )

    request: Hash
    outcome: Upshot
    event: Hash | None = None
    state: str = ""
    code: str = ""
    text: str = ""
    next_step: str = ""
