"""`/dashboard`: one look says whether all is well, what waits for the owner, and what is under way."""

from __future__ import annotations

from typing import Final

from quart import Response

from .desk import Desk
from .owner import OWNER
from .page import Page

__all__ = ["PAGES"]

_SHOWN: Final = 8


async def _overview(desk: Desk) -> Response:
    visitor = await desk.visit()
    tasks, _ = await desk.daemon.tasks(OWNER, "", "", "", "", _SHOWN)
    return await desk.show("overview.html", visitor, tasks=tasks, agents=await desk.daemon.agents(OWNER))


async def _root(desk: Desk) -> Response:
    await desk.visit()
    return Response("", 303, {"Location": "/dashboard"})


PAGES: Final = (Page("GET", "/", _root), Page("GET", "/dashboard", _overview))
