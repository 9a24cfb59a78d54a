"""Lists of who and what is here: the account, its agents, tasks by a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from taskferry_protocol.cards import Card, Visibility, recall_card
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.links import Role
from taskferry_protocol.records import ConnectionQuery, ConnectionState, Order, Place, TaskCursor, TaskQuery
from taskferry_protocol.runtimes import is_live, presence
from taskferry_protocol.tasks import TaskState

from .bonds import Bond, all_bonds
from .core import Core
from .describe import connection_views as views_of
from .describe_tasks import task_summaries
from .names import agent_read, may_use, no_agent, own_agent, require_owner
from .port import Caller, DaemonRefusal
from .views import AccountView, AgentView, ConnectionView, TaskSummary
from .visibility import shown_rows

__all__ = [
    "account_view",
    "agent_view",
    "agent_views",
    "connection_counts",
    "connection_page",
    "connection_views",
    "parse_task_cursor",
    "task_cursor",
    "task_list",
    "task_query",
    "waiting_requests",
]

_STATES: Final = frozenset(state.value for state in TaskState) | {"unknown"}
_ROLES: Final = frozenset(role.value for role in Role)


async def account_view(core: Core, caller: Caller) -> AccountView:
    """The owner's account log in brief."""
    require_owner(caller)
    state = (await core.own_log()).state
    return AccountView(
        owner=state.name,
        account=state.account,
        length=state.length,
        head=state.head,
        devices=tuple(
            (device.id, device.record.label, device.status.value) for device in state.devices.values()
        ),
        agents=dict(state.agents),
    )


async def agent_views(core: Core, caller: Caller) -> tuple[AgentView, ...]:
    """The agents that the caller may act as, by name."""
    log = await core.own_log()
    held = [agent for agent in await core.store.agents() if may_use(caller, agent.name)]
    seen = await core.store.agents_seen()
    bound = await core.store.runtimes(None)
    now = core.now()
    cards = await core.store.cards([core.agent(agent.name) for agent in held])
    shown = []
    for agent in held:
        ref = core.agent(agent.name)
        raw = cards.get(ref)
        runtimes = [runtime for runtime in bound if runtime.agent == agent.name]
        ran = _latest(core.ran.get(agent.name), seen.get(agent.name))
        here = presence(runtimes, ran, now)
        card = recall_card(raw.raw) if raw is not None else Card(ref, 1, agent.created_at, log.position)
        shown.append(
            AgentView(
                handle=f"@{log.state.name}/{agent.name}",
                name=agent.name,
                display_name=card.display_name,
                tagline=card.tagline,
                description=card.description,
                capabilities=card.capabilities,
                public=card.visibility is Visibility.PUBLIC,
                created_at=agent.created_at,
                last_seen_at=_latest(core.last_seen.get(agent.name), ran),
                status=here.activity.value,
                since=here.since,
                version=card.version,
                runtimes=sum(1 for runtime in runtimes if is_live(runtime, now)),
            )
        )
    return tuple(shown)


async def agent_view(core: Core, caller: Caller, name: str) -> AgentView:
    """The one of them that is called so. DaemonRefusal(not-found) where this machine serves none."""
    found = next((view for view in await agent_views(core, caller) if view.name == name), None)
    if found is None:
        raise no_agent(name, "agent")
    return found


def _latest(*times: Instant | None) -> Instant | None:
    return max((at for at in times if at is not None), default=None)


def task_query(caller: Caller, agent: str | None, state: str, role: str) -> TaskQuery:
    """The query that filters ask for; `created` is `sent` that has not left. DaemonRefusal(bad-value)."""
    wanted = TaskState.SENT.value if state == "created" else state
    if wanted and wanted not in _STATES:
        raise DaemonRefusal(
            "bad-value",
            f"{state!r} is no state of a task.",
            f"States are: created, {', '.join(sorted(_STATES - {'unknown'}))}.",
            detail={"field": "state"},
        )
    if role and role not in _ROLES:
        raise DaemonRefusal("bad-value", "A role is requester or worker.", detail={"field": "role"})
    if agent is None and caller.agents is not None and len(caller.agents) == 1:
        agent = next(iter(caller.agents))
    return TaskQuery(agent=agent, role=role or None, states=frozenset({wanted} if wanted else ()))


