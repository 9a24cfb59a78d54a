"""One task as callers look at it: in full, once it is otherwise than they know it, in part, its proof."""

from __future__ import annotations

import attrs
import trio

from taskferry_protocol.records import TaskRecord

from .core import Core
from .downloads import download_of
from .export import export_task
from .last_looks import LastLooks
from .names import may_use, not_found
from .port import Caller
from .search import find_task
from .taskbook import Held
from .tasks import Tasks
from .views import IsKnown, TaskView, Window
from .visibility import check_all_shown, shown_rows, shown_task

__all__ = ["Looking"]


class Looking:
    """Reads for callers; an agent that is shown a task has read what it was asked to revise."""

    def __init__(self, core: Core, tasks: Tasks) -> None:
        self._core = core
        self._tasks = tasks
        self._looks = LastLooks()

    async def task(
        self, caller: Caller, task: str, is_known: IsKnown, wait_s: float, window: Window
    ) -> TaskView:
        """The task, or what a window shows of it; waits up to `wait_s` while the caller knows it as it is."""
        with trio.move_on_after(wait_s):
            while is_known is not None:
                heard = self._core.feed.next
                view = await self._view(caller, task, window)
                if not is_known(view):
                    return view
                await heard.wait()
        return await self._view(caller, task, window)

    async def artifact(self, caller: Caller, task: str, version: int, part: int) -> tuple[str, str, bytes]:
        """(name, media type, bytes) of a part, counted from 0."""
        held, row = await self._held(caller, task)
        return download_of(await shown_task(self._core, caller, held, row), version, part)

    async def export(self, caller: Caller, task: str) -> bytes:
        """The handoff file."""
        held, row = await self._held(caller, task)
        if not caller.is_owner:
            await check_all_shown(self._core, row.mine, held)
        return await export_task(self._core, caller, held, row.role)

    async def _view(self, caller: Caller, task: str, window: Window) -> TaskView:
        held, row = await self._held(caller, task)
        if not caller.is_owner:
            await self._tasks.note_read(caller, held, row)
        view = await shown_task(self._core, caller, held, row, window)
        if not caller.is_owner or view.budget is not None:
            return view
        core = self._core
        async with core.lock:
            pair = await core.pairs.of(row.mine, row.peer, core.now())
        return attrs.evolve(view, usual_budget=pair.limits.budget)

    async def _held(self, caller: Caller, task: str) -> tuple[Held, TaskRecord]:
        held = await self._looks.load(self._core, await find_task(self._core.store, task))
        seen = await shown_rows(self._core, caller, held.rows)
        rows = [row for row in seen if may_use(caller, row.mine.name)]
        if not rows:
            raise not_found("task")
        return held, rows[0]
