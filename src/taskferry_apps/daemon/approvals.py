"""Questions of agents to their owner, and the answers. An answer is to one question, word for word.

A question's id is a hash over all of it, so an owner who names the id has answered what was shown. What was
approved can be used for nothing else, and once, unless the owner said otherwise. Nothing that an agent's
credential can do answers one.
"""

from __future__ import annotations

from typing import Final

import attrs
import trio

from taskferry_protocol.audit import AuditKind, Fact
from taskferry_protocol.cbor import encode
from taskferry_protocol.gates import ActionClass, Policy, approval_state
from taskferry_protocol.ids import AgentRef, Hash, Instant, sha256
from taskferry_protocol.rates import RateState, take
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalScope,
    ApprovalState,
    DropProposal,
    Order,
    SaveApproval,
)

from .agent_settings import agent_settings
from .audit_hours import audit_often
from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .gate_views import ApprovalView, WholeTask
from .gates_port import Question
from .names import handle_of, match_prefix, may_use, not_found, own_agent, parse_prefix, require_owner
from .port import Caller, DaemonRefusal
from .proposals import read_proposal
from .questions import OWNER, POLICY, answered, check_few, question, tell
from .search import find_task
from .visibility import shown_rows
from .whole_tasks import whole_task

__all__ = ["Approvals"]

RATE: Final = BOUNDS.question_rate
MOST_LISTED: Final = 200
_ANY: Final[frozenset[ApprovalState]] = frozenset()
_WAITING: Final = frozenset({ApprovalState.ASKED})
_ASKED: Final = ApprovalState.ASKED.value
LONGEST_S: Final = 86_400


def _subject(agent: str, action: str, what: str, task: Hash | None) -> Hash:
    return sha256(encode([agent, action, what, task]))


def _is_about(asked: ApprovalRecord, named: str) -> bool:
    """Whether an id or prefix is that of the question's own task, "" where it has none.

    No other task is looked up: what is not the caller's is not told apart from what is not there.
    """
    if asked.task is None or not named:
        return asked.task is None and not named
    wanted = parse_prefix(named, "task")
    return asked.task.hex().startswith(wanted if isinstance(wanted, str) else wanted.hex())


def _written(asked: ApprovalRecord) -> AuditKind:
    return AuditKind.APPROVAL if asked.state is ApprovalState.APPROVED else AuditKind.DENIAL


def _facts(asked: ApprovalRecord) -> dict[str, Fact]:
    """What is written down of an answer: which question, and none of its words."""
    return {"what": asked.action, "question": asked.id.hex()[:16], "by": asked.by}


class _Pace:
    """How often each agent asks, since this daemon started."""

    def __init__(self) -> None:
        self._rates: dict[str, RateState] = {}

    def check(self, agent: str, now: Instant) -> None:
        """Count one question. Raises DaemonRefusal(rate-limited)."""
        self._rates[agent], wait = take(self._rates.get(agent) or RateState.full(RATE, now), RATE, now)
        if wait:
            raise DaemonRefusal(
                "rate-limited",
                f"An agent asks at most {RATE} times a minute.",
                "Wait, and ask once for what belongs together.",
                status=429,
                detail={"retry_after": wait / 1000},
            )


# --- The resource -------------------------------------------------------------------------------------------


