"""Letting the owner's browser in, and putting all of them out."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from ...port import DaemonService
from ..answers import Object
from ..fields import Form, Text, required
from ..kinds import time_text
from ..schemas import NUMBER, OK, TIME, record
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_TO: Final = required("to", Text(256, 1), "The page to open, as /connect/ID.")


async def _invite(daemon: DaemonService, call: Call) -> Object:
    ticket, until = daemon.browsers.invite_browser(call.known_caller, call.body[_TO])
    return {
        "ok": True,
        "path": f"/sign-in?{urlencode({'ticket': ticket})}",
        "expires_at": time_text(until),
    }


async def _put_out(daemon: DaemonService, call: Call) -> Object:
    return {"ok": True, "ended": daemon.browsers.sign_out_everywhere(call.known_caller)}


ROUTES: Final = (
    Route(
        method="POST",
        path="/browser/sign-in",
        name="invite_browser",
        about="A path that lets one browser in, once, within two minutes, and leads to a page.",
        handler=_invite,
        answer=record(
            ok=OK, path={"type": "string", "description": "With a secret, told once."}, expires_at=TIME
        ),
        access=Access.OWNER,
        body=Form.of(_TO),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="DELETE",
        path="/browser/sessions",
        name="sign_out_everywhere",
        about="End every browser's session, and every path that would let one in.",
        handler=_put_out,
        answer=record(ok=OK, ended=NUMBER),
        access=Access.OWNER,
    ),
)
