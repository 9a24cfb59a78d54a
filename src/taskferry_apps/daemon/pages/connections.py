"""`/dashboard/connections`: who may work with the owner's agents, who asks to, and what each may send."""

from __future__ import annotations

from typing import Final

import attrs
from quart import Response, request

from taskferry_protocol.ids import Instant, is_name
from taskferry_protocol.limits import CONTACT_NOTE_BYTES, ENVELOPE_BYTES, REASON_BYTES, TIME_LIMIT

from ...system import now
from ...trust_words import trust_words
from ..port import DaemonRefusal, GrantChange
from ..views import ConnectionView, GrantView
from .desk import Desk, Pressed
from .grant_changes import allowed, changes
from .owner import OWNER
from .page import Page
from .paging import further
from .typed import chosen, moment_text, moment_typed, stale, whole_hash, whole_typed

__all__ = ["PAGES"]

_LIST: Final = "/dashboard/connections"
_SHOWN: Final = 50
#: Request cards above the list; the rest wait in their own room.
_CARDS: Final = 5
_STATES: Final = ("requested_in", "requested_out", "accepted", "ended", "expired")
_CLASSES: Final = ("message", "task", "artifact")
_MOST_RATE: Final = 2**32 - 1
_MOST: Final = 10**12


async def _list(desk: Desk) -> Response:
    visitor, gates = await desk.visit(), desk.daemon.gates
    state, agent = request.args.get("state", ""), request.args.get("agent", "")
    cursor = request.args.get("cursor", "")
    if agent and not is_name(agent):
        raise DaemonRefusal("bad-value", "That is no agent's name.", "Choose one from the list.")
    listed, more = await gates.connection_page(OWNER, agent, state, cursor, _SHOWN)
    asked = await gates.requests(OWNER, _CARDS) if not (state or agent or cursor) else ()
    return await desk.show(
        "connections.html",
        visitor,
        connections=listed,
        asked=asked,
        agents=await desk.daemon.agents(OWNER),
        states=_STATES,
        state=state,
        agent=agent,
        older=further(_LIST, {"state": state, "agent": agent}, more),
        note_bytes=CONTACT_NOTE_BYTES,
        trust_words=trust_words,
    )


async def _ask(desk: Desk) -> Response:
    pressed = await desk.press()
    chosen(pressed.form, "do", ("ask",))
    peer = pressed.text("to", 128).strip()
    note = pressed.text("note", CONTACT_NOTE_BYTES)
    made = await desk.daemon.request_connection(OWNER, pressed.text("from", 128), peer, note)
    told = "is connected already" if made.state == "accepted" else "was asked. Its owner decides"
    return desk.done(pressed, f"{made.peer} {told}.", f"{_LIST}/{made.id.hex()}")


# --- One connection -----------------------------------------------------------------------------------------


async def _find(desk: Desk, id: str) -> ConnectionView:
    return await desk.daemon.gates.connection(OWNER, whole_hash(id, "connection").hex())


async def _show(desk: Desk, id: str) -> Response:
    visitor = await desk.visit()
    found = await _find(desk, id)
    stops = await desk.daemon.gates.stops_counted(OWNER, 500)
    stop = next((one for one in stops if (one.mine, one.peer) == (found.mine, found.peer)), None)
    return await desk.show(
        "connection.html",
        visitor,
        one=found,
        name=found.mine.partition("/")[2],
        trust=trust_words(found.trust),
        given=allowed(found.given, found.peer, found.mine, "you"),
        received=allowed(found.received, found.mine, found.peer, "its owner"),
        stop=stop,
        reason_bytes=REASON_BYTES,
        is_over=found.expires_at <= now(),
    )


