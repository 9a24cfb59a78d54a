"""`/dashboard/settings`: how this daemon runs: the relay, every setting and where it came from, checks."""

from __future__ import annotations

from typing import Final

from quart import Response, request

from ...shown_settings import shown_settings
from .desk import Desk
from .owner import OWNER
from .page import Needs, Page

__all__ = ["PAGES"]

_PLACE: Final = "/dashboard/settings"


async def _settings(desk: Desk) -> Response:
    visitor = await desk.visit()
    settings = desk.settings
    return await desk.show(
        "settings.html",
        visitor,
        shown=shown_settings(settings),
        database=settings.database,
        data=settings.data,
        authorities=settings.relay_ca,
        address="{}:{}".format(*settings.addr),
    )


async def _checks(desk: Desk) -> Response:
    visitor = await desk.visit()
    if request.headers.get("HX-Request") == "true":
        # It reads the whole database: once for each time that the owner asks.
        return Response("", 204)
    return await desk.show("checks.html", visitor, findings=await desk.daemon.doctor.examine(OWNER))


PAGES: Final = (
    Page("GET", _PLACE, _settings, Needs.NOTHING),
    Page("GET", f"{_PLACE}/checks", _checks, Needs.NOTHING),
)
