"""Who may see a page and who may press its buttons: the owner's own browser, from this daemon's pages.

The guard before every route has checked `Host`, `Origin` and `Sec-Fetch-Site`. Here comes what a browser
needs beside: a session that a one-time link began; for buttons an `Origin` that is there, and the form's
token.
"""

from __future__ import annotations

import hmac
import os
import sys
from typing import Final

import attrs
import trio
from quart import request
from quart.datastructures import FileStorage

from ..browser_port import BrowserSession
from ..port import DaemonRefusal, DaemonService
from .socket_owners import owner_of_peer

__all__ = [
    "FILES_FORM_BYTES",
    "FORM_TOKEN",
    "Visitor",
    "check_user",
    "cookie_name",
    "port_served",
    "press",
    "press_with_files",
    "visit",
]

#: The hidden field of every form.
FORM_TOKEN: Final = "form_token"  # noqa: S105 - a field's name
_FORM: Final = "application/x-www-form-urlencoded"
_FORM_WITH_FILES: Final = "multipart/form-data"
#: More than fits into one message; and less than what is kept in memory while it is read.
FILES_FORM_BYTES: Final = 400 * 1024


@attrs.frozen
class Visitor:
    """A browser with a session, the session's secret, and how many changes there were when it came."""

    session: BrowserSession
    secret: str = attrs.field(repr=False)
    changes: int


def port_served() -> int:
    """The port that the request under way came in by."""
    server = request.scope.get("server")
    return int(server[1]) if server is not None and server[1] is not None else 0


def cookie_name() -> str:
    """One for each port: daemons on one machine share the browser's cookies."""
    return f"taskferry_{port_served()}"


async def check_user() -> None:
    """Nothing if the browser may be this user's. Raises DaemonRefusal(another-user)."""
    client, server = request.scope.get("client"), request.scope.get("server")
    if client is None or not hasattr(os, "getuid") or not isinstance(client[1], int):
        return
    here = (str(server[0]), port_served()) if server is not None else ("", 0)
    owner = await trio.to_thread.run_sync(owner_of_peer, (client[0], client[1]), here)
    # Where the system tells, a connection of which it does not is none of a browser that waits.
    untold = owner is None and sys.platform != "linux"
    if not untold and owner != os.getuid():
        raise DaemonRefusal(
            "another-user",
            "This browser runs as another user of this machine than the daemon.",
            "Open the page as the user that the daemon runs as.",
            status=403,
        )


async def visit(daemon: DaemonService) -> Visitor:
    """Who looks at a page. Raises DaemonRefusal: another-user, signed-out."""
    await check_user()
    secret = request.cookies.get(cookie_name(), "")
    session = daemon.browsers.session(secret) if secret else None
    if session is None:
        raise DaemonRefusal(
            "signed-out",
            "This browser is not signed in, or no longer.",
            "Open the link again from the command line: taskferry open"
            if request.path.startswith("/connect/")
            else "Come in again from the command line: taskferry dashboard",
            status=401,
        )
    # Counted before anything is looked at: what changes while a page is made, or before it follows, is told.
    return Visitor(session, secret, daemon.browsers.changes)


async def press(daemon: DaemonService) -> tuple[Visitor, dict[str, str]]:
    """Who presses a button, and the form's fields.

    Raises DaemonRefusal: another-user, signed-out, bad-origin.
    """
    _check_page()
    await visit(daemon)
    _check_media(_FORM)
    form = (await request.form).to_dict()
    return await _presser(daemon, form), form


async def press_with_files(daemon: DaemonService) -> tuple[Visitor, dict[str, str], list[FileStorage]]:
    """The same of a form that brings files, which are all those that were chosen.

    Raises DaemonRefusal: another-user, signed-out, bad-origin, too-large.
    """
    _check_page()
    await visit(daemon)
    _check_media(_FORM_WITH_FILES)
    # Looked at before anything is read: what is larger would be laid on the disk while it comes.
    if request.content_length is None or request.content_length > FILES_FORM_BYTES:
        raise DaemonRefusal(
            "too-large",
            f"That is more than the {FILES_FORM_BYTES // 1024} KiB that one form may bring.",
            "Go back, and choose smaller files.",
            status=413,
        )
    form = (await request.form).to_dict()
    visitor = await _presser(daemon, form)
    chosen = [file for found in (await request.files).listvalues() for file in found if file.filename]
    return visitor, form, chosen


def _check_page() -> None:
    if (
        "Origin" not in request.headers
        or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin"
    ):
        raise _not_from_here()


def _check_media(media: str) -> None:
    if request.mimetype != media:
        raise _not_from_here()


async def _presser(daemon: DaemonService, form: dict[str, str]) -> Visitor:
    """Who has sent the form: it took as long to come as its sender liked, and the session may be over."""
    visitor = await visit(daemon)
    shown = form.pop(FORM_TOKEN, "")
    if not hmac.compare_digest(shown.encode(), visitor.session.form_token.encode()):
        raise _not_from_here()
    return visitor


def _not_from_here() -> DaemonRefusal:
    return DaemonRefusal(
        "bad-origin",
        "That button was not on a page of this daemon, or the page is an old one.",
        "Load the page again, and press it there.",
        status=403,
    )
