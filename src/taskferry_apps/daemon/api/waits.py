"""Requests that wait: until something has come, or the daemon drains, which nobody holds up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from .table import Call

__all__ = ["while_serving"]


async def while_serving(call: Call, wait: Callable[[], Awaitable[object]]) -> None:
    """Wait, but no longer than the daemon serves and the credential counts. Raises what `wait` raises.

    Waiting takes its time: a credential that was revoked meanwhile is shown nothing more.
    """
    async with trio.open_nursery() as nursery:

        async def end_on_drain() -> None:
            await call.draining.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end_on_drain)
        await wait()
        nursery.cancel_scope.cancel()
    await call.still_known()
