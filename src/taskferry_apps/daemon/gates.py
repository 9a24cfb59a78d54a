"""The owner's decisions in one place, as `gates_port.GateService` promises them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.gates import ActionClass, AgentMode, Policy
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import ConnectionState, LocalAgent, PutAgent

from .agent_settings import AgentSettings, read_settings, written
from .agents_told import shared_agent
from .approvals import Approvals
from .bonds import find_bond
from .connections import Connections
from .core import Core
from .describe import connection_view
from .downloads import part_of
from .draft import Draft
from .gate_views import ApprovalView, ConnectionLimits, HeldTask, ModeView, RuleView, StopView, WholeTask
from .gates_port import NewRule, Question
from .held_tasks import HeldTasks
from .limits import Limits
from .link import Link
from .listing import connection_page, waiting_requests
from .names import handle_of, may_use, own_agent, require_owner
from .outgoing import sent
from .port import Caller, DaemonRefusal, TaskAction
from .rules import Rules
from .shares import share
from .stops import Stops
from .tasks import Tasks
from .views import ConnectionView, Sent

__all__ = ["Gates"]


class Gates:
    """Each question handed to the part that knows."""

    def __init__(self, core: Core, link: Link, connections: Connections, tasks: Tasks, rules: Rules) -> None:
        self._core = core
        self._link = link
        self._connections = connections
        self._tasks = tasks
        self._rules = rules
        self._held = HeldTasks(core)
        self._stops = Stops(core, tasks)
        self._limits = Limits(core)
        self._approvals = Approvals(core)

    # --- Tasks that wait

    async def held_tasks(self, caller: Caller, limit: int = 500) -> tuple[HeldTask, ...]:
        """Tasks that wait."""
        return await self._held.listed(caller, limit)

    async def held_task(self, caller: Caller, task: str) -> tuple[HeldTask, WholeTask]:
        """One of them in full."""
        return await self._held.one(caller, task)

    async def release(self, caller: Caller, task: str) -> HeldTask:
        """Let an agent have a task."""
        return await self._held.release(caller, task)

    async def turn_away(self, caller: Caller, task: str, reason: str) -> Sent:
        """Decline a task that waits."""
        gate = await self._held.find(caller, task)
        action = TaskAction("decline", mine=gate.mine.name, text=reason)
        posted, held = await self._tasks.act(caller, gate.task, action)
        return await sent(self._core, self._link, posted, held)

    async def waiting(self, caller: Caller, agent: str) -> tuple[tuple[str, int], ...]:
        """Of whom something waits, and how much."""
        mine = await own_agent(self._core, caller, agent, "agent")
        counts = await self._stops.waiting(mine.name)
        for gate in await self._held.waiting(mine.name):
            counts[await handle_of(self._core, gate.peer)] += 1
        return tuple(sorted(counts.items()))

    # --- What breakers hold

    async def stops(self, caller: Caller) -> tuple[StopView, ...]:
        """What is stopped."""
        return await self._stops.listed(caller)

    async def stops_counted(self, caller: Caller, limit: int) -> tuple[StopView, ...]:
        """What is stopped, without the messages."""
        return await self._stops.counted(caller, limit)

    async def stop(self, caller: Caller, stop: str) -> StopView:
        """One of them."""
        return await self._stops.one(caller, stop)

    async def release_stop(self, caller: Caller, stop: str, seen: Hash | None = None) -> StopView:
        """Let it pass."""
        return await self._stops.release(caller, stop, seen)

    async def drop_stop(self, caller: Caller, stop: str, seen: Hash | None = None) -> StopView:
        """Drop it."""
        return await self._stops.drop(caller, stop, seen)

    # --- Connections

    async def requests(self, caller: Caller, limit: int) -> tuple[ConnectionView, ...]:
        """Requests that wait."""
        return await waiting_requests(self._core, caller, limit)

    async def connection_page(
        self, caller: Caller, agent: str, state: str, cursor: str, limit: int
    ) -> tuple[tuple[ConnectionView, ...], str]:
        """Some of the connections."""
        return await connection_page(self._core, caller, agent, state, cursor, limit)

    async def connection(self, caller: Caller, connection: str) -> ConnectionView:
        """One connection."""
        require_owner(caller)
        bond = await find_bond(self._core, caller, connection, frozenset(ConnectionState))
        return await connection_view(self._core, bond)

    async def breaker_limits(self, caller: Caller) -> tuple[BreakerLimits, tuple[ConnectionLimits, ...]]:
        """When breakers trip."""
        return await self._limits.listed(caller)

    async def set_breaker_limits(
        self, caller: Caller, connection: str | tuple[str, str], change: Mapping[str, int | None]
    ) -> ConnectionLimits:
        """Set limits of one connection."""
        return await self._limits.change(caller, connection, change)

    async def unblock(self, caller: Caller, connection: str | tuple[str, str]) -> ConnectionView:
        """Let a blocked agent ask again."""
        step = await self._connections.unblock(caller, connection)
        return await connection_view(self._core, step.bond, step.message)

    # --- Rules

    async def rules(self, caller: Caller) -> tuple[RuleView, ...]:
        """The rules."""
        return await self._rules.listed(caller)

    async def add_rule(self, caller: Caller, rule: NewRule) -> RuleView:
        """Make a rule."""
        return await self._rules.add(caller, rule)

    async def remove_rule(self, caller: Caller, rule: str) -> RuleView:
        """End a rule."""
        return await self._rules.remove(caller, rule)

    # --- Questions

    async def ask(self, caller: Caller, question: Question) -> ApprovalView:
        """Ask the owner."""
        return await self._approvals.ask(caller, question)

    async def approval(self, caller: Caller, approval: str, wait_s: float) -> ApprovalView:
        """One question."""
        return await self._approvals.one(caller, approval, wait_s)

    async def proposed(self, caller: Caller, approval: str) -> WholeTask | None:
        """The task that a question asks to send."""
        return await self._approvals.proposed(caller, approval)

    async def proposed_part(self, caller: Caller, approval: str, part: int) -> tuple[str, bytes]:
        """Name and bytes of a part of it."""
        whole = await self._approvals.proposed(caller, approval)
        name, _, content = part_of(whole.parts if whole is not None else (), 0, part)
        return name, content

    async def approvals(self, caller: Caller, agent: str, state: str, limit: int) -> tuple[ApprovalView, ...]:
        """Questions, newest first."""
        return await self._approvals.listed(caller, agent, state, limit)

    async def answer(
        self, caller: Caller, approval: str, verdict: str, scope: str, text: str
    ) -> ApprovalView:
        """Answer a question."""
        return await self._approvals.answer(caller, approval, verdict, scope, text)

    async def use(self, caller: Caller, approval: str, action: str, what: str, task: str) -> ApprovalView:
        """Take what was approved."""
        return await self._approvals.use(caller, approval, action, what, task)

    # --- Modes

    async def modes(self, caller: Caller) -> tuple[ModeView, ...]:
        """The modes of the caller's agents, by name."""
        await self._core.own_log()
        held = [agent for agent in await self._core.store.agents() if may_use(caller, agent.name)]
        return tuple([await self._mode_view(agent) for agent in held])

    async def set_mode(self, caller: Caller, agent: str, mode: str) -> ModeView:
        """Say how freely an agent acts."""
        chosen = AgentMode(mode)
        return await self._change(
            caller, agent, lambda old: attrs.evolve(old, mode=chosen, is_said=True), mode=mode
        )

    async def set_policy(self, caller: Caller, agent: str, action: str, policy: str) -> ModeView:
        """Decide ahead about a class of action."""
        decided = {ActionClass(action): Policy(policy)}
        return await self._change(
            caller,
            agent,
            lambda old: attrs.evolve(old, policies={**old.policies, **decided}),
            action=action,
            policy=policy,
        )

    async def set_telling(self, caller: Caller, agent: str, *, tells: bool) -> ModeView:
        """Say whether senders are told what becomes of their mail."""
        word = "all" if tells else "nothing"
        return await self._change(caller, agent, lambda old: attrs.evolve(old, tells=tells), tells=word)

    async def _change(
        self, caller: Caller, named: str, change: Callable[[AgentSettings], AgentSettings], **facts: str
    ) -> ModeView:
        require_owner(caller)
        core = self._core
        mine = await own_agent(core, caller, named, "agent")
        async with core.lock:
            draft = Draft(core)
            held = next((agent for agent in await core.store.agents() if agent.name == mine.name), None)
            if held is None:
                raise DaemonRefusal(
                    "conflict",
                    f"{mine.name} is served by another device.",
                    "Say it on the device that serves it.",
                    status=409,
                )
            agent = written(held, change(read_settings(held)))
            draft.add(PutAgent(agent))
            await share(draft, (shared_agent(agent, draft.now),))
            draft.tell("agent", mine.name, (), **{"state": "changed", **facts})
            draft.audit(AuditKind.GATE_CHANGED, await handle_of(core, mine), by="owner", **facts)
            await draft.commit()
        core.outgoing.ring()
        return await self._mode_view(agent)

    async def _mode_view(self, agent: LocalAgent) -> ModeView:
        settings = read_settings(agent)
        return ModeView(
            agent=await handle_of(self._core, self._core.agent(agent.name)),
            mode=settings.mode.value,
            policies={action.value: settings.policy(action).value for action in ActionClass},
            tells=settings.tells,
            is_said=settings.is_said,
        )
