"""The owner's decisions as callers see them: a part of `port.DaemonService`, with the same promises.

What only the owner may do raises DaemonRefusal(owner-only) for everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import Hash, Instant

from .gate_views import ApprovalView, ConnectionLimits, HeldTask, ModeView, RuleView, StopView, WholeTask
from .port import Caller, GrantChange
from .views import ConnectionView, Sent

__all__ = ["GateService", "NewRule", "Question"]


@attrs.frozen
class NewRule:
    """A rule to be made. `accept` is `@owner/*` or `@owner/agent`, `agent` one of ours or "" for all."""

    accept: str
    agent: str = ""
    tasks_per_day: int = 0
    until: Instant | None = None
    grant: GrantChange = attrs.field(factory=GrantChange)


@attrs.frozen
class Question:
    """What an agent asks its owner. Texts are data: whoever reads them decides, and nothing in them acts."""

    agent: str
    action: str
    what: str
    why: str = ""
    task: str = ""
    lifetime_s: int = 3_600


class GateService(Protocol):
    """What waits for the owner, and what the owner has decided ahead."""

    # --- the owner's ---
    async def requests(self, caller: Caller, limit: int) -> tuple[ConnectionView, ...]:
        """Requests of peers that wait, the first to come first."""

    async def connection_page(
        self, caller: Caller, agent: str, state: str, cursor: str, limit: int
    ) -> tuple[tuple[ConnectionView, ...], str]:
        """Connections, newest first, filtered by our agent's name and by state ("" for all).

        And the cursor to go on from, "" at the end.
        """

    async def connection(self, caller: Caller, connection: str) -> ConnectionView:
        """One connection, by id or unique prefix."""

    async def held_tasks(self, caller: Caller, limit: int = 500) -> tuple[HeldTask, ...]:
        """Tasks that wait, the first to come first; 500 at most."""

    async def held_task(self, caller: Caller, task: str) -> tuple[HeldTask, WholeTask]:
        """One of them in full, by id or a prefix that no other task has, waiting or not."""

    async def release(self, caller: Caller, task: str) -> HeldTask:
        """Let an agent have a task. Refusal `conflict` if it can be accepted no more."""

    async def turn_away(self, caller: Caller, task: str, reason: str) -> Sent:
        """Decline a task that waits; its agent is shown nothing of it."""

    async def stops(self, caller: Caller) -> tuple[StopView, ...]:
        """What breakers have stopped, the first to trip first."""

    async def stops_counted(self, caller: Caller, limit: int) -> tuple[StopView, ...]:
        """The same without the messages, at the price of two queries."""

    async def stop(self, caller: Caller, stop: str) -> StopView:
        """One of them, by id or unique prefix."""

    async def release_stop(self, caller: Caller, stop: str, seen: Hash | None = None) -> StopView:
        """Put what is held before the agent, in its order, and count anew.

        With `StopView.seen` of what was shown, refusal `conflict` if anything else is held by now.
        """

    async def drop_stop(self, caller: Caller, stop: str, seen: Hash | None = None) -> StopView:
        """Never put what is held before the agent; decline the tasks that were stopped, and count anew.

        `seen` as in `release_stop`.
        """

    async def breaker_limits(self, caller: Caller) -> tuple[BreakerLimits, tuple[ConnectionLimits, ...]]:
        """When breakers trip as a rule, and for each connection in force, the oldest first."""

    async def set_breaker_limits(
        self, caller: Caller, connection: str | tuple[str, str], change: Mapping[str, int | None]
    ) -> ConnectionLimits:
        """Set limits of one connection, by fields of `BreakerLimits`; None: as a rule again.

        Refusal bad-value: below 1 or above what any installation may have.
        """

    async def unblock(self, caller: Caller, connection: str | tuple[str, str]) -> ConnectionView:
        """Let a blocked agent ask again. Nothing is sent."""

    async def rules(self, caller: Caller) -> tuple[RuleView, ...]:
        """The rules in force or waiting for something, the oldest first."""

    async def add_rule(self, caller: Caller, rule: NewRule) -> RuleView:
        """Make a rule. It speaks of what comes from now on."""

    async def remove_rule(self, caller: Caller, rule: str) -> RuleView:
        """End a rule. What it has accepted stays."""

    async def answer(
        self, caller: Caller, approval: str, verdict: str, scope: str, text: str
    ) -> ApprovalView:
        """Answer a question: `verdict` is approved or denied, `scope` once or task."""

    async def set_mode(self, caller: Caller, agent: str, mode: str) -> ModeView:
        """Say how freely an agent acts from now on."""

    async def set_policy(self, caller: Caller, agent: str, action: str, policy: str) -> ModeView:
        """Decide ahead about a class of action."""

    async def set_telling(self, caller: Caller, agent: str, *, tells: bool) -> ModeView:
        """Say whether those who send to an agent are told what becomes of that, and when it was last run."""

    # --- agents' and the owner's ---
    async def waiting(self, caller: Caller, agent: str) -> tuple[tuple[str, int], ...]:
        """Of whom something waits for the owner, and how much: all that an agent learns of it."""

    async def modes(self, caller: Caller) -> tuple[ModeView, ...]:
        """The modes of the agents that the caller may act as."""

    async def ask(self, caller: Caller, question: Question) -> ApprovalView:
        """Ask the owner; what is decided ahead is answered at once."""

    async def approval(self, caller: Caller, approval: str, wait_s: float) -> ApprovalView:
        """One question by id or unique prefix. Waits up to `wait_s` while it is not answered."""

    async def proposed(self, caller: Caller, approval: str) -> WholeTask | None:
        """The task that a question asks to send, None if it is about something else or is answered with no,
        used, or over.
        """

    async def proposed_part(self, caller: Caller, approval: str, part: int) -> tuple[str, bytes]:
        """Name and bytes of a part of it, counted from 0. Raises DaemonRefusal(not-found)."""

    async def approvals(self, caller: Caller, agent: str, state: str, limit: int) -> tuple[ApprovalView, ...]:
        """Questions, newest first, filtered by agent and state ("" for all)."""

    async def use(self, caller: Caller, approval: str, action: str, what: str, task: str) -> ApprovalView:
        """Say that what was approved is done now. Refused for anything else than was asked, or again."""
