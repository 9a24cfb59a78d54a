"""`/dashboard`: one look says whether all is well, what waits for the owner, and what is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from quart import Response

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS

from ... import system
from ..history_port import HistoryCounts, TaskSearch
from ..views import AgentView, RelayStatus, TaskSummary
from .desk import Desk
from .owner import OWNER
from .page import Page
from .task_words import STATES
from .traffic_chart import HEIGHT, WIDTH, chart_of

__all__ = ["PAGES"]

_SHOWN: Final = 8
_AGENTS: Final = 12
_HOUR_MS: Final = 60 * MINUTE_MS


@attrs.frozen
class Step:
    """Something that a fresh account still has to do, where, and by which command."""

    words: str
    done: bool
    to: str
    command: str


async def _overview(desk: Desk) -> Response:
    visitor = await desk.visit()
    status = await desk.status()
    history = desk.daemon.history
    agents = await desk.daemon.agents(OWNER)
    counts = await history.counts(OWNER)
    tasks = await history.under_way(OWNER, _SHOWN)
    ended = () if tasks else (await history.tasks(OWNER, TaskSearch(), "", _SHOWN)).tasks
    since = Instant(system.now() - DAY_MS + _HOUR_MS)
    return await desk.show(
        "overview.html",
        visitor,
        relay=status.relay,
        advice=_advice(status.relay),
        tasks=tasks,
        ended=ended,
        counts=counts,
        in_motion=counts.waiting_for_me + counts.waiting_for_peer,
        agents=_with_figures(agents[:_AGENTS], counts),
        agents_left=max(0, len(agents) - _AGENTS),
        chart=chart_of(await history.traffic(OWNER, since, _HOUR_MS)),
        chart_width=WIDTH,
        chart_height=HEIGHT,
        steps=await _first_steps(desk, agents, tasks or ended),
        states=STATES,
    )


def _with_figures(agents: Sequence[AgentView], counts: HistoryCounts) -> list[tuple[AgentView, str, int]]:
    """Each agent, how it is in words, and what it has not read."""
    unread = {figures.agent: figures.unread for figures in counts.agents}
    return [(agent, _presence(agent), unread.get(agent.handle, 0)) for agent in agents]


def _presence(agent: AgentView) -> str:
    if agent.status != "offline":
        count = agent.runtimes
        return f"{count} program{'' if count == 1 else 's'} bound"
    return "last run" if agent.since is not None else "no program has run it yet"


def _advice(relay: RelayStatus | None) -> str:
    """What the owner can do about a relay that is not reached."""
    if relay is None or relay.connected:
        return ""
    if relay.last_error.startswith("name-taken"):
        return "Take another name, with the same keys: taskferry setup OWNER --relay " + relay.url
    return "What you send waits here, and nothing is lost. Find out why with: taskferry doctor"


async def _first_steps(
    desk: Desk, agents: Sequence[AgentView], tasks: Sequence[TaskSummary]
) -> tuple[Step, ...]:
    """What a fresh account has done and has still to do; nothing once it has had a task."""
    if tasks:
        return ()
    connections = await desk.daemon.connections(OWNER, "", "")
    connected = any(found.state == "accepted" for found in connections)
    name = agents[0].name if agents else "NAME"
    return (
        Step("Make an agent", bool(agents), "/dashboard/agents", "taskferry agent create NAME"),
        Step(
            "Invite somebody, or ask for a connection",
            bool(connections),
            "/dashboard/connections",
            f"taskferry invite create --agent {name}",
        ),
        Step("Be connected", connected, "/dashboard/connections", "taskferry connections"),
        Step(
            "Ask for work",
            False,
            "/dashboard/tasks/new",
            f'taskferry task send {name} @owner/agent "What is to be done"',
        ),
    )


async def _root(desk: Desk) -> Response:
    await desk.visit()
    return Response("", 303, {"Location": "/dashboard"})


PAGES: Final = (Page("GET", "/", _root), Page("GET", "/dashboard", _overview))
