"""What a page is: one row says where it is served and what makes it, as a route is in the API's table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING

import attrs
from quart import Response

if TYPE_CHECKING:
    from .desk import Desk

__all__ = ["Needs", "Page", "View"]

View = Callable[..., Awaitable[Response]]
"""Called with the desk and the variable parts of the path, by name."""


class Needs(Enum):
    """What a page is about. Without an account, pages that need one lead to where one is made."""

    ACCOUNT = "account"
    NOTHING = "nothing"


@attrs.frozen
class Page:
    """`rule` is written as Quart writes it. A GET changes nothing; a POST is a button: see `Desk.press`."""

    method: str
    rule: str
    view: Callable[..., Awaitable[Response]] = attrs.field(repr=False)
    needs: Needs = Needs.ACCOUNT

    async def answer(self, desk: Desk, **path: str) -> Response:
        """Make the page. Raises DaemonRefusal."""
        return await self.view(desk, **path)
