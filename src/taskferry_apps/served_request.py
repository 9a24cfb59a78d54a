"""One HTTP request in Quart: worked on where it came in, with one task beside it that hears the peer go."""

from __future__ import annotations

from typing import Any

import trio
from quart_trio.asgi import TrioASGIHTTPConnection

__all__ = ["ServedRequest"]


class ServedRequest(TrioASGIHTTPConnection):
    """As quart-trio's, which starts two tasks, and so waits for one more turn of the event loop."""

    async def __call__(self, receive: Any, send: Any) -> None:
        """Serve it to its end, or until the peer has gone."""
        request = self._create_request_from_scope(send)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.handle_messages, nursery, request, receive)
            await self.handle_request(nursery, request, send)
