"""The tool that waits: a chain of long-polls, each of which may be cut off without loss."""

from __future__ import annotations

import math
from typing import Final

import anyio

from ..amounts import counted
from ..client.results import Approval
from ..client.task_calls import show_task
from .answers import Answer, short
from .desk import Desk, Host
from .people import waiting_items
from .schema import Arguments, BadArgument

__all__ = ["decision", "wait"]

_SECONDS: Final = 45
#: One long-poll: as often the host hears that the wait goes on, and the owner may revoke a credential.
_POLL_S: Final = 15
_BRIEF_S: Final = 0.2
_ASKED: Final = "asked"


class _Watch:
    """How long a call has waited, told to its host."""

    def __init__(self, host: Host, seconds: int, what: str) -> None:
        self._host = host
        self._total = seconds
        self._what = what
        self._begun = anyio.current_time()
        self._polled = -math.inf

    @property
    def spent(self) -> int:
        """Whole seconds since the beginning."""
        return int(anyio.current_time() - self._begun)

    async def next_poll(self) -> int:
        """How long the next poll may take; 0 when the time is over."""
        if anyio.current_time() - self._polled < _BRIEF_S:
            # A daemon that is about to stop lets nobody wait; it need not be asked a thousand times.
            await anyio.sleep(_BRIEF_S)
        self._polled = anyio.current_time()
        left = math.ceil(self._begun + self._total - anyio.current_time())
        if left > 0:
            await self._host.progress(min(self.spent, self._total), self._total, self._what)
        return max(0, min(left, _POLL_S))


async def wait(desk: Desk, args: Arguments, host: Host) -> Answer:
    """Until something happens, or the time is over."""
    if args.has("task") and args.has("approval"):
        raise BadArgument("Wait for a task or for an approval, not for both.")
    seconds = args.whole("seconds") or _SECONDS
    if args.has("approval"):
        return await _approval(desk, args.text("approval").strip().lower(), seconds, host)
    if args.has("task"):
        return await _task(desk, args, seconds, host)
    return await _inbox(desk, args, seconds, host)


async def _inbox(desk: Desk, args: Arguments, seconds: int, host: Host) -> Answer:
    watch = _Watch(host, seconds, "waiting for something new in the inbox")
    mark = args.text("mark") or desk.memory.mark
    if not mark:
        waiting = await waiting_items(desk)
        mark = waiting.mark
        if waiting.items:
            many = counted(len(waiting.items), "item waits", "items wait")
            return _outcome(watch, f"{many}: taskferry_inbox", mark=mark)
    while poll := await watch.next_poll():
        page = await desk.client.inbox(
            wait=poll, cursor=mark, limit=20, header_only=True, runtime=desk.program, take=False
        )
        if page.messages:
            # Not `page.cursor`: a wait that is cut off here is asked again from the same mark.
            first = page.messages[0]
            about = f"task {short(first.task_id)}" if first.task_id else f"message {short(first.id)}"
            what = f"{len(page.messages)} new, first {first.type} of {about}: taskferry_inbox"
            return _outcome(watch, what, mark=page.cursor)
    return _nothing(watch, mark)


async def _task(desk: Desk, args: Arguments, seconds: int, host: Host) -> Answer:
    watch = _Watch(host, seconds, "waiting for the task to change")
    task = await desk.client.task(args.text("task").strip().lower()).show()
    mark = args.text("mark") or desk.memory.mark_of(task.id) or task.mark
    while task.mark == mark:
        poll = await watch.next_poll()
        if not poll:
            return _nothing(watch, mark, state=task.state)
        task = await desk.client.do(show_task(task.id, wait=poll, mark=mark))
    return _outcome(watch, f"task {short(task.id)} changed: taskferry_show", state=task.state, mark=task.mark)


async def _approval(desk: Desk, id: str, seconds: int, host: Host) -> Answer:
    watch = _Watch(host, seconds, "waiting for the owner's decision")
    approval = await decision(desk, id, watch)
    if approval.state == _ASKED:
        return _nothing(watch, "", state=approval.state)
    return _outcome(watch, f"approval {short(approval.id)} is {approval.state}", state=approval.state)


async def decision(desk: Desk, id: str, watch: _Watch) -> Approval:
    """A question to the owner, once it is answered or the time is over."""
    approval = await desk.client.approval(id)
    while approval.state == _ASKED and (poll := await watch.next_poll()):
        approval = await desk.client.approval(id, wait=poll)
    return approval


async def decided(desk: Desk, id: str, seconds: int, host: Host) -> Approval:
    """The same, within so many seconds."""
    return await decision(desk, id, _Watch(host, seconds, "waiting for the owner's decision"))


def _outcome(watch: _Watch, what: str, *, state: str = "", mark: str = "") -> Answer:
    facts: dict[str, object] = {"happened": True, "seconds": watch.spent, "what": what}
    words = [f"{what}."]
    return _told(facts, words, state, mark)


def _nothing(watch: _Watch, mark: str, *, state: str = "") -> Answer:
    facts: dict[str, object] = {"happened": False, "seconds": watch.spent}
    return _told(
        facts, [f"Nothing happened in {watch.spent} s. Wait again, or do something else."], state, mark
    )


def _told(facts: dict[str, object], words: list[str], state: str, mark: str) -> Answer:
    if state:
        facts["state"] = state
        words.append(f"State {state}.")
    if mark:
        facts["mark"] = mark
        words.append(f"mark {mark}")
    return Answer(" ".join(words), facts)
