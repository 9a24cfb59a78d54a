"""A dry run: what a worker would do with what waits now, and why. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..client import calls, task_calls
from ..client.results import Message, MessagePage
from ..client.task_results import ListedTask, TaskPage
from ..system import now
from .line import Line
from .room import Room
from .rules import Asked, Choice, Rules, judged
from .telling import Tell, Told, What

__all__ = ["look"]


async def look(line: Line, room: Room, rules: Rules, tell: Tell) -> int:
    """Tell of each task that waits to be accepted, oldest first; how many would be taken, or asked about.

    Nothing counts as read by this: it looks into lists, which mark nothing. `room` is only looked into, and
    need not be held.
    """
    acceptable = {task.id: task for task in await _acceptable(line)}
    requests: list[Message] = []
    cursor = ""
    while True:
        page: MessagePage = await line.do(partial(calls.messages, line.agent, cursor=cursor))
        requests += [
            item
            for item in page.messages
            if item.direction == "in" and item.type == "task_request" and item.task_id in acceptable
        ]
        cursor = page.cursor
        if not page.more:
            break
    taken = room.taken_today(now())
    count = 0
    for request in reversed(requests):
        task = acceptable[str(request.task_id)]
        verdict = judged(rules, _asked_in(request), may_start=request.auto_start, taken_today=taken + count)
        count += verdict.choice in (Choice.TAKE, Choice.ASK)
        what = {
            Choice.TAKE: What.WOULD_ACCEPT,
            Choice.ASK: What.WOULD_ASK,
            Choice.DECLINE: What.WOULD_DECLINE,
        }
        words = f"{task.peer}: {task.title}" + (f"; {verdict.why}" if verdict.why else "")
        tell(Told(what.get(verdict.choice, What.LEFT), task.id, words))
    return count


async def _acceptable(line: Line) -> list[ListedTask]:
    """The tasks that wait to be accepted, and still may be."""
    found: list[ListedTask] = []
    cursor = ""
    while True:
        page: TaskPage = await line.do(
            partial(task_calls.list_tasks, line.agent, state="sent", role="worker", cursor=cursor)
        )
        found += page.tasks
        cursor = page.cursor
        if not page.more:
            break
    return [task for task in found if task.deadline is None or task.deadline.timestamp() * 1_000 > now()]


def _asked_in(request: Message) -> Asked:
    """What a request asks, by the message that carries it."""
    said = request.payload or {}
    lines = [str(item) for item in _list(said, "requirements")]
    parts = [part for part in _list(said, "parts") if isinstance(part, Mapping)]
    return Asked(
        request.sender,
        request.title,
        len(str(said.get("brief", ""))) + sum(map(len, lines)),
        len(lines),
        sum(map(_size, parts)),
    )


def _list(said: Mapping[str, object], name: str) -> list[object]:
    found = said.get(name)
    return found if isinstance(found, list) else []


def _size(part: Mapping[str, object]) -> int:
    """Bytes of a part: a file says so, a text or JSON value is counted."""
    size = part.get("size")
    return size if isinstance(size, int) else len(str(part.get("text", part.get("json", ""))).encode())
