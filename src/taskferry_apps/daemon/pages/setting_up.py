"""`/setup`: the way to an account on a machine that has none: a new one, or as one more of the owner's.

The ticket that a link holds stays with the daemon: addresses and forms name the link by an id. The recovery
phrase stands on the one answer that made the account; then two of its words are asked for. Whoever loads that
answer again, or asks for its address, is told that it was shown, and what helps.
"""

from __future__ import annotations

from typing import Final

import attrs
from quart import Response, request

from taskferry_protocol.ids import is_name
from taskferry_protocol.tickets import is_ticket

from ...setup_place import PlaceFault, place_of, relay_of
from ..port import DaemonRefusal
from ..relay_names import url_problem
from .choices import unknown_button
from .desk import Desk, Pressed
from .devices import confirm_words
from .door import Visitor
from .owner import OWNER
from .page import Needs, Page

__all__ = ["PAGES"]

_FORM: Final = "/dashboard/setup"
_JOINING: Final = "/setup/link"
_TEXT_BYTES: Final = 512
_LABEL_BYTES: Final = 64


@attrs.frozen
class _Wanted:
    """The form as it was filled in. `link` is the id of a link that was opened, which holds the ticket."""

    owner: str = ""
    relay: str = ""
    label: str = ""
    ticket: str = attrs.field(default="", repr=False)
    link: str = ""


async def _show(desk: Desk) -> Response:
    visitor = await desk.visit()
    status = await desk.status()
    if status.relay is not None and status.relay.connected:
        return Response("", 303, {"Location": "/dashboard"})
    relay = status.relay.url if status.relay is not None else desk.settings.relay or ""
    wanted = _Wanted(status.owner if status.set_up else "", relay, link=request.args.get("link", ""))
    problem: DaemonRefusal | None = None
    if wanted.link:
        try:
            wanted = attrs.evolve(wanted, relay=relay_of(desk.daemon.links.ticket(OWNER, wanted.link)))
        except DaemonRefusal as refused:
            wanted, problem = attrs.evolve(wanted, link=""), refused
    return await _form(desk, visitor, wanted, problem)


async def _form(desk: Desk, visitor: Visitor, wanted: _Wanted, problem: DaemonRefusal | None) -> Response:
    """The form, kept as it was filled in, with what was wrong with it."""
    return desk.sheet.render(
        "setup.html",
        visitor=visitor.session,
        status=problem.status if problem is not None and request.method == "POST" else 200,
        wanted=wanted,
        problem=problem,
        standing=await desk.status(),
        action=_FORM,
    )


async def _set_up(desk: Desk) -> Response:
    pressed = await desk.press()
    wanted = _Wanted(
        owner=pressed.text("owner", _TEXT_BYTES).strip().removeprefix("@"),
        relay=pressed.text("relay", _TEXT_BYTES).strip().rstrip("/"),
        label=pressed.text("label", _TEXT_BYTES).strip(),
        ticket=pressed.text("ticket", _TEXT_BYTES).strip(),
        link=pressed.text("link", _LABEL_BYTES),
    )
    daemon = desk.daemon
    try:
        relay, ticket = _place(desk, wanted)
        _check(wanted, relay, ticket)
        made = await daemon.set_up(OWNER, wanted.owner, relay, wanted.label, ticket)
    except DaemonRefusal as refused:
        if refused.code == "conflict" and await _is_made(desk, pressed.visitor):
            return await _gone(desk, pressed.visitor, refused.status)
        return await _form(desk, pressed.visitor, wanted, refused)
    if wanted.link:
        await daemon.links.drop(OWNER, wanted.link)
    if not made.recovery_key:
        return desk.done(pressed, f"The account is @{made.owner} now.", "/dashboard")
    status = await daemon.status()
    # On the answer itself: no address leads here, and loading it again finds an account that is there.
    return desk.sheet.render(
        "phrase.html",
        visitor=pressed.visitor.session,
        owner=made.owner,
        claimed=made.name_claimed,
        trouble=status.relay.last_error if status.relay is not None else "",
        words=made.recovery_key.split(),
        places=desk.proofs.ask(pressed.visitor.secret, made.recovery_key),
        problem="",
    )


def _place(desk: Desk, wanted: _Wanted) -> tuple[str, str]:
    """The relay and the ticket that are meant. Raises DaemonRefusal."""
    if wanted.link:
        link = desk.daemon.links.ticket(OWNER, wanted.link)
        return relay_of(link), link.ticket
    try:
        return place_of(wanted.ticket, wanted.relay)
    except PlaceFault as fault:
        steps = {
            "none": "Give its address, such as https://relay.example, or paste a link that names it.",
            "other": "Leave the address out, or mend it.",
        }
        text = f"{str(fault).rstrip('.')}."
        step = steps.get(fault.kind, "Copy the whole link again.")
        raise DaemonRefusal("bad-value", text, step, detail={"field": "ticket"}) from fault


