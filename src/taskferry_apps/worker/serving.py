"""Puts a worker together from its orders and runs it until it has done enough, or is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import trio

from ..client.async_client import AsyncClient
from ..client.calls import own_agent
from ..client.errors import NotAllowed
from ..client.requests import as_object, get
from .harvest import ResultKind
from .job import Desk
from .line import Line
from .looking import look
from .room import Room, RoomTrouble, held_room
from .rules import Rules
from .running import Command
from .seat import Seat
from .telling import Tell, Told, What
from .worker import Worker

__all__ = ["Orders", "serve", "work"]

#: Reports of progress share the minute's envelopes with everything else.
_PROGRESS_EVERY_S = 5.0
_DONE = 0
_FAILED = 1
_INTERRUPTED = 130


@attrs.frozen
class Orders:
    """What the owner wants of a worker."""

    agent: str
    """Empty where the daemon is to say for which agent the credential is."""
    token: str = attrs.field(repr=False)
    find_url: Callable[[], str]
    command: Command
    rules: Rules
    result: ResultKind
    most: int | None
    concurrency: int
    variables: tuple[str, ...]
    gives_api: bool
    keep: str
    folder: Path | None
    workers: Path
    """Where the folders of workers are that name none."""
    name: str
    """What tells it from other workers of the agent; empty for the only one."""
    lease_s: int | None
    """How long others wait for it when it is not heard of; None for the usual time."""
    is_dry: bool


async def serve(orders: Orders, tell: Tell) -> int:
    """Work until a signal or enough; gives the exit code. Raises RoomTrouble, TaskFerryError, in groups."""
    codes: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_at_signal, nursery.cancel_scope, codes)
        codes.append(await work(orders, tell))
        nursery.cancel_scope.cancel()
    return codes[0]


async def _stop_at_signal(scope: trio.CancelScope, codes: list[int]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            codes.append(_INTERRUPTED if number == signal.SIGINT else _DONE)
            scope.cancel()


async def work(orders: Orders, tell: Tell) -> int:
    """Work until cancelled, or until enough is done; gives the exit code. Raises as `serve` does."""
    agent = orders.agent or await _agent_of(orders)
    line = Line(agent, orders.token, orders.find_url, tell)
    # No agent's name holds a full stop.
    folder = orders.folder or orders.workers / (f"{agent}.{orders.name}" if orders.name else agent)
    try:
        if orders.is_dry:
            count = await look(line, Room(folder, -1, ""), orders.rules, tell)
            tell(Told(What.ENDED, words=f"{count} of what waits would be taken. Nothing was changed."))
            return _DONE
        if orders.gives_api:
            await _check_not_owner(line)
        with held_room(folder) as room:
            seat = Seat(line, orders.name, room.worker, orders.lease_s)
            desk = Desk(
                line=line,
                seat=seat,
                room=room,
                command=orders.command,
                result=orders.result,
                tell=tell,
                keep=orders.keep,
                more=orders.variables,
                daemon=_way(orders) if orders.gives_api else None,
                progress_every_s=_PROGRESS_EVERY_S,
                slots=trio.Semaphore(orders.concurrency),
            )
            await seat.sit()
            try:
                tell(Told(What.STARTED, words=f"as {agent}, called {seat.name}, in {room.path}"))
                worker = Worker(desk, orders.rules, orders.most)
                async with trio.open_nursery() as beside:
                    beside.start_soon(seat.keep)
                    await worker.run()
                    beside.cancel_scope.cancel()
                return _FAILED if worker.failures else _DONE
            finally:
                await seat.leave()
    except BrokenPipeError:
        raise  # the reader of our lines has enough
    except OSError as error:
        raise RoomTrouble(f"The worker's folder cannot be used: {error.strerror}.") from None
    finally:
        with trio.CancelScope(shield=True):
            await line.aclose()


def _way(orders: Orders) -> dict[str, str]:
    return {"TASKFERRY_LOCAL_URL": orders.find_url(), "TASKFERRY_LOCAL_API_TOKEN": orders.token}


async def _agent_of(orders: Orders) -> str:
    async with AsyncClient(url=orders.find_url, token=orders.token) as client:
        return await client.do(own_agent(client.ties))


async def _check_not_owner(line: Line) -> None:
    """A command that acts on a peer's words must not be able to do what only the owner may."""
    try:
        await line.do(partial(get, "/tokens", as_object))
    except NotAllowed:
        return
    raise RoomTrouble(
        "--api would give the command the owner's credential. Leave TASKFERRY_LOCAL_API_TOKEN out: "
        "the worker makes one for its agent."
    )
