"""The owner's wakes: kept, and carried out when something needs an agent that nobody runs.

They never hold anything up: a hint is written down, given by a task of its own, and what became of it noted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs
import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records import Order
from taskferry_protocol.runtimes import is_live
from taskferry_protocol.waking import READING_MS, Progress, decide, reads_until

from .bounds import BOUNDS
from .clock_steps import look_at_clock
from .core import Core
from .names import own_agent, require_owner
from .needs import unread_of
from .port import Caller, DaemonRefusal
from .wake_addresses import url_problem
from .wake_calls import HookRecord, call_for, new_secret
from .wake_carriers import carry
from .wake_port import NewWake, WakeView
from .wake_store import load_wakes, save_wakes

__all__ = ["Wakers"]

MOST: Final = BOUNDS.wakers
#: What comes so soon after the first belongs to one hint.
GATHER_S: Final = 0.5
_ROUND_MS: Final = MINUTE_MS
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16


def _refuse(message: str, step: str, code: str = "bad-value") -> DaemonRefusal:
    return DaemonRefusal(code, message, step, status=400)


def _view(hook: HookRecord) -> WakeView:
    at = None if hook.hinted_at is None else Instant(hook.hinted_at)
    return WakeView(
        hook.id, hook.agent, hook.kind, hook.target, Instant(hook.created_at), at, hook.hints, hook.failure
    )


class Wakers:
    """Keeps the wakes; `run` carries them out."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._busy: set[str] = set()
        self._still_running: dict[str, trio.Process] = {}
        """By wake, the program that its last hint has started and that could not be ended."""

    # --- The owner's

    async def add(self, caller: Caller, wanted: NewWake) -> tuple[WakeView, str]:
        """Keep a wake."""
        require_owner(caller)
        mine = await own_agent(self._core, caller, wanted.agent, "agent")
        _check(wanted)
        core = self._core
        made = new_secret(core.entropy(_SECRET_BYTES)) if wanted.kind == "webhook" else ""
        hook = HookRecord(
            id=core.entropy(16).hex(),
            agent=mine.name,
            kind=wanted.kind,
            url=wanted.url,
            command=wanted.command,
            thread=wanted.thread,
            secret=made or wanted.secret,
            allow_private=wanted.allow_private,
            created_at=core.now(),
        )
        async with core.lock:
            hooks = await load_wakes(self._core)
            if len(hooks) >= MOST:
                raise DaemonRefusal(
                    "too-many", f"There are {MOST} wakes.", "Remove one: taskferry wake list", status=409
                )
            await save_wakes(self._core, (*hooks, hook))
        core.feed.ring()
        return _view(hook), made

    async def wakes(self, caller: Caller) -> tuple[WakeView, ...]:
        """All of them."""
        require_owner(caller)
        return tuple(_view(hook) for hook in await load_wakes(self._core))

    async def remove(self, caller: Caller, wake: str) -> WakeView:
        """Forget one."""
        require_owner(caller)
        async with self._core.lock:
            hooks = await load_wakes(self._core)
            gone = _found(hooks, wake)
            await save_wakes(self._core, [hook for hook in hooks if hook.id != gone.id])
        self._still_running.pop(gone.id, None)
        return _view(gone)

    async def test(self, caller: Caller, wake: str) -> WakeView:
        """Give a hint now."""
        require_owner(caller)
        hook = _found(await load_wakes(self._core), wake)
        await self._give(hook, 0)
        return _view(_found(await load_wakes(self._core), hook.id))

    # --- Giving hints

    async def run(self) -> None:
        """One round after another until cancelled. Raises the store's errors."""
        async with trio.open_nursery() as nursery:
            while True:
                heard = self._core.feed.next
                again = await self.round(nursery)
                with trio.move_on_after(max(1.0, (again - self._core.now()) / 1000)):
                    await heard.wait()
                    await trio.sleep(GATHER_S)

    async def round(self, nursery: trio.Nursery) -> Instant:
        """Look at every wake once, and start what is due; when to look again at the latest."""
        core = self._core
        latest = Instant(core.now() + _ROUND_MS)
        if core.account is None:
            return latest
        await look_at_clock(core)
        agents = {hook.agent for hook in await load_wakes(core)}
        unread = await core.store.inbox_counts(agents)
        newest = {agent: await self._newest(agent) for agent in agents}
        readers = {agent: await self._reader_until(agent) for agent in agents}
        async with core.lock:
            before = await load_wakes(core)
            after, due = [], []
            for hook in before:
                if hook.id in self._busy or hook.agent not in agents:
                    after.append(hook)
                    continue
                at = None if hook.hinted_at is None else Instant(hook.hinted_at)
                verdict = decide(
                    Progress(hook.newest, hook.hints, at),
                    newest[hook.agent],
                    readers[hook.agent],
                    core.now(),
                )
                told = verdict.progress
                hook = attrs.evolve(hook, newest=told.newest, hints=told.hints, hinted_at=told.hinted_at)
                after.append(hook)
                if verdict.hint:
                    due.append((hook, unread[hook.agent].unread))
                if verdict.again_at is not None:
                    latest = min(latest, verdict.again_at)
            if after != list(before):
                await save_wakes(self._core, after)
        for hook, count in due:
            self._busy.add(hook.id)
            nursery.start_soon(self._give_due, hook, count)
        return latest

    async def _give_due(self, hook: HookRecord, count: int) -> None:
        try:
            await self._give(hook, count)
        finally:
            self._busy.discard(hook.id)

    async def _give(self, hook: HookRecord, count: int) -> None:
        core = self._core
        failure = await self._carried(hook, count)
        async with core.lock:
            hooks = await load_wakes(self._core)
            noted = [attrs.evolve(one, failure=failure) if one.id == hook.id else one for one in hooks]
            if noted != list(hooks):
                await save_wakes(self._core, noted)

    async def _carried(self, hook: HookRecord, count: int) -> str:
        """Why a hint did not get through; empty if it did."""
        former = self._still_running.get(hook.id)
        if former is not None and former.returncode is None:
            return "The program of an earlier hint still runs, and cannot be ended from here: end it."
        self._still_running.pop(hook.id, None)
        core = self._core
        # Each is one of its own, repeated or not: who drops duplicates must not drop it.
        message = f"wake_{core.entropy(_ID_BYTES).hex()}"
        call = call_for(hook, count, message, core.now(), sys.platform)
        return await carry(call, partial(self._still_running.__setitem__, hook.id))

    async def _newest(self, agent: str) -> int:
        """The place of an agent's newest unread item, 0 where there is none."""
        page = await self._core.store.message_page(unread_of(agent), None, 1, Order.NEWEST_FIRST)
        return page.items[0].place if page.items else 0

    async def _reader_until(self, agent: str) -> Instant | None:
        """Until when a program of the agent's counts as reading by itself."""
        core = self._core
        runtimes = await core.store.runtimes(agent)
        now = core.now()
        bound = [one for one in runtimes if is_live(one, now)]
        times = [until for one in bound if (until := reads_until(one, core.acted.get(one.id))) > now]
        ran = core.ran.get(agent)
        if ran is not None and ran <= now < ran + READING_MS:
            times.append(Instant(ran + READING_MS))
        return max(times, default=None)


