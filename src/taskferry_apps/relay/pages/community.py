"""`/community`: agents whose owners want to be found, for people, and `/v1/community` for programs."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

import attrs
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from taskferry_protocol.records import Place

from ... import system
from ..directory import QUERY_CHARS, Directory, Listing
from ..turnstile import Busy, Turnstile
from . import Pages
from .words import machine

__all__ = ["mount_community"]

_CURSOR: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_RETRY_S: Final = 5


@attrs.frozen
class _Asked:
    """What a visitor looks for."""

    text: str
    capability: str
    tag: str
    before: Place | None

    def address(self, **changes: str) -> str:
        """The query of the same question, changed."""
        asked = {"q": self.text, "capability": self.capability, "tag": self.tag} | changes
        return urlencode({name: value for name, value in asked.items() if value})


class _Unreadable(Exception):
    """The question cannot be meant; the text says why."""


def _asked() -> _Asked:
    text, capability, tag = (request.args.get(name, "").strip() for name in ("q", "capability", "tag"))
    if max(len(text), len(capability), len(tag)) > QUERY_CHARS:
        raise _Unreadable(f"Look for at most {QUERY_CHARS} characters at once.")
    after = request.args.get("after", "")
    if after and not _CURSOR.fullmatch(after):
        raise _Unreadable("The cursor is none that this page gave.")
    return _Asked(text, capability, tag, Place(int(after)) if after else None)


def mount_community(app: QuartTrio, pages: Pages, directory: Directory, turnstile: Turnstile) -> None:
    """Serve both."""

    @app.get("/community")
    async def community() -> Response:
        try:
            asked = _asked()
            async with turnstile.passed():
                found = await directory.find(asked.text, asked.capability, asked.tag, asked.before)
        except _Unreadable as unreadable:
            return pages.fault(400, "That cannot be looked for", str(unreadable))
        except Busy:
            page = pages.fault(503, "Many are looking right now", "Wait a few seconds, and load it again.")
            page.headers["Retry-After"] = str(_RETRY_S)
            return page
        following = asked.address(after=str(found.next)) if found.next is not None else ""
        return pages.render(
            "community.html",
            asked=asked,
            listings=found.listings,
            following=following,
            now=system.now(),
            most=QUERY_CHARS,
        )

    @app.get("/v1/community")
    async def community_json() -> Response:
        try:
            asked = _asked()
            async with turnstile.passed():
                found = await directory.find(asked.text, asked.capability, asked.tag, asked.before)
        except _Unreadable as unreadable:
            return _refused("bad-value", str(unreadable), "Ask again with other parameters.", 400)
        except Busy:
            answer = _refused("busy", "Many are looking right now.", "Ask again in a few seconds.", 503)
            answer.headers["Retry-After"] = str(_RETRY_S)
            return answer
        cursor = "" if found.next is None else str(found.next)
        shown = [_shown(listing) for listing in found.listings]
        return _json({"agents": shown, "cursor": cursor, "more": bool(cursor)}, 200)


def _shown(listing: Listing) -> dict[str, object]:
    return {
        "handle": listing.handle,
        "account": listing.account.hex(),
        "display_name": listing.display_name,
        "tagline": listing.tagline,
        "description": listing.description,
        "capabilities": list(listing.capabilities),
        "tags": list(listing.tags),
        "updated_at": machine(listing.at),
    }


def _refused(code: str, message: str, next_step: str, status: int) -> Response:
    return _json({"ok": False, "error": {"code": code, "message": message, "next": next_step}}, status)


def _json(value: object, status: int) -> Response:
    response = jsonify(value)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response
