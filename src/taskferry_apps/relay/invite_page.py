"""`/invite/CODE`: who invites to what, for whoever was given a link. What opens it never comes here."""

from __future__ import annotations

from typing import Final

from quart import Response
from quart_trio import QuartTrio

from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import fingerprint
from taskferry_protocol.invites import invite_code, read_invite_code

from ..page_kit.words import exact
from .invites import Invites
from .pages import Pages
from .turnstile import Busy

__all__ = ["add_invite_page"]

_GONE = (
    "There is no such invite here",
    "It was withdrawn, is over, or the address is not complete. Ask whoever invited you for a new link.",
)
#: When whoever came while the inviter's log may not be read is to load the page again.
_RETRY_S: Final = 10


def add_invite_page(app: QuartTrio, invites: Invites, pages: Pages) -> None:
    """Serve the page. It says the same of an invite that is over as of one that never was."""

    @app.get("/invite/<code>")
    async def invite(code: str) -> Response:
        try:
            found = await invites.show(read_invite_code(code))
        except RemoteProtocolError:
            found = None
        except Busy:
            page = pages.fault(503, "Many are looking right now", "Wait a few seconds, and load it again.")
            page.headers["Retry-After"] = str(_RETRY_S)
            return page
        if found is None:
            return pages.fault(404, *_GONE)
        return pages.render(
            "invite.html",
            invitation=found,
            fingerprint=fingerprint(found.account),
            until=exact(found.expires_at),
            link=f"taskferry://{pages.address.authority}/invite/{invite_code(found.id)}",
        )
