"""The worker: looks into its agent's inbox, takes what the owner's rules allow, and carries each task on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import attrs
import trio

from ..client import calls, task_calls
from ..client.errors import Conflict, NotFound, NotPossible, Refused, TakenOver, TaskFerryError, Unauthorized
from ..client.results import InboxPage, Lease, Message
from ..client.task_results import Task
from ..system import now
from .asking import may_run
from .job import Desk, carry_on
from .line import is_fault
from .rules import Choice, Rules, Verdict, asked_by, judged, with_room
from .seat import leased
from .steps import Kept, Stage, key_of, may_begin
from .telling import Told, What

__all__ = ["Worker"]

_POLL_S: Final = 30
#: What is left for a reason that may pass is looked at again after this long.
_AGAIN_S: Final = 60.0
#: After the daemon has failed at its inbox, again and again.
_PAUSE_S: Final = 10.0
_ASKS: Final = "task_request"
#: What says that something has become of a task that this worker holds.
_NEWS: Final = frozenset({"revision_request", "task_complete", "task_cancel", "task_expire"})
_UNDER_WAY: Final = frozenset({Stage.ACCEPTING, Stage.ACCEPTED, Stage.MADE, Stage.FAILING})


@attrs.define
class Worker:
    """Works until cancelled; with `most`, until so many tasks were worked on."""

    desk: Desk
    rules: Rules
    most: int | None = None
    failures: int = 0
    """Tasks that this worker has given up."""
    _cursor: str = ""
    _again_at: float | None = None
    _said: set[tuple[str, str]] = attrs.field(factory=set)
    _active: set[str] = attrs.field(factory=set)
    _asked: set[str] = attrs.field(factory=set)
    """Tasks about which the owner is asked, or has said no."""
    _items: dict[str, set[str]] = attrs.field(factory=dict)
    """Inbox items of each task, marked as processed once what they ask for is done."""
    _begun: int = 0
    _looking: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> None:
        """Take up what was held before, then what comes. Raises RoomTrouble, Unauthorized, OSError."""
        held = self.desk.room.kept()
        while True:
            async with trio.open_nursery() as carrying:
                for kept in held:
                    # With an end in sight, what waits for the other side is taken up when something comes.
                    if kept.stage in _UNDER_WAY or self.most is None:
                        self._start(carrying, kept.task, is_counted=kept.stage in _UNDER_WAY)
                held = []
                with trio.CancelScope() as self._looking:
                    async with trio.open_nursery() as asking:
                        while not self._has_enough():
                            await self._look(carrying, asking)
                        asking.cancel_scope.cancel()
            if self._has_enough():
                return
            # What was taken turned out to be somebody else's: look at everything once more.
            self._cursor = ""
            self._asked.clear()

    def _has_enough(self) -> bool:
        return self.most is not None and self._begun >= self.most

    async def _look(self, nursery: trio.Nursery, asking: trio.Nursery) -> None:
        if self._again_at is not None and trio.current_time() >= self._again_at:
            self._cursor, self._again_at = "", None
        wait = _POLL_S
        if self._again_at is not None:
            wait = max(1, min(wait, int(self._again_at - trio.current_time()) + 1))
        look = partial(calls.inbox, self.desk.line.agent, wait=wait, cursor=self._cursor, header_only=True)
        try:
            page: InboxPage = await self.desk.line.do(look)
        except Refused as error:
            if not is_fault(error):
                raise
            self._say_once(What.TROUBLE, "", f"the inbox cannot be read: {error.message} Trying again.")
            await trio.sleep(_PAUSE_S)
            return
        for held in page.held:
            them = (
                f"a task of {held.peer} waits"
                if held.count == 1
                else f"{held.count} tasks of {held.peer} wait"
            )
            self._say_once(What.LEFT, "", f"{them} for you first; see: taskferry approvals")
        for item in page.messages:
            if self._has_enough():
                return
            with self._going_on(item.task_id or ""):
                await self._consider(nursery, asking, item)
        self._cursor = page.cursor

    @contextmanager
    def _going_on(self, task: str) -> Iterator[None]:
        """One task that cannot be had, or at which the daemon fails, keeps nobody from the others."""
        try:
            yield
        except TakenOver as error:
            # Another program's, until that is heard of no more.
            self._again(error.retry_after)
        except (NotFound, NotPossible):
            pass  # it has gone meanwhile
        except Refused as error:
            if not is_fault(error):
                raise
            self._say_once(What.TROUBLE, task, error.message)
            self._again()

    async def _consider(self, nursery: trio.Nursery, asking: trio.Nursery, item: Message) -> None:
        if item.task_id is None or item.type not in _NEWS | {_ASKS}:
            return
        if self.desk.room.find(item.task_id) is not None or item.task_id in self._active:
            self._items.setdefault(item.task_id, set()).add(item.id)
            if item.task_id not in self._active:
                self._start(nursery, item.task_id, is_counted=item.type == "revision_request")
            return
        task: Task = await self.desk.line.do(partial(task_calls.show_task, item.task_id))
        if task.role != "worker":
            return
        if task.final:
            lease = await self.desk.seat.take(task.id)
            await self.desk.line.do(partial(leased, partial(calls.acknowledge, item.id), lease))
        elif may_begin(task):
            await self._judge(nursery, asking, item, task)

    async def _judge(self, nursery: trio.Nursery, asking: trio.Nursery, item: Message, task: Task) -> None:
        verdict = self._verdict(task, item)
        is_new = "accept" in task.actions
        match verdict.choice:
            case Choice.LEAVE:
                self._leave(task, verdict.why)
            case Choice.LATER:
                self._later(task, verdict.why)
            case Choice.DECLINE if not is_new:
                self._leave(task, verdict.why)
            case Choice.DECLINE:
                await self._decline(task, verdict.why)
            case Choice.ASK:
                if task.id in self._asked:
                    return
                # The owner is asked of nothing that this worker could not carry on.
                lease = None if is_new else await self._have(task)
                if is_new or lease is not None:
                    self._asked.add(task.id)
                    asking.start_soon(self._ask, nursery, item, task, lease)
            case Choice.TAKE:
                await self.desk.slots.acquire()
                try:
                    # It may have waited here for long.
                    task = await self.desk.line.do(partial(task_calls.show_task, task.id))
                    verdict = self._verdict(task, item)
                    if verdict.choice is not Choice.TAKE or not may_begin(task):
                        self._again()
                    elif await self._take(nursery, item.id, task):
                        return
                except BaseException:
                    self.desk.slots.release()
                    raise
                self.desk.slots.release()

    def _verdict(self, task: Task, item: Message) -> Verdict:
        taken = self.desk.room.taken_today(now())
        return judged(self.rules, asked_by(task), may_start=item.auto_start, taken_today=taken)

    async def _take(self, nursery: trio.Nursery, item: str, task: Task) -> bool:
        """Have a task alone, and hold it, durably, before it is accepted. Its slot goes with it.

        One that is accepted already is taken over where another program has left it; False where none has.
        Raises TakenOver.
        """
        lease = await self._have(task)
        if lease is None:
            return False
        if (
            self._has_enough()
            or with_room(self.rules, self.desk.room.taken_today(now())).choice is Choice.LATER
        ):
            # Others were begun meanwhile.
            await self._let_go(task, lease)
            self._again()
            return False
        is_new = "accept" in task.actions
        moment = now()
        self.desk.room.keep(Kept(task.id, Stage.ACCEPTING if is_new else Stage.ACCEPTED, moment))
        self.desk.room.note_taken(task.id, moment)
        self._begun += 1
        self._items.setdefault(task.id, set()).add(item)
        self._active.add(task.id)
        if not is_new:
            self.desk.tell(Told(What.TAKEN_OVER, task.id, f"{task.peer}: {task.title}"))
        nursery.start_soon(self._carry, task.id, True, False)
        if self._has_enough():
            self._looking.cancel()
        return True

    async def _have(self, task: Task) -> Lease | None:
        try:
            return await self.desk.seat.take(task.id, only_left="accept" not in task.actions)
        except TakenOver:
            raise
        except Conflict:
            self._leave(task, "it was accepted, and by no program that has left it")
            return None

    async def _let_go(self, task: Task, lease: Lease | None) -> None:
        """Let other programs have at once what this worker took, and does not do."""
        if lease is not None:
            with suppress(Refused):
                await self.desk.seat.give_back(task.id, lease)

    async def _ask(self, nursery: trio.Nursery, item: Message, task: Task, lease: Lease | None) -> None:
        room = self.desk.room
        try:
            refused = await may_run(self.desk.line, self.desk.command.words, task, self.desk.tell)
            if refused:
                if self.rules.is_declining:
                    await self._decline(task, "the owner does not want it done")
                else:
                    self._leave(task, refused)
                await self._let_go(task, lease)
                return
        except Unauthorized:
            raise
        except Refused as error:
            self._leave(task, error.message)
            await self._let_go(task, lease)
            if is_fault(error):
                self._asked.discard(task.id)
                self._again()
            return
        await self.desk.slots.acquire()
        verdict = with_room(self.rules, room.taken_today(now()))
        is_taken = False
        try:
            if not self._has_enough() and verdict.choice is Choice.TAKE:
                with self._going_on(task.id):
                    is_taken = await self._take(nursery, item.id, task)
            else:
                self._later(task, verdict.why)
                await self._let_go(task, lease)
        finally:
            if not is_taken:
                self.desk.slots.release()
                self._asked.discard(task.id)

    def _start(self, nursery: trio.Nursery, task: str, *, is_counted: bool) -> None:
        if task not in self._active:
            self._active.add(task)
            self._begun += is_counted
            nursery.start_soon(self._carry, task, False, is_counted)

    async def _carry(self, task: str, has_slot: bool, is_counted: bool) -> None:
        """Carry a task on until it waits and nothing new has come for it.

        What was taken up again and `is_counted` is no task of this run's if there was nothing left to do.
        """
        while True:
            seen = set(self._items.get(task, ()))
            try:
                outcome = await carry_on(self.desk, task, seen, has_slot=has_slot)
                self.failures += outcome.is_failed
                self._begun -= outcome.is_lost or (is_counted and not outcome.is_done)
                is_counted = False
                if outcome.is_lost:
                    # Should its new holder be lost, too, it is looked at once more.
                    self._again()
            except (Unauthorized, OSError):
                raise
            except TaskFerryError as error:
                # What is written down stays; its items bring it back when they are looked at again.
                self.failures += self.most is not None
                self._say_once(What.TROUBLE, task, str(error))
                self._again()
                break
            has_slot = False
            left = self._items.get(task, set()) - seen
            self._items[task] = left
            if not left:
                break
        if not self._items.get(task):
            self._items.pop(task, None)
        self._active.discard(task)

    async def _decline(self, task: Task, why: str) -> None:
        key = key_of(self.desk.room.worker, "decline", task.id)
        lease = await self.desk.seat.take(task.id)
        decline = partial(task_calls.decline, task.id, f"Declined: {why}.", key=key)
        try:
            await self.desk.line.do(partial(leased, decline, lease))
        except NotPossible:
            return
        self.desk.tell(Told(What.DECLINED, task.id, why))

    def _leave(self, task: Task, why: str) -> None:
        self._say_once(What.LEFT, task.id, why)

    def _say_once(self, what: What, task: str, why: str) -> None:
        if (task, why) not in self._said:
            self._said.add((task, why))
            self.desk.tell(Told(what, task, why))

    def _later(self, task: Task, why: str) -> None:
        if why:
            self._leave(task, why)
        self._again()

    def _again(self, after_s: float | None = None) -> None:
        """Look at everything once more after a while, or after so many seconds if that is sooner."""
        at = trio.current_time() + min(_AGAIN_S, after_s or _AGAIN_S)
        self._again_at = at if self._again_at is None else min(at, self._again_at)