def _found(hooks: Sequence[HookRecord], wake: str) -> HookRecord:
    fitting = [hook for hook in hooks if hook.id.startswith(wake.lower())]
    if len(fitting) != 1:
        raise DaemonRefusal(
            "not-found" if not fitting else "ambiguous",
            "There is no such wake." if not fitting else "Several wakes begin like that.",
            "List them: taskferry wake list",
            status=404 if not fitting else 409,
        )
    return fitting[0]


def _check(wanted: NewWake) -> None:
    """Raises DaemonRefusal where a wake could never work, or would go where it must not."""
    if wanted.kind in {"webhook", "openclaw"}:
        problem = url_problem(wanted.url, allow_private=wanted.allow_private)
        if problem:
            raise _refuse(problem, "Mend the address and try again.")
        if wanted.kind == "openclaw" and not (wanted.secret and wanted.secret.isascii()):
            raise _refuse(
                "OpenClaw wants its hook token.", "Give the one of `hooks.token` in its configuration."
            )
        return
    if (
        not wanted.command
        or not wanted.command[0].startswith("/")
        or any("\0" in word for word in wanted.command)
    ):
        raise _refuse("A program is named by its whole path.", "Name one that begins with /.")
    if wanted.kind == "codex" and (not wanted.thread or wanted.thread.startswith("-")):
        raise _refuse("Codex wants a thread.", "Name a session by its id or name.")
