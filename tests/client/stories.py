"""One story for every kind of client: written once against the asynchronous one, told by all three.

A story runs in a thread of its own, under asyncio or trio, while the daemons run in the test's own trio.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import attrs
import trio
from anyio import to_thread

from taskferry_apps.client import AsyncClient, Client
from taskferry_apps.client.sync_client import Events, Job, TaskHandle

__all__ = ["KINDS", "Place", "Told", "tell"]

KINDS = ("asyncio", "trio", "blocking")
PATIENCE_S = 40

#: Methods of both kinds of client that only make something.
_AT_ONCE = ("task", "work", "events")

Told = Callable[..., Awaitable[Any]]


@attrs.frozen
class Place:
    """Where an agent's program calls, and its credential."""

    url: str
    token: str = attrs.field(repr=False)

    def client(self, kind: str, **more: Any) -> Any:
        """A client of a kind, to be used as an asynchronous context manager."""
        if kind == "blocking":
            return Face(Client(url=self.url, token=self.token, **more))
        return AsyncClient(url=self.url, token=self.token, **more)


class Face:
    """A synchronous object with an asynchronous face: what it does happens in a thread."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __aenter__(self) -> Face:
        return self

    async def __aexit__(self, *_: object) -> None:
        await to_thread.run_sync(self.inner.close)

    async def aclose(self) -> None:
        """Close it."""
        await to_thread.run_sync(self.inner.close)

    def __aiter__(self) -> Face:
        return self

    async def __anext__(self) -> Any:
        found = await to_thread.run_sync(partial(next, self.inner, None))
        if found is None:
            raise StopAsyncIteration
        return _faced(found)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if not callable(member):
            return member
        if name == "runtime":
            return lambda *args: BlockFace(member(*args))
        if name in _AT_ONCE:
            member = partial(_plainly, member)
            return lambda *args, **more: _faced(member(*args, **more))

        async def call(*args: Any, **more: Any) -> Any:
            return _faced(await to_thread.run_sync(partial(_plainly, member, *args, **more)))

        return call


class BlockFace:
    """A block of the synchronous client, entered and left in threads; its object has a face, too."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Face:
        return Face(await to_thread.run_sync(self._block.__enter__))

    async def __aexit__(self, *error: Any) -> bool | None:
        ended: bool | None = await to_thread.run_sync(self._block.__exit__, *error)
        return ended


def _faced(value: Any) -> Any:
    return (
        Face(value) if isinstance(value, TaskHandle | Job | Events) or inspect.isgenerator(value) else value
    )


def _plainly(member: Any, *args: Any, **more: Any) -> Any:
    """Call it with what stands behind a face."""
    return member(
        *args, **{name: value.inner if isinstance(value, Face) else value for name, value in more.items()}
    )


async def tell(kind: str, story: Told, *args: Any) -> Any:
    """Tell a story in a thread, as programs of that kind would; `args` are its own."""
    backend = "asyncio" if kind == "asyncio" else "trio"

    async def in_time() -> Any:
        with anyio.fail_after(PATIENCE_S):
            return await story(*args)

    return await trio.to_thread.run_sync(partial(anyio.run, in_time, backend=backend))
