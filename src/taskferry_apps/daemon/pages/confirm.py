"""`/connect/LINK`: whom an invite leads to, and the owner's word. Before it nothing is asked of anybody.

Of a new machine's link the page says what it asks for and where that is done, and does no more: a button that
takes a machine in would be pressed by whoever was sent the link of somebody else's.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from quart import Response

from taskferry_protocol.limits import CONTACT_NOTE_BYTES

from ...page_kit.words import exact
from ..link_faults import SETUP_LINK
from ..port import DaemonRefusal
from .desk import Desk
from .door import Visitor
from .owner import OWNER

__all__ = ["Confirm"]

_TRUST: Final = {
    "": "new here; the link says exactly which account it is",
    "pinned": "pinned: known here, exactly this account",
    "verified": "verified: you have compared its safety code",
    "unverified": "unverified: known here; the link says exactly which account it is",
    "changed": "changed: its identity is in question, and nothing is sent to it until you decide; see Peers",
    "own": "your own",
}


class Confirm:
    """The page and its two buttons."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._daemon = desk.daemon

    async def show(self, link: str) -> Response:
        """Where the link leads."""
        visitor = await self._desk.visit()
        try:
            held = self._daemon.links.held(OWNER, link)
        except DaemonRefusal as refusal:
            if refusal.code != SETUP_LINK:
                raise
            return await self._ticket(visitor, link)
        if held.kind == "device":
            return await self._desk.show_still("device.html", visitor, link=held)
        found = await self._daemon.links.look(OWNER, link)
        free = [name for name, state in found.agents if state not in ("accepted", "requested_in")]
        return await self._desk.show_still(
            "connect.html",
            visitor,
            link=found,
            trust=_TRUST.get(found.trust, found.trust),
            until=exact(found.expires_at),
            free=free,
            note_bytes=CONTACT_NOTE_BYTES,
        )

    async def _ticket(self, visitor: Visitor, link: str) -> Response:
        """A ticket is used where the account is made; the address there names the link, not what it holds."""
        self._daemon.links.ticket(OWNER, link)
        status = await self._daemon.status()
        if not status.set_up:
            return Response("", 303, {"Location": f"/setup?link={quote(link, safe='')}"})
        return await self._desk.show_still("ticket.html", visitor, owner=status.owner, link=link)

    async def decide(self, link: str) -> Response:
        """The owner's word."""
        pressed = await self._desk.press()
        if pressed.form.get("answer") == "leave":
            await self._daemon.links.drop(OWNER, link)
            return await self._desk.show_still("left.html", pressed.visitor)
        note = pressed.text("note", CONTACT_NOTE_BYTES)
        asked = await self._daemon.links.connect(OWNER, link, pressed.form.get("agent", ""), note)
        return await self._desk.show_still("asked.html", pressed.visitor, connection=asked)
