"""`/connect/LINK`: whom an invite leads to, and the owner's word. Before it nothing is asked of anybody.

Of a new machine's link the page says what it asks for and where that is done, and does no more: a button that
takes a machine in would be pressed by whoever was sent the link of somebody else's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from quart import Response

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import CONTACT_NOTE_BYTES

from ..link_faults import SETUP_LINK
from ..port import DaemonRefusal, DaemonService
from .door import Visitor, press, visit
from .owner import OWNER
from .sheet import Sheet

__all__ = ["Confirm"]

_TRUST: Final = {
    "": "new here; the link says exactly which account it is",
    "pinned": "pinned: known here, exactly this account",
    "verified": "verified: you have compared its safety code",
    "unverified": "known here, not verified; the link says exactly which account it is",
    "changed": "in question: nothing is sent to it before you decide; see: taskferry peer list",
    "own": "your own",
}


class Confirm:
    """The page and its two buttons."""

    def __init__(self, daemon: DaemonService, sheet: Sheet) -> None:
        self._daemon = daemon
        self._sheet = sheet

    async def show(self, link: str) -> Response:
        """Where the link leads."""
        visitor = await visit(self._daemon)
        try:
            held = self._daemon.links.held(OWNER, link)
        except DaemonRefusal as refusal:
            if refusal.code != SETUP_LINK:
                raise
            return await self._ticket(visitor, link)
        if held.kind == "device":
            return self._sheet.render("device.html", visitor=visitor.session, link=held)
        found = await self._daemon.links.look(OWNER, link)
        free = [name for name, state in found.agents if state not in ("accepted", "requested_in")]
        return self._sheet.render(
            "connect.html",
            visitor=visitor.session,
            link=found,
            trust=_TRUST.get(found.trust, found.trust),
            until=_date(found.expires_at),
            free=free,
            note_bytes=CONTACT_NOTE_BYTES,
        )

    async def _ticket(self, visitor: Visitor, link: str) -> Response:
        """A ticket is used where the account is made; the address there names the link, not what it holds."""
        self._daemon.links.ticket(OWNER, link)
        status = await self._daemon.status()
        if not status.set_up:
            return Response("", 303, {"Location": f"/setup?link={quote(link, safe='')}"})
        return self._sheet.render("ticket.html", visitor=visitor.session, owner=status.owner, link=link)

    async def decide(self, link: str) -> Response:
        """The owner's word."""
        visitor, form = await press(self._daemon)
        if form.get("answer") == "leave":
            await self._daemon.links.drop(OWNER, link)
            return self._sheet.render("left.html", visitor=visitor.session)
        note = form.get("note", "").replace("\r\n", "\n")
        if len(note.encode()) > CONTACT_NOTE_BYTES:
            raise DaemonRefusal(
                "bad-value", f"The note is longer than {CONTACT_NOTE_BYTES} bytes.", "Go back and shorten it."
            )
        asked = await self._daemon.links.connect(OWNER, link, form.get("agent", ""), note)
        return self._sheet.render("asked.html", visitor=visitor.session, connection=asked)


def _date(at: Instant) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
