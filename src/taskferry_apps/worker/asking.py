"""Asks the owner whether the command may run on a task, and waits for the answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Final

from ..client import calls
from ..client.results import Approval
from ..client.task_calls import show_task
from ..client.task_results import Task
from .line import Line
from .steps import key_of
from .telling import Tell, Told, What
from .text import harmless

__all__ = ["may_run"]

_KIND: Final = "shell"
_POLL_S: Final = 30
_LIFETIME_S: Final = 86_400
_SHOWN: Final = 300


async def may_run(line: Line, words: Sequence[str], task: Task, tell: Tell) -> str:
    """Empty where the owner, or a policy of the owner's, says yes; else why not. Waits for the answer.

    The question has a key of the task's and command's own: after a crash it is not asked twice, nor by two
    workers that would run the same.
    """
    command = shlex.join(words)
    what = harmless(f"Run {command[:_SHOWN]} on the task {task.id[:8]} of {task.peer}: {task.title}")
    asked: Approval = await line.do(
        partial(
            calls.ask_approval,
            line.agent,
            _KIND,
            what,
            task=task.id,
            expires_in=_LIFETIME_S,
            key=key_of("", "ask", task.id, content=what.encode()),
        )
    )
    tell(Told(What.ASKING, task.id, "waiting for you; answer with: taskferry approvals"))
    while asked.state == "asked":
        asked = await line.do(partial(calls.approval, asked.id, wait=_POLL_S))
        if asked.state == "asked" and (await line.do(partial(show_task, task.id))).final:
            return "the task has ended meanwhile"
    if asked.state not in ("approved", "used"):
        return f"the owner's answer is {asked.state}" + (f": {asked.answer}" if asked.answer else "")
    await line.do(
        partial(
            calls.use_approval,
            asked.id,
            _KIND,
            what,
            task=task.id,
            key=key_of("", "use", task.id, content=what.encode()),
        )
    )
    return ""
