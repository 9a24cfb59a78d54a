"""When breakers trip: as a rule, and for one connection."""

from __future__ import annotations

from typing import Final

from ....breaker_settings import LIMIT_NAMES, most_of
from ...port import DaemonService
from ..answers import Object
from ..errors import refusal
from ..fields import Field, Flag, Form, Whole, optional
from ..gate_answers import connection_limits_object, limits_object
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route
from .grants import BY_NAME, connection_named

__all__ = ["ROUTES"]

_ABOUT: Final = {
    "hops": "How many messages may lead to each other.",
    "talk": "Messages and new tasks in ten minutes, both directions together.",
    "talk_a_day": "The same in 24 hours.",
    "events": "Events of tasks under way in ten minutes.",
    "events_a_day": "The same in 24 hours.",
    "repeats": "How often the same may be said in an hour.",
    "budget": "Messages in a task whose request sets no budget.",
}
_LIMITS: Final[dict[str, Field[int | None]]] = {
    field: optional(name.replace("-", "_"), Whole(1, most_of(field)), _ABOUT[field], None)
    for name, field in LIMIT_NAMES.items()
}
_RESET: Final = optional("reset", Flag(), "Let all that is not named be as usual again.", False)


async def _show(daemon: DaemonService, call: Call) -> Object:
    usual, connections = await daemon.gates.breaker_limits(call.known_caller)
    return {
        "limits": limits_object(usual),
        "connections": [connection_limits_object(connection) for connection in connections],
    }


async def _set(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    named: dict[str, int | None] = {
        field: number for field, limit in _LIMITS.items() if (number := body[limit]) is not None
    }
    if not named and not body[_RESET]:
        raise refusal("missing-field", "No limit was named.", "Name one, such as hops, or reset.")
    change = {**(dict.fromkeys(_LIMITS) if body[_RESET] else {}), **named}
    changed = await daemon.gates.set_breaker_limits(call.known_caller, connection_named(body), change)
    return {"ok": True, "connection": connection_limits_object(changed)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/breakers",
        name="show_breaker_limits",
        about="When breakers trip: here as a rule, and for each connection in force.",
        handler=_show,
        answer=record(limits=ref("Limits"), connections=many(ref("ConnectionLimits"))),
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/breakers",
        name="set_breaker_limits",
        about="Set limits of one connection, laxer or stricter than usual; what is left out stays.",
        handler=_set,
        answer=record(ok=OK, connection=ref("ConnectionLimits")),
        access=Access.OWNER,
        body=Form.of(*BY_NAME, *_LIMITS.values(), _RESET),
        repeat=Repeat.ONCE,
    ),
)
