"""`/dashboard/invites`: links by which others reach an agent of the owner's; and links of others, to open."""

from __future__ import annotations

from typing import Final

from quart import Response

from taskferry_protocol.limits import INVITE_USES

from ...system import now
from ..invite_port import MadeInvite, NewInvite
from ..port import DaemonRefusal, GrantChange
from .desk import Desk, Pressed
from .owner import OWNER
from .page import Page
from .typed import chosen, moment_typed, whole_typed

__all__ = ["PAGES"]

_ROOM: Final = "/dashboard/invites"
_SHOWN: Final = 100
_NOTE_BYTES: Final = 256
#: Longer than any link.
_LINK_BYTES: Final = 4_096
_WEEK: Final = "7d"


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    invites = await desk.daemon.invites.list(OWNER)
    return await desk.show(
        "invites.html",
        visitor,
        invites=invites[:_SHOWN],
        more=max(0, len(invites) - _SHOWN),
        agents=await desk.daemon.agents(OWNER),
        most_uses=INVITE_USES,
        note_chars=_NOTE_BYTES,
        usual=_WEEK,
    )


async def _decide(desk: Desk) -> Response:
    pressed = await desk.press()
    match chosen(pressed.form, "do", ("create", "open")):
        case "open":
            held = await desk.daemon.links.hold(OWNER, pressed.text("link", _LINK_BYTES).strip())
            return desk.done(pressed, "", f"/connect/{held.id}")
        case _:
            return await _create(desk, pressed)


async def _create(desk: Desk, pressed: Pressed) -> Response:
    form = pressed.form
    accepts = chosen(form, "accepts", ("no", "gated", "open"))
    until = moment_typed(form.get("until", "") or _WEEK, now(), "until")
    assert until is not None  # noqa: S101 - for the type checker: there is a text
    new = NewInvite(
        agent=form.get("agent", ""),
        uses=whole_typed(form.get("uses", "1"), INVITE_USES, "uses"),
        expires_at=until,
        permissions=GrantChange() if accepts == "no" else GrantChange(human_gate=accepts == "gated"),
        note=pressed.text("note", _NOTE_BYTES),
        accepts=accepts != "no",
    )
    made = await desk.daemon.invites.create(OWNER, new)
    desk.once.keep(pressed.visitor.secret, _key(made.invite.id.hex()), made)
    return desk.done(pressed, "The invite is made.", f"{_ROOM}/{made.invite.id.hex()}")


def _key(id: str) -> str:
    return f"invite {id}"


async def _one(desk: Desk, id: str) -> Response:
    visitor = await desk.visit()
    shown = next((one for one in await desk.daemon.invites.list(OWNER) if one.id.hex() == id), None)
    if shown is None:
        raise DaemonRefusal("not-found", "There is no such invite.", "Begin from the list.", status=404)
    made = desk.once.held(visitor.secret, _key(id))
    return await desk.show(
        "invite.html", visitor, one=shown, made=made if isinstance(made, MadeInvite) else None
    )


async def _withdraw(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    do = chosen(pressed.form, "do", ("withdraw", "taken"))
    desk.once.drop(pressed.visitor.secret, _key(id))
    if do == "taken":
        return desk.done(pressed, "The link is shown nowhere any more.", _ROOM)
    await desk.daemon.invites.revoke(OWNER, id)
    return desk.done(pressed, "Withdrawn. Nobody comes through it any more.", _ROOM)


PAGES: Final = (
    Page("GET", _ROOM, _list),
    Page("POST", _ROOM, _decide),
    Page("GET", f"{_ROOM}/<id>", _one),
    Page("POST", f"{_ROOM}/<id>", _withdraw),
)