async def task_list(
    core: Core, caller: Caller, agent: str, state: str, role: str, cursor: str, limit: int
) -> tuple[tuple[TaskSummary, ...], str]:
    """Tasks of the agents that the caller may act as, newest first, and the cursor to go on from."""
    name = (await agent_read(core, caller, agent)).name if agent else None
    query = task_query(caller, name, state, role)
    page = await core.store.task_page(query, parse_task_cursor(cursor), max(1, min(limit, 200)))
    seen = await shown_rows(core, caller, page.items)
    rows = [row for row in seen if may_use(caller, row.mine.name)]
    shown = await task_summaries(core, rows)
    if state == "created":
        shown = tuple(summary for summary in shown if summary.state == "created")
    return shown, task_cursor(page.next)


def parse_task_cursor(text: str) -> TaskCursor | None:
    """A cursor that a list gave. Raises DaemonRefusal(bad-value)."""
    if not text:
        return None
    try:
        at, task, role = text.split("-")
        if not at.isascii() or not at.isdigit() or role not in _ROLES or len(task) != 64:
            raise ValueError(text)
        return TaskCursor(Instant(int(at)), Hash(bytes.fromhex(task)), role)
    except ValueError:
        raise DaemonRefusal(
            "bad-value", "That is no cursor of this list.", "Begin without one.", detail={"field": "cursor"}
        ) from None


def task_cursor(cursor: TaskCursor | None) -> str:
    """A place in the list of tasks as `parse_task_cursor` reads it; "" for its end."""
    return f"{cursor.updated_at}-{cursor.task.hex()}-{cursor.role}" if cursor is not None else ""


async def connection_counts(core: Core, caller: Caller) -> Mapping[str, int]:
    """How many connections are in force, by the name of the agent of ours."""
    counts = {agent.name: 0 for agent in await core.store.agents() if may_use(caller, agent.name)}
    for bond in await all_bonds(core.store):
        name = bond.record.mine.name
        if name in counts and bond.record.state is ConnectionState.ACCEPTED:
            counts[name] += 1
    return counts


async def connection_views(core: Core, caller: Caller, state: str, agent: str) -> tuple[ConnectionView, ...]:
    """Connections of the agents that the caller may act as, newest first."""
    name = (await own_agent(core, caller, agent, "agent")).name if agent else None
    bonds = await all_bonds(core.store, name)
    begun = {one.name: one.created_at for one in await core.store.agents()}
    shown = [
        bond
        for bond in reversed(bonds)
        if may_use(caller, bond.record.mine.name)
        and state in {"", bond.record.state.value}
        and (caller.is_owner or not _is_former(bond, begun))
    ]
    return await views_of(core, shown)


def _is_former(bond: Bond, begun: Mapping[str, Instant]) -> bool:
    """Whether a connection was over before our agent was, which may be another than had it."""
    record = bond.record
    over = record.state in {ConnectionState.ENDED, ConnectionState.EXPIRED}
    return over and record.created_at < begun.get(record.mine.name, record.created_at)


async def connection_page(
    core: Core, caller: Caller, agent: str, state: str, cursor: str, limit: int
) -> tuple[tuple[ConnectionView, ...], str]:
    """Some of the connections, newest first, and where to go on; looking is no acting as an agent."""
    require_owner(caller)
    try:
        states = frozenset({ConnectionState(state)} if state else ())
        after = Place(int(cursor)) if cursor else None
    except ValueError:
        raise DaemonRefusal(
            "bad-value", "That is no state or cursor of this list.", "Begin without them."
        ) from None
    query = ConnectionQuery(agent or None, states)
    page = await core.store.connection_page(query, after, max(1, min(limit, 200)), Order.NEWEST_FIRST)
    shown = await views_of(core, [Bond(record) for record in page.items])
    return shown, str(page.next) if page.next is not None else ""


async def waiting_requests(core: Core, caller: Caller, limit: int) -> tuple[ConnectionView, ...]:
    """Requests that wait for the owner and are not over, the first to come first."""
    require_owner(caller)
    query, now = ConnectionQuery(states=frozenset({ConnectionState.REQUESTED_IN})), core.now()
    page = await core.store.connection_page(query, None, limit, Order.OLDEST_FIRST)
    return await views_of(core, [Bond(record) for record in page.items if record.expires_at > now])
