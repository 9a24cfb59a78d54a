"""The document that describes the others."""

from __future__ import annotations

from ...port import DaemonService
from ..answers import Object
from ..openapi import describe
from ..table import Access, Call, Route

__all__ = ["document_route"]


def document_route(others: tuple[Route, ...]) -> Route:
    """`GET /openapi.json`, describing the other routes and itself."""

    async def openapi(daemon: DaemonService, call: Call) -> Object:
        return describe((*others, route), (await daemon.status()).version)

    route = Route(
        method="GET",
        path="/openapi.json",
        name="openapi",
        about="This document.",
        handler=openapi,
        answer={"type": "object"},
        access=Access.ANYBODY,
    )
    return route
