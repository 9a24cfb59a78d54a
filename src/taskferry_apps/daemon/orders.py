"""What callers may ask a daemon to make or change: plain values, checked where they are used."""

from __future__ import annotations

from enum import Enum

import attrs

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.messages import Part

__all__ = ["CardChange", "GrantChange", "Handing", "Hold", "Look", "NewAgent", "NewTask", "TaskAction"]


@attrs.frozen
class NewAgent:
    """An agent to be made. Texts within the limits of spec/identity.md section 5."""

    name: str
    display_name: str = ""
    tagline: str = ""
    description: str = ""
    capabilities: tuple[str, ...] = ()
    public: bool = False


@attrs.frozen
class CardChange:
    """What to change in a card; None leaves a field as it is, and an empty text or list clears it."""

    display_name: str | None = None
    tagline: str | None = None
    description: str | None = None
    capabilities: tuple[str, ...] | None = None
    public: bool | None = None


@attrs.frozen
class GrantChange:
    """What to change in what the peer may send; None leaves a field as it is."""

    classes: tuple[str, ...] | None = None
    rate_per_minute: int | None = None
    largest_bytes: int | None = None
    until: Instant | None = None
    auto_trigger: bool | None = None
    human_gate: bool | None = None
    task_budget: int | None = None
    largest_artifact: int | None = None
    endless: bool = False
    """No end, whatever stood: `until` cannot say it."""
    version: int | None = None
    """The version that is to be changed; another one in force is refused as a conflict."""


@attrs.frozen
class NewTask:
    """A task to be asked for."""

    mine: str
    peer: str
    title: str
    brief: str
    requirements: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    deadline: Instant | None = None
    revisions: int = 3
    budget: int | None = None
    runtime: str = ""
    """The bound program that asks, and that is to have the answers; "" for any."""
    cause: str = ""
    """The message or task that led to it, by id or prefix; "" where the caller does not say."""


@attrs.frozen
class TaskAction:
    """One action on a task.

    `kind` is accept, decline, progress, submit, revise, complete, cancel or fail. `version` and `hash`
    default to the newest; `answers` to the revision requests that this agent has read; `mine` to the
    agent that the task is with.
    """

    kind: str
    mine: str | None = None
    text: str = ""
    percent: int | None = None
    parts: tuple[Part, ...] = ()
    reasons: tuple[str, ...] = ()
    version: int | None = None
    hash: Hash | None = None
    answers: int | None = None
    hold: Hold | None = None


@attrs.frozen
class Hold:
    """Which bound program answers, by the id that binding gave it, and under which fence; None for any."""

    runtime: str
    fence: int | None = None


class Look(Enum):
    """How an inbox is looked at: whoever is given the headers alone has not read anything."""

    WHOLE = "whole"
    HEADERS = "headers"


class Handing(Enum):
    """What becomes of the items that a bound program is shown."""

    TAKEN = "taken"
    """They are its alone from then on."""
    SHOWN = "shown"
    """They are left to whoever takes them first."""
