"""A dry run: what a worker would do with what waits now, and why. It changes nothing."""

from __future__ import annotations

from functools import partial

from ..client import calls, task_calls
from ..client.results import MessagePage
from ..system import now
from .line import Line
from .room import Room
from .rules import Choice, Rules, judged
from .telling import Tell, Told, What

__all__ = ["look"]


async def look(line: Line, room: Room, rules: Rules, tell: Tell) -> int:
    """Tell of each task that waits to be accepted, oldest first; how many would be taken, or asked about.

    Nothing counts as read by this. `room` is only looked into, and need not be held.
    """
    waiting: list[tuple[str, bool]] = []
    cursor = ""
    while True:
        page: MessagePage = await line.do(partial(calls.messages, line.agent, cursor=cursor))
        waiting += [
            (item.task_id, item.auto_start)
            for item in page.messages
            if item.direction == "in" and item.type == "task_request" and item.task_id
            if item.state != "processed"
        ]
        cursor = page.cursor
        if not page.more:
            break
    taken = room.taken_today(now())
    count = 0
    for id, may_start in reversed(waiting):
        task = await line.do(partial(task_calls.show_task, id))
        if task.role != "worker" or "accept" not in task.actions:
            continue
        verdict = judged(rules, task, may_start=may_start, taken_today=taken + count)
        count += verdict.choice in (Choice.TAKE, Choice.ASK)
        what = {
            Choice.TAKE: What.WOULD_ACCEPT,
            Choice.ASK: What.WOULD_ASK,
            Choice.DECLINE: What.WOULD_DECLINE,
        }
        words = f"{task.peer}: {task.title}" + (f"; {verdict.why}" if verdict.why else "")
        tell(Told(what.get(verdict.choice, What.LEFT), task.id, words))
    return count
