"""The operator's pages behind one door: where a page is asked for, who asks, and whose button was pressed."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
from quart import Response, request
from werkzeug.exceptions import MethodNotAllowed

from taskferry_stores.port import StoreFull

from ..account_office import NoAccount
from ..ops_door import OpsDoor, OpsSession, Standpoint, is_own_button, standpoint_of
from ..turnstile import Busy
from . import Pages
from .numbers import approach_of_request

__all__ = ["FORM_TOKEN", "OpsGuard", "View", "Visitor"]

#: The hidden field of every form.
FORM_TOKEN: Final = "form_token"  # noqa: S105 - a field's name
_FORM: Final = "application/x-www-form-urlencoded"
_RETRY_S: Final = 5


@attrs.frozen
class Visitor:
    """The operator's browser: from where it looks, its session, and the session's secret."""

    standpoint: Standpoint
    session: OpsSession
    secret: str = attrs.field(repr=False)


View = Callable[..., Awaitable[Response]]


class OpsGuard:
    """Shows pages to whom they are for, and explains to anybody else how to get there."""

    def __init__(self, pages: Pages, door: OpsDoor) -> None:
        self._pages = pages
        self.door: Final = door

    def render(self, visitor: Visitor, template: str, *, status: int = 200, **values: object) -> Response:
        """A page for the operator."""
        return self._page(
            visitor.standpoint,
            template,
            status,
            form_token=visitor.session.form_token,
            form_token_field=FORM_TOKEN,
            **values,
        )

    def fault(self, visitor: Visitor, status: int, title: str, text: str) -> Response:
        """What went wrong, and what to do, on a page that leads back."""
        return self.render(visitor, "ops_fault.html", status=status, title=title, text=text, here="")

    def link(self, standpoint: Standpoint, path: str) -> str:
        """The address of one of these pages, as it is reached from there."""
        return self._base(standpoint) + path

    def _base(self, standpoint: Standpoint) -> str:
        # On this machine nothing stands before the relay's own paths.
        return self._pages.address.path if standpoint.origin == self.door.policy.origin else ""

    def _page(self, standpoint: Standpoint, template: str, status: int, **values: object) -> Response:
        page = self._pages.render(template, status=status, **{"base": self._base(standpoint), **values})
        # With `no-referrer` browsers say `Origin: null` on this page's own forms.
        page.headers["Referrer-Policy"] = "same-origin"
        return page

    def _elsewhere(self) -> Response:
        return self._pages.render("ops_elsewhere.html", status=403, origin=self.door.policy.origin)

    def _signed_out(self, standpoint: Standpoint, status: int, used: str) -> Response:
        return self._page(standpoint, "ops_signed_out.html", status, used=used)

    # --- views

    def door_view(self) -> View:
        """The view of a one-time link: uses it up, and leads on to an address without it."""

        async def sign_in() -> Response:
            standpoint = standpoint_of(approach_of_request(), self.door.policy)
            if standpoint is None:
                return self._elsewhere()
            if request.method != "GET":
                # Quart adds HEAD to every GET; but looking at a one-time address uses it up.
                raise MethodNotAllowed(valid_methods=["GET"])
            try:
                secret = await self.door.let_in(request.args.get("ticket", ""))
            except StoreFull:
                return self._pages.fault(
                    503, "The disk is full", "The link was not used up. Free space where the database is."
                )
            if secret is None:
                return self._signed_out(
                    standpoint, 401, "That link was used already, or two minutes are over."
                )
            response = Response("", 303, {"Location": self.link(standpoint, "/ops")})
            response.headers["Cache-Control"] = "no-store"
            response.set_cookie(
                standpoint.cookie,
                secret,
                path="/",
                httponly=True,
                samesite="Strict",
                secure=standpoint.secure,
            )
            return response

        return sign_in

    def look(self, view: Callable[..., Awaitable[Response]]) -> View:
        """A page that changes nothing; `view` is called with the visitor first."""

        async def shown(**path: str) -> Response:
            standpoint = standpoint_of(approach_of_request(), self.door.policy)
            if standpoint is None:
                return self._elsewhere()
            visitor = self._visitor(standpoint)
            if visitor is None:
                return self._signed_out(standpoint, 401, "")
            return await self._guarded(view, visitor, path)

        return shown

    def press(self, view: Callable[..., Awaitable[Response]]) -> View:
        """What a button does; `view` is called with the visitor and the form's fields."""

        async def pressed(**path: str) -> Response:
            approach = approach_of_request()
            standpoint = standpoint_of(approach, self.door.policy)
            if standpoint is None:
                return self._elsewhere()
            visitor = self._visitor(standpoint)
            if visitor is None:
                return self._signed_out(standpoint, 401, "")
            if not is_own_button(approach, standpoint) or request.mimetype != _FORM:
                return self._not_from_here(visitor)
            form = (await request.form).to_dict()
            # It took as long to come as its sender liked: the session may be over by now.
            visitor = self._visitor(standpoint)
            if visitor is None:
                return self._signed_out(standpoint, 401, "")
            token = form.pop(FORM_TOKEN, "")
            if not hmac.compare_digest(token.encode(), visitor.session.form_token.encode()):
                return self._not_from_here(visitor)
            return await self._guarded(view, visitor, {**path, "form": form})

        return pressed

    async def _guarded(
        self, view: Callable[..., Awaitable[Response]], visitor: Visitor, path: Mapping[str, object]
    ) -> Response:
        try:
            return await view(visitor, **path)
        except NoAccount:
            return self.fault(
                visitor, 404, "There is no such account here", "Look for it by name in the list of accounts."
            )
        except StoreFull:
            return self.fault(
                visitor, 503, "The disk is full", "Nothing was changed. Free space where the database is."
            )
        except Busy:
            page = self.fault(
                visitor, 503, "Many are looking right now", "Wait a few seconds, and load it again."
            )
            page.headers["Retry-After"] = str(_RETRY_S)
            return page

    def _visitor(self, standpoint: Standpoint) -> Visitor | None:
        secret = request.cookies.get(standpoint.cookie, "")
        session = self.door.session(secret)
        return None if session is None else Visitor(standpoint, session, secret)

    def _not_from_here(self, visitor: Visitor) -> Response:
        return self.fault(
            visitor,
            403,
            "That button was not on a page of this relay",
            "Nothing was changed. Load the page again, and press it there.",
        )
