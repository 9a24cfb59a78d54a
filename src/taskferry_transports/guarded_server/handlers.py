"""The tasks of one connection's requests, and the channels through which each hears what arrives for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, Scope

__all__ = ["Handlers"]


class Handlers(TaskGroup):
    """As hypercorn's, but for channels that wait only where they have to.

    trio lets all others have a turn whenever something is sent or received: five times in a small request.
    """

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start a request's handler; what puts events before it, and waits while it has enough of them."""
        events, heard = trio.open_memory_channel[ASGIReceiveEvent](config.max_app_queue_size)

        async def put(event: ASGIReceiveEvent) -> None:
            try:
                events.send_nowait(event)
            except trio.WouldBlock:
                await events.send(event)

        async def receive() -> ASGIReceiveEvent:
            try:
                return heard.receive_nowait()
            except trio.WouldBlock:
                return await heard.receive()

        self.spawn(_handle, app, config, scope, receive, send, trio.to_thread.run_sync, trio.from_thread.run)
        return put
