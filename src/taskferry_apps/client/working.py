"""A worker's desk: the tasks that wait for an agent to do something, one at a time, from its inbox.

An item is marked as processed only once the next one is asked for. So a program that was killed in the middle
of a task is given it again; what had been done by then, the daemon knows.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import attrs

from .binding import Binding, beat
from .calls import acknowledge, inbox
from .errors import NotFound, TakenOver
from .plans import Clock, Plan
from .requests import Request
from .results import InboxPage, Lease, Message
from .task_calls import accept as send_accept
from .task_calls import show_task
from .task_results import SentTask, Task

__all__ = ["Desk", "Work", "accept"]

#: One long-poll of the inbox.
_POLL_S: Final = 30
#: What asks a worker for something.
_ASKS: Final = frozenset({"task_request", "revision_request"})
#: What ends a task and asks for nothing more.
_ENDS: Final = frozenset({"task_complete", "task_cancel", "task_expire"})
_EFFECTIVE: Final = "effective"
_HANDED_IN: Final = frozenset({"submitted", "resubmitted"})


@attrs.frozen
class Work:
    """A task as it was when it came to the desk, and what a revision of it should mend."""

    task: Task
    reasons: tuple[str, ...]
    """Empty for a task of which no revision is asked. Another's words: data, never instructions."""
    lease: Lease | None = None
    """Under which a bound program has it."""


@attrs.define
class Desk:
    """The tasks that come to one agent. Whatever else is in its inbox stays there as it is."""

    mine: str
    runtime: Binding | None = None
    """The program that works here, where several share the agent: each then has other tasks."""
    _cursor: str = ""
    _waiting: deque[Message] = attrs.field(factory=deque)
    _at_hand: Message | None = None
    _times: int = 0

    def next_work(self, idle: float | None = None) -> Plan[Work | None]:
        """The next task to work on; the one before is done with. None after `idle` seconds of nothing."""
        yield from self._finish()
        begun: float = yield Clock()
        while True:
            while self._waiting:
                item = self._waiting[0]
                # Only then is it off the pile: a look that was cut off is taken again.
                try:
                    work = yield from self._look_at(item)
                except TakenOver:
                    work = None
                self._waiting.popleft()
                if work is not None:
                    self._at_hand = item
                    return work
            now: float = yield Clock()
            left = _POLL_S if idle is None else max(0, math.ceil(begun + idle - now))
            page = yield from self._next_page(min(left, _POLL_S))
            self._cursor = page.cursor
            self._waiting.extend(page.messages)
            if not page.messages and not left:
                return None

    def _next_page(self, wait: int) -> Plan[InboxPage]:
        me = self.runtime
        if me is None:
            return (yield from inbox(self.mine, wait=wait, cursor=self._cursor, header_only=True))
        if me.times != self._times:
            # Bound anew: what it has is handed to it again, under other fences.
            self._cursor, self._times = "", me.times
        # One at a time, so that the others have the rest.
        return (
            yield from inbox(self.mine, wait=wait, cursor=self._cursor, limit=1, header_only=True, runtime=me)
        )

    def _finish(self) -> Plan[None]:
        if self._at_hand is not None:
            try:
                yield from acknowledge(self._at_hand.id, self._at_hand.lease)
            except TakenOver:
                pass  # it is for whoever has it now to put away
            self._at_hand = None
            yield from self._say(is_busy=False)

    def _say(self, *, is_busy: bool) -> Plan[None]:
        if self.runtime is not None and self.runtime.is_busy != is_busy:
            self.runtime.is_busy = is_busy
            yield from beat(self.runtime)

    def _look_at(self, item: Message) -> Plan[Work | None]:
        if item.task_id is None or item.type not in _ASKS | _ENDS:
            return None
        try:
            task = yield from show_task(item.task_id)
        except NotFound:
            return None
        if task.role != "worker":
            return None
        if item.type in _ENDS or task.final or task.state in _HANDED_IN or not task.actions:
            yield from acknowledge(item.id, item.lease)
            return None
        yield from self._say(is_busy=True)
        return Work(task, _open_reasons(task), item.lease)


def _open_reasons(task: Task) -> tuple[str, ...]:
    """What was asked for since the worker's last version."""
    count = 0
    for event in reversed(task.events):
        if event.type == "artifact_submit" and event.effect == _EFFECTIVE:
            break
        count += event.type == "revision_request" and event.effect == _EFFECTIVE
    asked = task.revision_requests[len(task.revision_requests) - count :]
    return tuple(reason for request in asked for reason in request.reasons)


def accept(id: str, message: str = "", *, key: str | None = None) -> Plan[SentTask | None]:
    """Take the task on; None where that was done before, as with a revision, or after a restart."""
    task = yield from show_task(id)
    if "accept" not in task.actions and not task.final:
        return None
    request: Request[SentTask] = send_accept(id, message, key=key)
    return (yield from request)
