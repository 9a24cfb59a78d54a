"""A session's place among the programs of its agent: bound by its first tool, heard of until it ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import anyio

from ..client import AsyncClient
from ..client.binding import Binding, beat, beaten, bind, held, take, unbind
from ..client.calls import own_agent
from ..client.errors import Conflict, NotFound, TakenOver, TaskFerryError
from ..client.plans import Doing
from ..client.results import Lease

__all__ = ["Seat", "place_of", "program_of"]

T = TypeVar("T")

#: A session keeps what it has for so long when it is not heard of. Its end is known at once; this is for a
#: daemon that was away, and a model that thinks for long before it calls again.
LEASE_S: Final = 600
#: Tasks whose lease is remembered; the others' are taken once more.
_REMEMBERED: Final = 256
_LEAVE_S: Final = 5.0
_PROGRAM_CHARS: Final = 64
_PLACE_CHARS: Final = 32
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)


class Seat:
    """`key` is the session's own, `place` where it runs, for its name. Nothing is bound before `sit`."""

    def __init__(self, key: str, place: str) -> None:
        self.binding: Binding | None = None
        self._key = key
        self._place = place
        self._leases: dict[str, Lease] = {}
        self._times = 0
        self._at_work: set[str] = set()
        self._sitting = anyio.Lock()
        self._bound = anyio.Event()

    async def sit(self, client: AsyncClient, host: str) -> None:
        """Bind the session of the program `host`, once. Raises TaskFerryError.

        Where too many programs are bound it stays as sessions are that are not: it sees everything.
        """
        async with self._sitting:
            if self.binding is None:
                agent: str = await client.do(own_agent(client.ties))
                binding = Binding(agent, program_of(host, self._place), self._key, lease_s=LEASE_S)
                try:
                    await client.do(bind(binding))
                except Conflict:
                    return
                self.binding, self._times = binding, binding.times
                self._bound.set()

    async def keep(self, client: Callable[[], AsyncClient]) -> None:
        """Be heard of until cancelled; `client` gives the way to the daemon as it is then."""
        await self._bound.wait()
        while True:
            wait_s = await self.breathe(client())
            await anyio.sleep(wait_s)

    async def breathe(self, client: AsyncClient) -> float:
        """Be heard of once, if it is bound; seconds until it should be again."""
        if self.binding is None:
            return float(LEASE_S)
        return await client.do_once(beaten(self.binding))

    async def act(self, client: AsyncClient, id: str, doing: Doing[T]) -> T:
        """Do something with a task or message as the program that has it; it has it from now on.

        Raises TakenOver where another program has it, or had it since this one last looked.
        """
        lease = await self._lease_of(client, id)
        try:
            return await client.do(held(doing, lease))
        except TakenOver:
            self._leases.pop(id, None)
            raise

    async def _lease_of(self, client: AsyncClient, id: str) -> Lease | None:
        binding = self.binding
        if binding is None:
            return None
        if binding.times != self._times:
            # Bound anew, as after its owner has ended the binding: every lease has another fence now.
            self._leases.clear()
            self._times = binding.times
        lease = self._leases.get(id)
        if lease is None:
            try:
                lease = await client.do(take(binding, id))
            except NotFound:
                return None  # it is not in this inbox: another of the owner's devices has it
            self._leases[id] = lease
            while len(self._leases) > _REMEMBERED:
                del self._leases[next(iter(self._leases))]
        return lease

    async def work(self, client: AsyncClient, task: str) -> None:
        """The session works on a task."""
        self._at_work.add(task)
        await self._say(client)

    async def rest(self, client: AsyncClient, task: str) -> None:
        """It has done its part."""
        self._at_work.discard(task)
        await self._say(client)

    async def _say(self, client: AsyncClient) -> None:
        binding, is_busy = self.binding, bool(self._at_work)
        if binding is not None and binding.is_busy != is_busy:
            binding.is_busy = is_busy
            with suppress(TaskFerryError):
                await client.do_once(beat(binding))

    async def leave(self, client: AsyncClient) -> None:
        """The session has ended: others may have at once what it had."""
        binding, self.binding = self.binding, None
        if binding is not None:
            with anyio.move_on_after(_LEAVE_S, shield=True), suppress(TaskFerryError):
                await client.do_once(unbind(binding, forget=True))


def program_of(host: str, place: str) -> str:
    """What a session is called: the program that hosts it, and where it runs."""
    words = (_UNFIT.sub("-", word).strip("-") for word in (host or "mcp", place))
    return " ".join(word for word in words if word)[:_PROGRAM_CHARS].strip() or "mcp"


def place_of(folder: str) -> str:
    """The name of a folder as it may stand in an address and a list."""
    return _UNFIT.sub("-", folder).strip("-")[:_PLACE_CHARS]