def _check(wanted: _Wanted, relay: str, ticket: str) -> None:
    """Refuse what cannot work before it costs anything. Raises DaemonRefusal(bad-value)."""
    if not is_name(wanted.owner):
        raise _bad(
            "owner",
            "A name is 1 to 32 of a-z, 0-9, _ and -, and starts with a letter or digit.",
            "Choose another name.",
        )
    if problem := url_problem(relay):
        raise _bad("relay", problem, "Mend the address.")
    if ticket and not is_ticket(ticket):
        raise _bad("ticket", "That is no ticket.", "Copy it again, whole and without spaces.")
    if len(wanted.label.encode()) > _LABEL_BYTES:
        raise _bad("label", f"A label has {_LABEL_BYTES} bytes at most.", "Shorten it.")


def _bad(field: str, text: str, step: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", text, step, detail={"field": field})


async def _is_made(desk: Desk, visitor: Visitor) -> bool:
    """Whether there is an account of which this browser was shown the phrase, or that the relay has taken."""
    status = await desk.status()
    is_taken = status.relay is not None and status.relay.connected
    return status.set_up and (is_taken or desk.proofs.places(visitor.secret) is not None)


async def _gone(desk: Desk, visitor: Visitor, code: int = 200) -> Response:
    return desk.sheet.render(
        "phrase_gone.html",
        status=code,
        visitor=visitor.session,
        owner=(await desk.status()).owner,
        written_at=(await desk.daemon.recovery.standing(OWNER)).written_at,
        places=desk.proofs.places(visitor.secret),
    )


async def _again(desk: Desk) -> Response:
    """The address of a form whose answer was the phrase."""
    visitor = await desk.visit()
    if not (await desk.status()).set_up:
        return Response("", 303, {"Location": "/setup"})
    return await _gone(desk, visitor)


async def _prove(desk: Desk) -> Response:
    pressed = await desk.press()
    secret = pressed.visitor.secret
    if desk.proofs.check(secret, pressed.text("first", _LABEL_BYTES), pressed.text("second", _LABEL_BYTES)):
        await desk.daemon.recovery.note_written(OWNER)
        return desk.done(
            pressed, "You have the recovery phrase. Keep it away from this machine.", "/dashboard"
        )
    places = desk.proofs.places(secret)
    if places is None:
        return desk.done(
            pressed,
            "Nothing is asked for any more. Check what you wrote down with: taskferry recovery check",
            "/dashboard/devices",
        )
    status = await desk.status()
    return desk.sheet.render(
        "phrase.html",
        status=409,
        visitor=pressed.visitor.session,
        owner=status.owner,
        claimed=True,
        trouble="",
        words=(),
        places=places,
        problem="Those are not the words with these numbers.",
    )


# --- As one more of the owner's machines


async def _joining(desk: Desk) -> Response:
    visitor = await desk.visit()
    link = await desk.daemon.devices.linking(OWNER, "", 0)
    if (await desk.status()).set_up:
        if request.headers.get("HX-Request") == "true":
            # The page that follows the daemon is to go there, and not to show the dashboard in its place.
            return Response("", 200, {"HX-Redirect": "/dashboard"})
        return Response("", 303, {"Location": "/dashboard"})
    return await desk.show(
        "joining.html", visitor, link=link, relay=desk.settings.relay or "", action=f"{_FORM}/link"
    )


async def _join(desk: Desk) -> Response:
    pressed = await desk.press()
    devices = desk.daemon.devices
    match pressed.form.get("do"):
        case "begin":
            relay = pressed.text("relay", _TEXT_BYTES).strip().rstrip("/")
            if problem := url_problem(relay):
                raise _bad("relay", problem, "Go back and mend the address.")
            label = pressed.text("label", _LABEL_BYTES).strip()
            await devices.link(OWNER, relay, label)
            said = "Go to the other machine now."
        case "words":
            said = await confirm_words(desk, pressed)
        case "cancel":
            await devices.cancel(OWNER)
            said = "Given up. Nothing was signed."
        case _:
            raise unknown_button()
    return _next(desk, pressed, said)


def _next(desk: Desk, pressed: Pressed, said: str) -> Response:
    return desk.done(pressed, said, _JOINING)


PAGES: Final = (
    Page("GET", "/setup", _show, Needs.NOTHING),
    Page("GET", _FORM, _again, Needs.NOTHING),
    Page("POST", _FORM, _set_up, Needs.NOTHING),
    Page("GET", f"{_FORM}/phrase", _again, Needs.NOTHING),
    Page("POST", f"{_FORM}/phrase", _prove, Needs.NOTHING),
    Page("GET", _JOINING, _joining, Needs.NOTHING),
    Page("POST", f"{_FORM}/link", _join, Needs.NOTHING),
)
