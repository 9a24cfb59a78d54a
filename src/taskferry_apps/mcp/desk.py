"""One agent's session with the tools: its client of the daemon, its files, and what it has been shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeVar

import attrs

from ..client import AsyncClient
from ..client.attachments import Attachment
from ..client.binding import Binding
from ..client.calls import own_agent
from ..client.plans import Doing
from ..client.results import Connection
from .fence import Fence, Origin, fence_for
from .seat import Seat

__all__ = ["Desk", "Files", "Host", "Load", "Memory", "Noticed", "may_start", "permission_words"]

T = TypeVar("T")

Noticed = Literal["seen", "left", "unable"]
"""What came of a notice to the human at the host: seen, turned down, or the host cannot show one."""

#: Tasks whose shown state is remembered; older ones are shown again before they count as seen.
_REMEMBERED: Final = 256


class Files(Protocol):
    """The files that an agent may send and that it is given, wherever it runs. Raise FileTrouble."""

    async def read(self, paths: Sequence[str]) -> list[Attachment]:
        """Files to send."""

    async def save(self, directory: str, label: str, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Write files of these safe names, and give their paths; empty `directory`: one made for `label`.

        What is there already with the same content is left; nothing is overwritten.
        """


class Host(Protocol):
    """The program that hosts the model, while it waits for an answer."""

    async def progress(self, done: float, total: float, message: str) -> None:
        """Say that the call goes on."""

    async def notice(self, message: str) -> Noticed:
        """Show the human there something. No answer of theirs counts as the owner's."""


@attrs.define(eq=False)
class Load:
    """Calls that have not been answered yet."""

    count: int = 0


@attrs.define(eq=False)
class Memory:
    """What a session has under way, and what its model was shown: bounded, and lost without harm."""

    mark: str = ""
    """How far the inbox was shown."""
    shown: dict[str, tuple[str, int]] = attrs.field(factory=dict, repr=False)
    """By task: as of which mark it was shown, with how many revision requests."""
    load: Load = attrs.field(factory=Load)

    def note(self, task: str, mark: str, revisions: int) -> None:
        """A task was shown."""
        self.shown.pop(task, None)
        self.shown[task] = (mark, revisions)
        while len(self.shown) > _REMEMBERED:
            del self.shown[next(iter(self.shown))]

    def mark_of(self, task: str) -> str:
        """As of which mark a task was shown last; empty if it was not."""
        return self.shown.get(task, ("", 0))[0]

    def revisions_of(self, task: str) -> int | None:
        """How many revision requests of a task were shown; None if it was not."""
        found = self.shown.get(task)
        return None if found is None else found[1]


@attrs.define(eq=False)
class Desk:
    """What the tools work with."""

    client: AsyncClient
    files: Files
    entropy: Callable[[int], bytes] = attrs.field(repr=False)
    memory: Memory = attrs.field(factory=Memory)
    seat: Seat | None = None
    """Its place among the agent's programs; None where there is no session, so that nothing is its alone."""

    @property
    def program(self) -> Binding | None:
        """As which program it is bound; None before its first call, and where it is not."""
        return self.seat.binding if self.seat is not None else None

    async def sit(self, host: str) -> None:
        """Bind the session of the program `host`, if it is to be bound and is not. Raises TaskFerryError."""
        if self.seat is not None:
            await self.seat.sit(self.client, host)

    async def act(self, id: str, doing: Doing[T]) -> T:
        """Do something with a task or message, as the program that has it. Raises TakenOver."""
        if self.seat is None:
            return await self.client.do(doing)
        return await self.seat.act(self.client, id, doing)

    async def work(self, task: str) -> None:
        """Show the session as busy."""
        if self.seat is not None:
            await self.seat.work(self.client, task)

    async def rest(self, task: str) -> None:
        """Show it as idle, unless it works on another task."""
        if self.seat is not None:
            await self.seat.rest(self.client, task)

    async def agent(self) -> str:
        """The name of the agent that it is for."""
        name: str = await self.client.do(own_agent(self.client.ties))
        return name

    def fence(self, *texts: str) -> Fence:
        """A fence for one answer."""
        return fence_for(texts, self.entropy)

    async def origin(self, peer: str) -> tuple[Origin, Connection | None]:
        """Who a peer is to us, and the connection that says so."""
        for connection in await self.client.connections(state="accepted"):
            if connection.peer == peer:
                return Origin(peer, connection.trust, permission_words(connection)), connection
        return Origin(peer, "no connection"), None


def may_start(connection: Connection | None) -> bool:
    """Whether the owner lets a program begin on a peer's tasks without a person."""
    given = connection.given if connection is not None else None
    return given is not None and given.terms.auto_trigger


def permission_words(connection: Connection, start: str = "") -> str:
    """What the owner lets a peer send; `start`, if given, says instead of the grant who may begin on it."""
    given = connection.given
    if given is None:
        return "none"
    kinds = " ".join(given.classes) or "nothing"
    granted = "starts by itself" if given.terms.auto_trigger else "ask your owner before starting"
    return f"{kinds}; {start or granted}"
