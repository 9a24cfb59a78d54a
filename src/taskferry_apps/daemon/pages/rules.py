"""`/dashboard/rules`: what the owner has decided ahead about one other owner's agents."""

from __future__ import annotations

from typing import Final

from quart import Response, request

from ...system import now
from ..gates_port import NewRule
from ..port import GrantChange
from .desk import Desk
from .grant_changes import allowed
from .owner import OWNER
from .page import Page
from .typed import chosen, moment_typed, whole_hash, whole_typed

__all__ = ["PAGES"]

_ROOM: Final = "/dashboard/rules"
_MOST_TASKS: Final = 10_000
_SHOWN: Final = 40


async def _list(desk: Desk) -> Response:
    visitor = await desk.visit()
    every = await desk.daemon.gates.rules(OWNER)
    start = whole_typed(request.args.get("from", "0"), len(every), "from")
    rules = every[start : start + _SHOWN]
    return await desk.show(
        "rules.html",
        visitor,
        rules=[
            (rule, allowed(rule.grant, "Who is accepted", rule.agent or "your agent", "you"))
            for rule in rules
        ],
        agents=await desk.daemon.agents(OWNER),
        most_tasks=_MOST_TASKS,
        more=f"{_ROOM}?from={start + _SHOWN}" if len(every) > start + _SHOWN else "",
    )


async def _add(desk: Desk) -> Response:
    pressed = await desk.press()
    form = pressed.form
    chosen(form, "do", ("add",))
    gated = chosen(form, "gate", ("yes", "no")) == "yes"
    rule = await desk.daemon.gates.add_rule(
        OWNER,
        NewRule(
            accept=pressed.text("accept", 128).strip(),
            agent=form.get("agent", ""),
            tasks_per_day=whole_typed(form.get("tasks_per_day", "0"), _MOST_TASKS, "tasks_per_day"),
            until=moment_typed(form.get("until", ""), now(), "until"),
            grant=GrantChange() if gated else GrantChange(human_gate=False),
        ),
    )
    return desk.done(pressed, f"{rule.accept} is accepted from now on.", _ROOM)


async def _end(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    chosen(pressed.form, "do", ("end",))
    await desk.daemon.gates.remove_rule(OWNER, whole_hash(id, "rule").hex())
    return desk.done(pressed, "Ended. What comes from now on waits for you.", _ROOM)


PAGES: Final = (
    Page("GET", _ROOM, _list),
    Page("POST", _ROOM, _add),
    Page("POST", f"{_ROOM}/<id>", _end),
)