class Approvals:
    """Asked and used by agents, answered by the owner alone."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pace = _Pace()

    async def ask(self, caller: Caller, wanted: Question) -> ApprovalView:
        """Ask; what the owner has decided ahead is answered at once."""
        core = self._core
        mine = await own_agent(core, caller, wanted.agent)
        action = _action(wanted.action)
        task = await self._task(caller, mine, wanted.task) if wanted.task else None
        lifetime_ms = max(1, min(wanted.lifetime_s, LONGEST_S)) * 1000
        subject = _subject(mine.name, action.value, wanted.what, task)
        async with core.lock:
            draft = Draft(core)
            self._pace.check(mine.name, draft.now)
            await check_few(core, mine.name, draft.now)
            asked = question(draft, mine.name, action, wanted.what, wanted.why, task, subject, lifetime_ms)
            policy = (await agent_settings(core, mine.name)).policy(action)
            if policy is Policy.ALWAYS:
                asked = answered(asked, ApprovalState.APPROVED, POLICY, draft.now)
            elif policy is Policy.NEVER:
                asked = answered(asked, ApprovalState.DENIED, POLICY, draft.now)
            draft.add(SaveApproval(asked))
            tell(draft, asked)
            if asked.state is not ApprovalState.ASKED:
                facts = {name: fact for name, fact in _facts(asked).items() if name != "question"}
                await audit_often(draft, _written(asked), await self._whose(asked), **facts)
            await draft.commit()
        return await self._view(asked.id)

    async def _whose(self, asked: ApprovalRecord) -> str:
        return await handle_of(self._core, self._core.agent(asked.agent))

    async def _task(self, caller: Caller, mine: AgentRef, named: str) -> Hash:
        task = await find_task(self._core.store, named)
        rows = (await self._core.store.tasks((task,))).get(task, ())
        if not any(row.mine == mine for row in await shown_rows(self._core, caller, rows)):
            raise not_found("task")
        return task

    async def answer(self, caller: Caller, named: str, verdict: str, scope: str, text: str) -> ApprovalView:
        """The owner's word on one question."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            asked = await self._find(caller, named)
            state = approval_state(asked, draft.now)
            if state is not ApprovalState.ASKED:
                raise DaemonRefusal(
                    "conflict",
                    f"That question is {state.value}.",
                    "List those that wait with: taskferry approvals",
                    status=409,
                    detail={"state": state.value},
                )
            reach = ApprovalScope(scope)
            if reach is ApprovalScope.TASK and asked.task is None:
                raise DaemonRefusal(
                    "bad-value",
                    "That question belongs to no task.",
                    "Approve it once.",
                    detail={"field": "scope"},
                )
            told = attrs.evolve(
                answered(asked, ApprovalState(verdict), OWNER, draft.now), scope=reach, answer=text
            )
            draft.add(SaveApproval(told))
            if told.state is ApprovalState.DENIED:
                draft.add(DropProposal(told.id))
            tell(draft, told)
            draft.audit(_written(told), await self._whose(asked), **_facts(told))
            await draft.commit()
        return await self._view(asked.id)

    async def use(self, caller: Caller, named: str, action: str, what: str, task: str) -> ApprovalView:
        """Take what was approved, for exactly what it was asked for."""
        core = self._core
        async with core.lock:
            draft = Draft(core)
            asked = await self._find(caller, named)
            if not _is_about(asked, task) or asked.subject != _subject(asked.agent, action, what, asked.task):
                raise DaemonRefusal(
                    "not-what-was-asked",
                    "That is not what the owner was asked about.",
                    "Ask for it by itself: POST /approvals",
                    status=409,
                )
            state = approval_state(asked, draft.now)
            is_other = state is ApprovalState.APPROVED and await self._is_decided_otherwise(asked)
            if state is not ApprovalState.APPROVED or is_other or not await self._is_open(asked):
                shown = state.value
                if state is ApprovalState.APPROVED:
                    shown = "decided otherwise since" if is_other else "over with its task"
                raise DaemonRefusal(
                    "not-approved",
                    f"That is {shown}.",
                    "Ask again: POST /approvals",
                    status=409,
                    detail={"state": state.value},
                )
            once = asked.scope is ApprovalScope.ONCE
            used = attrs.evolve(asked, state=ApprovalState.USED if once else asked.state, used_at=draft.now)
            draft.add(SaveApproval(used))
            tell(draft, used)
            await draft.commit()
        return await self._view(asked.id)

    async def _is_decided_otherwise(self, asked: ApprovalRecord) -> bool:
        """Whether the owner has since decided otherwise about that class of action.

        A policy answers for as long as it stands; the owner's own word ends with `never`.
        """
        policy = (await agent_settings(self._core, asked.agent)).policy(ActionClass(asked.action))
        return policy is Policy.NEVER or (asked.by == POLICY and policy is not Policy.ALWAYS)

    async def _is_open(self, asked: ApprovalRecord) -> bool:
        """Whether the task that an approval is for goes on."""
        if asked.task is None:
            return True
        rows = (await self._core.store.tasks((asked.task,))).get(asked.task, ())
        return any(row.open and row.mine.name == asked.agent for row in rows)

    async def one(self, caller: Caller, named: str, wait_s: float) -> ApprovalView:
        """One question, once it is answered or over, or `wait_s` have passed."""
        core = self._core
        asked = await self._find(caller, named)
        left_s = max(0.0, (asked.expires_at - core.now()) / 1000)
        with trio.move_on_after(min(wait_s, left_s)):
            while True:
                heard = core.feed.next
                if (await core.store.approvals((asked.id,)))[asked.id].state is not ApprovalState.ASKED:
                    break
                await heard.wait()
        return await self._view(asked.id)

    async def proposed(self, caller: Caller, named: str) -> WholeTask | None:
        """What one question asks to send, while that is kept."""
        core = self._core
        asked = await self._find(caller, named)
        kept = await core.store.proposal(asked.id)
        if kept is None:
            return None
        proposal = read_proposal(kept.content)
        return await whole_task(
            core, core.agent(asked.agent), proposal.to, proposal.task, proposal.hash, None
        )

    async def listed(self, caller: Caller, agent: str, state: str, limit: int) -> tuple[ApprovalView, ...]:
        """Questions, newest first."""
        core = self._core
        name = (await own_agent(core, caller, agent, "agent")).name if agent else None
        now = core.now()
        found = [
            asked
            for asked in await self._visible(caller, name, _WAITING if state == _ASKED else _ANY)
            if state in {"", approval_state(asked, now).value}
        ]
        return tuple([await self._shown(asked) for asked in found[: max(1, min(limit, MOST_LISTED))]])

    async def _visible(
        self, caller: Caller, agent: str | None, states: frozenset[ApprovalState]
    ) -> list[ApprovalRecord]:
        names = [agent] if agent is not None or caller.agents is None else sorted(caller.agents)
        pages = [
            await self._core.store.approval_page(
                ApprovalQuery(agent=name, states=states), None, MOST_LISTED, Order.NEWEST_FIRST
            )
            for name in names
        ]
        return sorted((asked for page in pages for asked in page.items), key=lambda a: -a.place)

    async def _find(self, caller: Caller, named: str) -> ApprovalRecord:
        """A question that the caller may see. Raises DaemonRefusal: bad-value, not-found, ambiguous."""
        wanted = parse_prefix(named, "approval")
        if isinstance(wanted, str):
            # What waits is found however many questions others have had answered since.
            seen = [*await self._visible(caller, None, _WAITING), *await self._visible(caller, None, _ANY)]
            wanted = match_prefix(wanted, list({asked.id for asked in seen}), "approval")
        asked = (await self._core.store.approvals((wanted,))).get(wanted)
        if asked is None or not may_use(caller, asked.agent):
            raise not_found("approval")
        return asked

    async def _view(self, id: Hash) -> ApprovalView:
        return await self._shown((await self._core.store.approvals((id,)))[id])

    async def _shown(self, asked: ApprovalRecord) -> ApprovalView:
        core = self._core
        return ApprovalView(
            id=asked.id,
            agent=await self._whose(asked),
            action=asked.action,
            what=asked.what,
            why=asked.why,
            task=asked.task,
            state=approval_state(asked, core.now()).value,
            scope=asked.scope.value,
            asked_at=asked.asked_at,
            expires_at=asked.expires_at,
            decided_at=asked.decided_at,
            by=asked.by,
            answer=asked.answer,
            used_at=asked.used_at,
        )


def _action(text: str) -> ActionClass:
    try:
        return ActionClass(text)
    except ValueError:
        raise DaemonRefusal(
            "bad-value",
            f"{text!r} is no class of action.",
            f"Classes are: {', '.join(ActionClass)}.",
            detail={"field": "class"},
        ) from None
