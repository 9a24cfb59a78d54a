"""The daemon's pages for its owner's browser: templates and files of this package, none from elsewhere.

`door` says who sees them, `desk` what they are made with; each subject has a module with its rows, and
`PAGES` is every path beside the API's table. They need no JavaScript: it only keeps them up to date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ...page_kit import asset_of, environment_of
from ...settings import DaemonSettings
from ..lasting import something_lasts
from ..port import DaemonRefusal, DaemonService
from . import (
    acting,
    agents,
    asking,
    audit,
    connections,
    devices,
    invites,
    messages,
    overview,
    peers,
    programs,
    rules,
    setting_up,
    task,
    tasks,
    waiting,
)
from . import settings as settings_page
from .confirm import Confirm
from .desk import Desk
from .door import FORM_TOKEN, check_user, cookie_name, press
from .live import live_page
from .owner import OWNER
from .page import Needs, Page
from .sheet import Sheet

__all__ = ["PAGES", "add_pages"]

#: The dashboard, by subject.
_SUBJECTS: Final[tuple[Page, ...]] = (
    *overview.PAGES,
    *waiting.PAGES,
    *tasks.PAGES,
    *asking.PAGES,
    *task.PAGES,
    *acting.PAGES,
    *messages.PAGES,
    *connections.PAGES,
    *peers.PAGES,
    *invites.PAGES,
    *rules.PAGES,
    *agents.PAGES,
    *programs.PAGES,
    *devices.PAGES,
    *audit.PAGES,
    *settings_page.PAGES,
    *setting_up.PAGES,
)

#: The rooms of the dashboard in their order, by the first part of their paths.
_ROOMS: Final = (
    ("", "Overview"),
    ("waiting", "Waiting for you"),
    ("tasks", "Tasks"),
    ("messages", "Messages"),
    ("connections", "Connections"),
    ("agents", "Agents"),
    ("programs", "Programs"),
    ("devices", "Devices"),
    ("audit", "Audit"),
    ("settings", "Settings"),
)

_DOORS: Final = (
    ("GET", "/sign-in"),
    ("POST", "/sign-out"),
    ("GET", "/connect/<link>"),
    ("POST", "/connect/<link>"),
    ("GET", "/assets/<name>"),
    ("GET", "/dashboard/live"),
)
#: Method and path of every page, as the application has them.
PAGES: Final = (*_DOORS, *((page.method, page.rule) for page in _SUBJECTS))

_SCRIPT: Final = "text/javascript; charset=utf-8"
_ASSETS: Final = {
    "pages.css": "text/css; charset=utf-8",
    "mark.svg": "image/svg+xml",
    "htmx.min.js": _SCRIPT,
    "idiomorph-ext.min.js": _SCRIPT,
    "live.js": _SCRIPT,
}

View = Callable[..., Awaitable[Response]]
Refuse = Callable[[Exception], DaemonRefusal]
"""What is said of any error."""


def add_pages(app: QuartTrio, daemon: DaemonService, settings: DaemonSettings, refuse: Refuse) -> None:
    """Serve the pages beside the API, behind the same guard."""
    assets = {name: asset_of(__name__, name) for name in _ASSETS}
    sheet = Sheet(environment_of(__name__))
    sheet.show_always(
        rooms=_ROOMS,
        form_token_field=FORM_TOKEN,
        # A page names the files that belong to it, so that a browser keeps them until there are others.
        mark=hashlib.sha256(b"".join(assets.values())).hexdigest()[:12],
    )
    desk = Desk(daemon, sheet, settings)
    confirm = Confirm(desk)

    async def sign_in() -> Response:
        await check_user()
        let_in = await daemon.browsers.let_in(request.args.get("ticket", ""))
        if let_in is None:
            raise DaemonRefusal(
                "used-link",
                "This way in was used already, or two minutes are over.",
                "Open it again from the command line: taskferry dashboard",
                status=401,
            )
        secret, to = let_in
        # At once to an address without the ticket, so that none stays in the browser's.
        response = Response("", 303, {"Location": to})
        response.set_cookie(cookie_name(), secret, path="/", httponly=True, samesite="Strict")
        return response

    async def sign_out() -> Response:
        visitor, form = await press(daemon)
        if form.get("where") == "everywhere":
            daemon.browsers.sign_out_everywhere(OWNER)
        else:
            daemon.browsers.sign_out(visitor.secret)
        response = sheet.render("signed_out.html")
        response.delete_cookie(cookie_name(), path="/", httponly=True, samesite="Strict")
        return response

    async def asset(name: str) -> Response:
        if name not in assets:
            raise DaemonRefusal("not-found", "There is nothing here.", "Check the address.", status=404)
        response = Response(assets[name], content_type=_ASSETS[name])
        if "v" in request.args:
            response.headers["Cache-Control"] = "private, max-age=604800, immutable"
        return response

    views: dict[tuple[str, str], View] = {
        ("GET", "/sign-in"): sign_in,
        ("POST", "/sign-out"): sign_out,
        ("GET", "/connect/<link>"): confirm.show,
        ("POST", "/connect/<link>"): confirm.decide,
        ("GET", "/assets/<name>"): asset,
    }
    for page in (live_page(), *_SUBJECTS):
        views[page.method, page.rule] = _at_desk(page, desk)
    for (method, rule), view in views.items():
        app.add_url_rule(
            rule,
            endpoint=f"page {method} {rule}",
            view_func=_as_page(method, view, sheet, refuse),
            methods=[method],
            provide_automatic_options=False,
        )


def _at_desk(page: Page, desk: Desk) -> View:
    async def made(**path: str) -> Response:
        if page.needs is Needs.ACCOUNT and not await desk.has_account():
            return Response("", 303, {"Location": "/setup"})
        return await page.answer(desk, **path)

    return made


def _as_page(method: str, view: View, sheet: Sheet, refuse: Refuse) -> View:
    """The view with its refusals, and whatever fails below it, shown as pages."""

    async def shown(**path: str) -> Response:
        if request.method != method:
            # Quart adds HEAD to every GET; but looking at a one-time address uses it up.
            raise MethodNotAllowed(valid_methods=[method])
        try:
            return await view(**path)
        except HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - each is told to whoever looks, as the API does
            return sheet.refusal(refuse(error), partly=something_lasts())

    return shown