async def _decide(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    named = whole_hash(id, "connection").hex()
    form = pressed.form
    do = chosen(form, "do", ("accept-gated", "accept-open", "decline", "block", "revoke", "unblock"))
    back = _LIST if form.get("back") != "waiting" else "/dashboard/waiting"
    here = f"{_LIST}/{named}"
    if do.startswith("accept"):
        return await _accept(desk, pressed, named, do == "accept-gated", back)
    if do == "unblock":
        shown = await desk.daemon.gates.unblock(OWNER, named)
        return desk.done(pressed, f"{shown.peer} may ask again. Nothing was sent.", here)
    reason = pressed.text("reason", REASON_BYTES)
    if do == "decline":
        again = moment_typed(pressed.text("again", 64), now(), "again")
        shown = await desk.daemon.end_connection(OWNER, named, "declined", reason, again)
        return desk.done(pressed, f"{shown.peer} was declined, and is told when it may ask again.", back)
    # To take a request back is another thing than to end the connection that it has become.
    found = await _find(desk, named)
    if form.get("state") != found.state:
        raise stale(f"The connection with {found.peer}")
    kind = {"block": "blocked", "revoke": "revoked"}[do]
    shown = await desk.daemon.end_connection(OWNER, named, kind, reason)
    told = {
        "block": f"{shown.peer} is blocked. Take it back here.",
        "revoke": f"Ended. Nothing more of {shown.peer} has any effect.",
    }
    return desk.done(pressed, told[do], here)


async def _accept(desk: Desk, pressed: Pressed, named: str, gated: bool, back: str) -> Response:
    found = await _find(desk, named)
    # Accepting means something else once the identity of who asks is in question.
    if pressed.form.get("trust") != found.trust:
        raise stale(f"How far {found.peer} is trusted")
    shown = await desk.daemon.accept_connection(OWNER, named, GrantChange(human_gate=gated))
    then = "Each of its tasks waits for you first" if gated else "Its tasks go straight to your agent"
    return desk.done(pressed, f"{shown.mine} is connected with {shown.peer}. {then}.", back)


# --- What a peer may send -----------------------------------------------------------------------------------


async def _edit(desk: Desk, id: str) -> Response:
    visitor = await desk.visit()
    found, grant = await _granted(desk, id)
    return await desk.show(
        "permissions.html",
        visitor,
        one=found,
        grant=grant,
        classes=_CLASSES,
        sentences=allowed(grant, found.peer, found.mine, "you"),
        until=moment_text(grant.until),
        usual=ENVELOPE_BYTES,
    )


async def _granted(desk: Desk, id: str) -> tuple[ConnectionView, GrantView]:
    found = await _find(desk, id)
    if found.state != "accepted" or found.given is None:
        raise DaemonRefusal(
            "conflict",
            f"The connection with {found.peer} is {found.state.replace('_', ' ')}.",
            "What a peer may send is changed while the two are connected.",
            status=409,
        )
    return found, found.given


async def _review(desk: Desk, id: str) -> Response:
    """What would change, before it is signed. The form that leads here changes nothing, so it is a GET."""
    visitor = await desk.visit()
    found, grant = await _granted(desk, id)
    fields = {name: request.args.get(name, "") for name in _FIELDS}
    if fields["version"] != str(grant.version):
        raise stale(f"What {found.peer} may send")
    wanted = _wanted(fields, grant)
    return await desk.show(
        "permissions_review.html",
        visitor,
        one=found,
        grant=grant,
        changes=changes(grant, wanted, found.mine, found.peer),
        sentences=allowed(wanted, found.peer, found.mine, "you"),
        fields={**fields, "until": str(wanted.until or "")},
    )


async def _save(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    chosen(pressed.form, "do", ("save",))
    found, grant = await _granted(desk, id)
    fields = {name: pressed.form.get(name, "") for name in _FIELDS}
    # Here the time is the one that was shown, in milliseconds.
    until = whole_typed(fields["until"], TIME_LIMIT - 1, "until") if fields["until"] else None
    wanted = attrs.evolve(
        _wanted({**fields, "until": ""}, grant), until=None if until is None else Instant(until)
    )
    saved = await desk.daemon.set_permissions(
        OWNER,
        found.id.hex(),
        GrantChange(
            classes=wanted.classes,
            rate_per_minute=wanted.rate_per_minute,
            largest_bytes=wanted.largest_bytes,
            until=wanted.until,
            auto_trigger=wanted.auto_trigger,
            human_gate=wanted.human_gate,
            task_budget=wanted.task_budget,
            largest_artifact=wanted.largest_artifact,
            endless=wanted.until is None,
            version=whole_typed(fields["version"], _MOST, "version"),
        ),
    )
    return desk.done(
        pressed,
        f"Saved and signed. {saved.peer} is told, and the relay and this daemon hold it to that.",
        f"{_LIST}/{saved.id.hex()}",
    )


_FIELDS: Final = (
    *("version", "message", "task", "artifact", "rate_per_minute", "largest_bytes", "until"),
    *("auto_trigger", "human_gate", "task_budget", "largest_artifact"),
)


def _wanted(fields: dict[str, str], grant: GrantView) -> GrantView:
    """The grant with what a form says. Raises DaemonRefusal(bad-value)."""
    return attrs.evolve(
        grant,
        classes=tuple(word for word in _CLASSES if fields[word]),
        rate_per_minute=whole_typed(fields["rate_per_minute"], _MOST_RATE, "rate_per_minute"),
        largest_bytes=whole_typed(fields["largest_bytes"], _MOST, "largest_bytes"),
        until=moment_typed(fields["until"], now(), "until"),
        auto_trigger=chosen(fields, "auto_trigger", ("yes", "no")) == "yes",
        human_gate=chosen(fields, "human_gate", ("yes", "no")) == "yes",
        task_budget=whole_typed(fields["task_budget"], _MOST, "task_budget"),
        largest_artifact=whole_typed(fields["largest_artifact"], _MOST, "largest_artifact"),
    )


PAGES: Final = (
    Page("GET", _LIST, _list),
    Page("POST", _LIST, _ask),
    Page("GET", f"{_LIST}/<id>", _show),
    Page("POST", f"{_LIST}/<id>", _decide),
    Page("GET", f"{_LIST}/<id>/permissions", _edit),
    Page("GET", f"{_LIST}/<id>/permissions/review", _review),
    Page("POST", f"{_LIST}/<id>/permissions", _save),
)
