"""The sign-up pages, and the same for programs: `/signup` and `/v1/signup`."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Final

from quart import Response, jsonify, request
from quart_trio import QuartTrio

from taskferry_stores.port import StoreFull

from ..limits import USUAL
from ..sign_up_desk import Issued, Offer, SignUpDesk, SignUpRefused
from . import Pages

__all__ = ["BODY_BYTES", "SIGN_UP_PATHS", "mount_sign_up"]

BODY_BYTES: Final = USUAL.form_bytes
#: Where bodies are no larger than that.
SIGN_UP_PATHS: Final = ("/signup", "/v1/signup")


def mount_sign_up(app: QuartTrio, pages: Pages, desk: SignUpDesk) -> None:
    """Serve the pages of `desk`."""
    pages.show_always(
        sign_up_here=desk.offer.is_here,
        sign_up_closed=desk.offer is Offer.NONE,
        by_mail=desk.offer is Offer.BY_MAIL,
    )

    @app.get("/signup")
    async def sign_up_form() -> Response:
        return pages.render("signup.html", owner="", email="", problem=None)

    @app.post("/signup")
    async def sign_up() -> Response:
        form = await request.form
        owner, email = form.get("owner", ""), form.get("email", "")
        try:
            _require_own_page(pages)
            issued = await _apply(desk, owner, email)
        except SignUpRefused as refused:
            page = pages.render(
                "signup.html", status=refused.status, owner=owner, email=email, problem=refused
            )
            return _later(page, refused)
        if issued is None:
            return pages.render("signup_sent.html", status=202)
        return _ticket_page(pages, issued)

    @app.get("/signup/confirm/<code>")
    async def confirm_form(code: str) -> Response:
        # Programs that look into mails open every link: only the button behind this page uses it up.
        held = await desk.application(code)
        if held is None:
            return pages.fault(404, "This link is over", "It was used already, or its hour is past.")
        return pages.render("signup_confirm.html", code=code, owner=held.name, problem=None)

    @app.post("/signup/confirm/<code>")
    async def confirm(code: str) -> Response:
        owner = (await request.form).get("owner", "")
        try:
            _require_own_page(pages)
            issued = await _confirm(desk, code, owner)
        except SignUpRefused as refused:
            if refused.code == "unknown-code":
                return pages.fault(404, "This link is over", "It was used already, or its hour is past.")
            page = pages.render(
                "signup_confirm.html", status=refused.status, code=code, owner=owner, problem=refused
            )
            return _later(page, refused)
        return _ticket_page(pages, issued)

    @app.post("/v1/signup")
    async def sign_up_json() -> Response:
        try:
            body = await _json_body("owner", "email")
            issued = await _apply(desk, body["owner"], body["email"])
        except SignUpRefused as refused:
            return _refused_json(refused)
        if issued is None:
            return _json({"ok": True, "state": "mail-coming"}, 202)
        return _issued_json(issued)

    @app.post("/v1/signup/confirm")
    async def confirm_json() -> Response:
        try:
            body = await _json_body("code", "owner")
            issued = await _confirm(desk, body["code"], body["owner"])
        except SignUpRefused as refused:
            return _refused_json(refused)
        return _issued_json(issued)


async def _apply(desk: SignUpDesk, owner: str, email: str) -> Issued | None:
    try:
        # The server has put the address there, which is a proxy's word only where the operator trusts it.
        return await desk.apply(owner, email, request.headers["Remote-Addr"])
    except StoreFull as full:
        raise _full() from full


async def _confirm(desk: SignUpDesk, code: str, owner: str) -> Issued:
    try:
        return await desk.confirm(code, owner)
    except StoreFull as full:
        raise _full() from full


def _full() -> SignUpRefused:
    return SignUpRefused(
        "storage", "The relay's disk is full; nothing of this was kept.", "Tell its operator.", 503
    )


def _require_own_page(pages: Pages) -> None:
    """Refuse a form that another site's page sent, in the name of whoever visits it."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        # Browsers too old to name the site say `null` of our own forms, since our pages send no referrer.
        own = origin in (None, "null", pages.address.origin)
    if not own:
        raise SignUpRefused(
            "bad-origin", "Another site's page sent this.", "Fill in the form on this page.", 403
        )


async def _json_body(*fields: str) -> dict[str, str]:
    """The named members of a JSON object, each a text, "" where it is left out. Raises SignUpRefused."""
    if request.mimetype != "application/json":
        # A form of another site cannot send this type without asking first.
        raise SignUpRefused(
            "unsupported-media", "The body must be JSON.", "Send Content-Type: application/json.", 415
        )
    try:
        value = json.loads(await request.get_data())
    except (ValueError, RecursionError) as error:
        raise SignUpRefused("malformed", "The body is not JSON.", "Send one JSON object.") from error
    if not isinstance(value, dict):
        raise SignUpRefused("wrong-type", "The body is not a JSON object.", "Send one JSON object.")
    unknown = sorted(set(value) - set(fields))
    if unknown or not all(isinstance(member, str) for member in value.values()):
        raise SignUpRefused(
            "bad-value", f"The fields are {' and '.join(fields)}, each a text.", "Send these alone."
        )
    return {field: value.get(field, "") for field in fields}


def _ticket_page(pages: Pages, issued: Issued) -> Response:
    return pages.render(
        "signup_ticket.html", issued=issued, until=_time(issued).strftime("%-d %B, %H:%M UTC")
    )


def _issued_json(issued: Issued) -> Response:
    return _json(
        {
            "ok": True,
            "state": "ticket",
            "owner": issued.owner,
            "ticket": issued.ticket,
            "link": issued.link,
            "command": issued.command,
            "expires_at": _time(issued).isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
        201,
    )


def _time(issued: Issued) -> datetime:
    return datetime.fromtimestamp(issued.expires_at / 1000, UTC)


def _refused_json(refused: SignUpRefused) -> Response:
    error = {"code": refused.code, "message": refused.message, "next": refused.next_step}
    return _later(_json({"ok": False, "error": error}, refused.status), refused)


def _json(value: object, status: int) -> Response:
    response = jsonify(value)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def _later(response: Response, refused: SignUpRefused) -> Response:
    if refused.retry_after_ms:
        response.headers["Retry-After"] = str(math.ceil(refused.retry_after_ms / 1000))
    return response
