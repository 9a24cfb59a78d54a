"""One task that a worker holds: each step is written down first, and taken again after a crash."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import attrs
import trio

from ..client import calls, task_calls
from ..client.errors import Conflict, FileTrouble, NotFound, NotPossible, Refused, TakenOver, Unauthorized
from ..client.plans import Doing
from ..client.results import Lease
from ..client.task_results import Task
from ..system import now
from . import brief, harvest
from .bell import Bell
from .laying import laid_out
from .line import Line
from .progress import Progress, Waiting
from .room import Room
from .running import Command, Ended, run
from .seat import Seat, leased
from .steps import Kept, Next, Stage, begun, is_over, key_of, next_of, other_machine
from .telling import Tell, Told, What
from .text import harmless

__all__ = ["Desk", "Outcome", "carry_on", "keep_of_folder"]

T = TypeVar("T")

_POLL_S: Final = 30
_REASON_BYTES: Final = 4_000
_SHARE_OF_BUDGET: Final = 4
_COMPLETED: Final = "completed"


@attrs.frozen
class Desk:
    """What all tasks of a worker share."""

    line: Line
    seat: Seat
    room: Room
    command: Command
    result: harvest.ResultKind
    tell: Tell
    keep: str
    """Whose folders stay when a task has ended: all, failed, none."""
    more: tuple[str, ...]
    """Variables of the environment that the command is given beside the usual ones."""
    daemon: dict[str, str] | None
    """Variables that give the command the agent's own credential, where the owner wants it."""
    progress_every_s: float
    slots: trio.Semaphore


@attrs.frozen
class Outcome:
    """How far a task was carried: whether its command ran or its result was sent, and whether that failed."""

    is_done: bool
    is_failed: bool
    is_lost: bool
    """Whether somebody else has it."""


async def carry_on(desk: Desk, id: str, items: Iterable[str], *, has_slot: bool = False) -> Outcome:
    """Take a task's steps until it waits for the other side or has ended; `items` then are processed.

    With `has_slot`, one of the desk's slots is the task's already. Raises OSError, RoomTrouble, and what the
    daemon refuses; what is written down stays true.
    """
    job = _Job(desk, id, has_slot)
    if has_slot:
        desk.seat.begin(id)
    try:
        if await job.hold():
            while await job.step():
                pass
        await job.acknowledge(items)
        return Outcome(job.is_done, job.is_failed, job.is_lost)
    finally:
        job.free()


