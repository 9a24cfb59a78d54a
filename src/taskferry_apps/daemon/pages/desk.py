"""What every page of the dashboard is made with: who looks, who presses, and the frame around what is shown.

A view asks the daemon through its port, as the owner, and hands plain values to a template. A button does one
thing, then leads back to a page with a line that says what it did, so that loading again repeats nothing.
"""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import quote

import attrs
from quart import Response, g, request

from taskferry_protocol.messages import Part

from ...settings import DaemonSettings
from ...system import entropy
from ..port import DaemonRefusal, DaemonService
from ..views import Status
from .door import Visitor, press, press_with_files, visit
from .once import Once
from .proofs import Proofs
from .sheet import Sheet
from .standing import standing
from .uploads import part_of_file

__all__ = ["Desk", "Pressed"]

_PLACE_CHARS: Final = 512
#: Rooms that are part of another one, in the ways to all rooms.
_PART_OF: Final = dict.fromkeys(("peers", "invites", "rules"), "connections")


@attrs.frozen
class Pressed:
    """A button that was pressed: who, and the form's fields."""

    visitor: Visitor
    form: dict[str, str]
    files: tuple[Part, ...] = ()

    def text(self, name: str, most: int) -> str:
        """A field's text with plain line breaks; "" if it is not there. Raises DaemonRefusal(bad-value)."""
        text = self.form.get(name, "").replace("\r\n", "\n")
        if len(text.encode()) > most:
            raise DaemonRefusal(
                "bad-value",
                f"That is longer than {most} bytes.",
                "Go back and shorten it.",
                detail={"field": name},
            )
        return text


@attrs.frozen
class Desk:
    """The daemon behind the pages, the templates, how it was set to run, and what is shown once."""

    daemon: DaemonService
    sheet: Sheet
    settings: DaemonSettings
    once: Once = attrs.field(factory=Once)
    proofs: Proofs = attrs.field(factory=lambda: Proofs(entropy))
    """Which browser was asked for which words of the recovery phrase."""

    async def has_account(self) -> bool:
        """Whether this machine is set up, told to whoever may look. Raises DaemonRefusal as `visit` does."""
        await self.visit()
        return (await self.status()).set_up

    async def status(self) -> Status:
        """How things stand: asked once for all of a page, and anew by a button, which may have changed it."""
        if request.method != "GET":
            return await self.daemon.status()
        if "status" not in g:
            g.status = await self.daemon.status()
        return cast(Status, g.status)

    async def visit(self) -> Visitor:
        """Who looks. Raises DaemonRefusal: another-user, signed-out."""
        return await visit(self.daemon)

    async def press(self) -> Pressed:
        """Who presses a button of ours. Raises DaemonRefusal: another-user, signed-out, bad-origin."""
        return Pressed(*await press(self.daemon))

    async def press_with_files(self) -> Pressed:
        """The same of a form that may bring files. Raises DaemonRefusal: bad-value, too-large, too."""
        visitor, form, chosen = await press_with_files(self.daemon)
        return Pressed(visitor, form, tuple(map(part_of_file, chosen)))

    async def show(self, template: str, visitor: Visitor, *, status: int = 200, **values: object) -> Response:
        """A page in the frame: with the ways to all others, what waits, and the line that a button left."""
        frame = await self._frame(visitor)
        return self.sheet.render(template, status=status, is_live=True, **{**frame, **values})

    async def show_still(self, template: str, visitor: Visitor, **values: object) -> Response:
        """The same without any script: a page that somebody else's link leads to."""
        frame = await self._frame(visitor)
        return self.sheet.render(template, **{**frame, "section": "connections", **values})

    async def _frame(self, visitor: Visitor) -> dict[str, Any]:
        room = request.path.removeprefix("/dashboard").strip("/").partition("/")[0]
        # A page that reloads its own middle keeps the line that it shows.
        is_reload = request.headers.get("HX-Request") == "true"
        return {
            "visitor": visitor.session,
            "as_of": visitor.changes,
            "notice": "" if is_reload else self.daemon.browsers.take_notice(visitor.secret),
            "here": request.full_path.rstrip("?"),
            # The answer to a form holds what was typed: no other page takes its place by itself.
            "follows": request.method == "GET",
            "section": _PART_OF.get(room, room),
            "standing": standing(await self.status()),
        }

    def done(self, pressed: Pressed, notice: str, to: str) -> Response:
        """Lead on to the page `to`, which begins with a line that says what was done."""
        self.daemon.browsers.leave_notice(pressed.visitor.secret, notice)
        return Response("", 303, {"Location": quote(to, safe="/?=&%+-._~")[:_PLACE_CHARS]})
