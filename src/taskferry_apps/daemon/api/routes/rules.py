"""Standing rules: what the owner has decided ahead about one other owner's agents."""

from __future__ import annotations

from typing import Final

from ...gates_port import NewRule
from ...port import DaemonService, GrantChange
from ..answers import Object
from ..fields import Form, Nested, Text, Whole, optional, required
from ..gate_answers import rule_object
from ..kinds import ID, MaybeOwnAgent, Moment
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route
from .grants import CHANGES, grant_change

__all__ = ["ROUTES"]

_NAME: Final = "[a-z0-9][a-z0-9_-]{0,31}"
_ACCEPT: Final = required(
    "accept",
    Text(66, 1, pattern=rf"@{_NAME}/(?:\*|{_NAME})", wanted="@owner/* or @owner/agent"),
    "Whose requests for a connection are accepted: @owner/* or @owner/agent.",
)
_AGENT: Final = optional("agent", MaybeOwnAgent(), "For which agent of yours; all if left out.", None)
_TASKS: Final = optional(
    "tasks_per_day", Whole(0, 10_000), "How many tasks in any 24 hours pass the human gate.", 0
)
_UNTIL: Final = optional("until", Moment(), "When the rule ends.", None)
_PERMISSIONS: Final = optional(
    "permissions", Nested(Form(CHANGES)), "What who is accepted may send, where not the default.", None
)
_RULE: Final = required("id", ID, "The rule's id.")


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"rules": [rule_object(rule) for rule in await daemon.gates.rules(call.known_caller)]}


async def _add(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    wanted = body[_PERMISSIONS]
    rule = NewRule(
        accept=body[_ACCEPT],
        agent=body[_AGENT] or "",
        tasks_per_day=body[_TASKS],
        until=body[_UNTIL],
        grant=grant_change(wanted) if wanted is not None else GrantChange(),
    )
    return {"ok": True, "rule": rule_object(await daemon.gates.add_rule(call.known_caller, rule))}


async def _remove(daemon: DaemonService, call: Call) -> Object:
    removed = await daemon.gates.remove_rule(call.known_caller, call.path[_RULE].lower())
    return {"ok": True, "rule": rule_object(removed)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/rules",
        name="list_rules",
        about="Standing rules, and how often each was used.",
        handler=_list,
        answer=record(rules=many(ref("Rule"))),
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/rules",
        name="add_rule",
        about="Decide ahead on an owner's requests, and on some tasks a day.",
        handler=_add,
        answer=record(ok=OK, rule=ref("Rule")),
        access=Access.OWNER,
        body=Form.of(_ACCEPT, _AGENT, _TASKS, _UNTIL, _PERMISSIONS),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="DELETE",
        path="/rules/{id}",
        name="remove_rule",
        about="End a rule; what it accepted stays.",
        handler=_remove,
        answer=record(ok=OK, rule=ref("Rule")),
        access=Access.OWNER,
        parameters=Form.of(_RULE),
    ),
)