@attrs.define
class _Job:
    desk: Desk
    id: str
    has_slot: bool
    is_done: bool = False
    is_failed: bool = False
    is_lost: bool = False
    lease: Lease | None = None
    taken_over: TakenOver | None = None
    """Set while the command runs, once another program has the task."""
    is_elsewhere: bool = False
    """The same, once another machine of the owner's has it."""

    async def do(self, make: Callable[[], Doing[T]]) -> T:
        """Take a step that others see, as the program that has the task. Raises TakenOver."""
        return await self.desk.line.do(partial(leased, make, self.lease))

    async def hold(self) -> bool:
        """Have the task alone from now on; else let go of all that was done on it here."""
        self.taken_over = None
        try:
            self.lease = await self.desk.seat.take(self.id)
        except TakenOver as error:
            self.lose(error.message)
            return False
        return True

    def lose(self, why: str) -> None:
        """Somebody else carries it on: what is here is of no use any more."""
        self.is_lost, self.lease = True, None
        if self.desk.room.find(self.id) is None:
            return
        self.desk.room.note_lost(self.id, now())
        if self.desk.keep != "all":
            self.remove_folder()
        self.desk.room.forget(self.id)
        self.tell(What.LOST, f"{why} What was done here is discarded.")

    async def acknowledge(self, items: Iterable[str]) -> None:
        """Mark inbox items of the task as processed, where they are this worker's to put away."""
        if self.lease is None:
            return
        for item in sorted(items):
            try:
                await self.do(partial(calls.acknowledge, item))
            except (NotFound, Conflict):
                pass  # it has gone, or another program has it now

    async def step(self) -> bool:
        """Take one step; whether there may be more."""
        task = await self.show()
        kept = self.desk.room.find(self.id)
        if kept is None:
            return False
        try:
            match next_of(task, kept, now()):
                case Next.ACCEPT:
                    return await self.accept(task, kept)
                case Next.RUN:
                    await self.run(task, kept)
                case Next.SUBMIT:
                    await self.submit(kept)
                case Next.FAIL:
                    await self.fail(kept)
                case Next.WAIT:
                    return False
                case Next.CLEAN_UP:
                    self.clean_up(task)
                    return False
                case Next.LEAVE:
                    self.lose(f"Your machine {other_machine(task)} has it.")
                    return False
        except NotPossible:
            # The other side was faster: what to do now, the task says.
            return True
        except TakenOver:
            # Handed out anew since: where it can be had again, the task says what is left to do.
            return await self.hold()
        return True

    async def show(self, wait: int = 0, mark: str = "") -> Task:
        return await self.desk.line.do(partial(task_calls.show_task, self.id, wait=wait, mark=mark))

    async def accept(self, task: Task, kept: Kept) -> bool:
        key = key_of(self.desk.room.worker, "accept", self.id)
        try:
            await self.do(partial(task_calls.accept, self.id, key=key))
        except NotPossible:
            task = await self.show()
            if not task.final:
                self.is_lost = True
                self.desk.room.note_lost(self.id, now())
                self.tell(What.LEFT, "somebody else has accepted it")
            self.desk.room.forget(self.id)
            return False
        self.desk.room.keep(attrs.evolve(kept, stage=Stage.ACCEPTED))
        self.tell(What.ACCEPTED, f"{task.peer}: {task.title}")
        return True

    async def run(self, task: Task, kept: Kept) -> None:
        """Run the command for what is asked now, and write down how that ended."""
        if not self.has_slot:
            await self.desk.slots.acquire()
            self.has_slot = True
            self.desk.seat.begin(self.id)
            task = await self.show()
            if next_of(task, kept, now()) is not Next.RUN:
                return
        kept = begun(task, kept)
        self.desk.room.keep(kept)
        try:
            folder = await trio.to_thread.run_sync(self.desk.room.fresh_folder, self.id)
            await laid_out(self.desk.line, task, folder)
            self.tell(What.RUNNING, shlex.join(self.desk.command.words))
            ended = await self.run_in(folder, task)
        except (OSError, FileTrouble) as error:
            why = error.strerror if isinstance(error, OSError) else error.message
            ended = Ended(f"The worker could not work on it: {why}.")
        if self.taken_over is not None:
            raise self.taken_over
        if ended.is_stopped:
            if not self.is_elsewhere:
                self.tell(What.STOPPED, "it was taken back")
        elif ended.reason:
            if ended.is_too_large and self.desk.keep != "all":
                # Kept, such folders would fill the disk one by one.
                self.remove_folder()
            self.desk.room.keep(attrs.evolve(kept, stage=Stage.FAILING, reason=ended.reason))
        else:
            self.desk.room.keep(attrs.evolve(kept, stage=Stage.MADE))

    async def run_in(self, folder: Path, task: Task) -> Ended:
        desk = self.desk
        stop = trio.Event()
        reports = Waiting(desk.progress_every_s)
        bell = Bell()

        def report(found: Progress) -> None:
            reports.put(found)
            bell.ring()

        async with trio.open_nursery() as beside:
            beside.start_soon(self.watch, task.mark, stop)
            # Reports must not use up what the task needs for its result.
            most = None if task.budget is None else task.budget // _SHARE_OF_BUDGET
            beside.start_soon(self.send_reports, reports, bell, most)
            ended = await run(
                desk.command,
                folder,
                brief.environment(task, str(folder), os.environ, more=desk.more, daemon=desk.daemon),
                lock=desk.room.lock,
                report=report,
                stop=stop,
            )
            beside.cancel_scope.cancel()
        return ended

    async def watch(self, mark: str, stop: trio.Event) -> None:
        """Set `stop` when the task is taken back, has ended otherwise, or is somebody else's to do."""
        while True:
            task = await self.show(_POLL_S, mark)
            self.is_elsewhere = bool(other_machine(task))
            if is_over(task) or self.is_elsewhere:
                stop.set()
                return
            mark = task.mark
            try:
                await self.desk.seat.take(self.id)
            except TakenOver as error:
                self.taken_over = error
                stop.set()
                return

    async def send_reports(self, reports: Waiting, bell: Bell, most: int | None) -> None:
        count = 0
        while most is None or count < most:
            delay = reports.delay(trio.current_time())
            if delay is None:
                await bell.wait()
                continue
            await trio.sleep(delay)
            report = reports.due(trio.current_time())
            if report is None:
                continue
            count += 1
            key = key_of(self.desk.room.worker, "progress", self.id, count, str(now()).encode())
            send = partial(task_calls.progress, self.id, report.message, percent=report.percent, key=key)
            try:
                await self.do(send)
                share = f"{report.percent} % " if report.percent is not None else ""
                self.tell(What.PROGRESS, f"{share}{report.message}".strip())
            except Unauthorized:
                raise
            except TakenOver:
                return  # `watch` looks whose it is
            except Refused as error:
                # A report is no reason to stop the work; whether the task still stands, `watch` sees.
                self.tell(What.TROUBLE, f"a report was refused: {error.message}")

    async def submit(self, kept: Kept) -> None:
        """Hand in what the command has left; where that cannot be sent, give the task up with the reason."""
        desk, folder = self.desk, self.desk.room.folder(self.id)
        try:
            found = await trio.to_thread.run_sync(
                harvest.gathered, desk.result, folder / "stdout", folder / "out"
            )
        except (harvest.Unfit, OSError) as error:
            why = (
                f"What the command left cannot be read: {error.strerror}."
                if isinstance(error, OSError)
                else f"{error}"
            )
            desk.room.keep(attrs.evolve(kept, stage=Stage.FAILING, reason=why))
            return
        key = key_of(desk.room.worker, "submit", self.id, kept.round, found.digest)
        send = partial(
            task_calls.submit,
            self.id,
            found.text,
            json=found.json,
            files=found.files,
            note=found.note,
            answers=kept.answers,
            key=key,
        )
        try:
            sent = await self.do(send)
        except (NotPossible, TakenOver):
            raise
        except (Refused, FileTrouble) as error:
            if isinstance(error, Unauthorized):
                raise
            why = f"The result was refused on the way out: {error.message}"
            desk.room.keep(attrs.evolve(kept, stage=Stage.FAILING, reason=why))
            return
        desk.room.keep(attrs.evolve(kept, stage=Stage.HANDED_IN))
        self.is_done = True
        self.tell(What.SUBMITTED, f"version {sent.version}" + (f"; {found.note}" if found.note else ""))
        self.free()

    async def fail(self, kept: Kept) -> None:
        reason = _cut(harmless(kept.reason), _REASON_BYTES)
        key = key_of(self.desk.room.worker, "fail", self.id, kept.round, sha256(reason.encode()).digest())
        await self.do(partial(task_calls.fail, self.id, reason, key=key))
        self.is_done = self.is_failed = True
        where = self.desk.room.folder(self.id)
        shown = f" What it left is in {where}" if where.exists() and self.desk.keep != "none" else ""
        self.tell(What.FAILED, f"{kept.reason}{shown}")
        self.free()

    def clean_up(self, task: Task) -> None:
        """Hold an ended task no longer."""
        if not keep_of_folder(self.desk.keep, task.state):
            self.remove_folder()
        self.desk.room.forget(self.id)
        if not self.is_done:
            self.tell(What.ENDED, task.state)

    def remove_folder(self) -> None:
        try:
            self.desk.room.remove_folder(self.id)
        except OSError as error:
            self.tell(What.TROUBLE, f"its folder cannot be removed: {error.strerror}")

    def free(self) -> None:
        if self.has_slot:
            self.has_slot = False
            self.desk.seat.end(self.id)
            self.desk.slots.release()

    def tell(self, what: What, words: str = "") -> None:
        self.desk.tell(Told(what, self.id, words))


def keep_of_folder(policy: str, state: str) -> bool:
    """Whether the folder of an ended task stays."""
    return policy == "all" or (policy == "failed" and state != _COMPLETED)


def _cut(text: str, most: int) -> str:
    data = text.encode()
    return text if len(data) <= most else data[:most].decode(errors="ignore") + "…"
