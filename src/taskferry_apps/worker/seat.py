"""A worker's place among the programs of its agent: bound, heard of, and alone with each task that it has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import trio

from ..client.binding import Binding, beat, bind, held, release, take, unbind
from ..client.errors import TaskFerryError, Unauthorized
from ..client.plans import Doing, Plan
from ..client.results import Lease
from .bell import Bell
from .line import Line

__all__ = ["Seat", "leased"]

T = TypeVar("T")

_PROGRAM: Final = "worker"
#: After a heartbeat that was refused: what it is refused, the worker's steps are, too, and they say so.
_SOON_S: Final = 5.0
#: How long leaving may take where the daemon does not answer.
_LEAVE_S: Final = 5.0


class Seat:
    """`key` stays the same when the worker starts again, so that it has at once what it had before."""

    def __init__(self, line: Line, name: str, key: str, lease_s: int | None) -> None:
        self._line = line
        program = f"{_PROGRAM} {name}" if name else _PROGRAM
        self._binding = Binding(line.agent, program, key, lease_s=lease_s)
        self._at_work: set[str] = set()
        self._bell = Bell()

    @property
    def name(self) -> str:
        """What the daemon calls it."""
        return self._binding.name

    async def sit(self) -> None:
        """Bind. Raises Conflict where too many programs are bound."""
        await self._line.do(partial(bind, self._binding))

    async def keep(self) -> None:
        """Be heard of until cancelled, as busy while a task is at work. Raises Unauthorized."""
        while True:
            self._binding.is_busy = bool(self._at_work)
            wait = self._binding.heartbeat_s
            try:
                await self._line.do(partial(beat, self._binding))
            except Unauthorized:
                raise
            except TaskFerryError:
                wait = min(_SOON_S, wait)
            with trio.move_on_after(wait):
                await self._bell.wait()

    def begin(self, task: str) -> None:
        """A task is at work."""
        self._at_work.add(task)
        self._bell.ring()

    def end(self, task: str) -> None:
        """It is not any more."""
        self._at_work.discard(task)
        self._bell.ring()

    async def take(self, task: str, *, only_left: bool = False) -> Lease:
        """Have a task alone, or have it still; with `only_left`, only what another program has left.

        Raises TakenOver while another program has it, Conflict where none has left it.
        """
        lease: Lease = await self._line.do(partial(take, self._binding, task, only_left=only_left))
        return lease

    async def give_back(self, task: str, lease: Lease) -> None:
        """Let others have a task at once. Raises TakenOver where another program has it."""
        await self._line.do(partial(release, task, lease))

    async def leave(self) -> None:
        """Let others have at once what is not finished; whoever is not heard loses it anyway."""
        with trio.move_on_after(_LEAVE_S, shield=True), suppress(TaskFerryError):
            await self._line.once(partial(unbind, self._binding))


def leased(make: Callable[[], Doing[T]], lease: Lease | None) -> Plan[T]:
    """What `make` describes, done under a lease or not at all."""
    return (yield from held(make(), lease))
