"""What programs may send as an agent, by its mode; what a guarded one sends, its owner has read before."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from taskferry_protocol.cbor import encode
from taskferry_protocol.gates import (
    ActionClass,
    AgentMode,
    Deed,
    Verdict,
    approval_state,
    deadline_stands,
    verdict_on,
)
from taskferry_protocol.ids import AgentRef, Hash, sha256
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalState,
    DropProposal,
    Order,
    ProposalRecord,
    PutProposal,
    SaveApproval,
)

from .agent_settings import agent_settings
from .core import Core
from .draft import Draft
from .port import Caller, DaemonRefusal
from .proposals import Proposal, check_sendable, read_proposal
from .questions import OWNER, check_few, question, tell

__all__ = ["Asking", "permit_deed"]


@attrs.frozen
class Asking:
    """What an owner is asked before a deed: in words and, of a task, all that is to be sent."""

    what: str
    proposal: Proposal | None = None

    def subject(self, agent: str) -> Hash:
        """What the same deed is known by when it comes again. No question of an agent's own has it."""
        about = self.what if self.proposal is None else self.proposal.lasting
        return sha256(encode(["deed", agent, about]))


async def permit_deed(
    draft: Draft, caller: Caller, mine: AgentRef, deed: Deed, ask: Callable[[], Asking] | None = None
) -> Proposal | None:
    """What the owner has approved to be sent, None where nobody is asked or it is no task.

    The same sent again once the owner has approved it goes through, and uses the approval up.
    Raises DaemonRefusal: read-only, not-allowed, approval-needed (with the question's id), denied; what
    cannot be sent is refused as such.
    """
    if caller.is_owner:
        return None
    core = draft.core
    settings = await agent_settings(core, mine.name)
    verdict = verdict_on(deed, settings.mode, settings.policies.get(ActionClass.DELEGATION))
    if verdict is Verdict.ALLOW:
        return None
    if verdict is Verdict.REFUSE or ask is None:
        raise _refused(mine.name, settings.mode)
    asking = ask()
    if asking.proposal is not None:
        check_sendable(asking.proposal.task)
    newest = await _newest(core, mine.name, asking)
    state = approval_state(newest, draft.now) if newest is not None else None
    kept = await _kept(core, newest) if newest is not None else None
    fits = newest is not None and _fits(asking, kept, newest, draft)
    # What a policy has answered is not the owner's word on what a guarded agent sends.
    if newest is not None and fits and state is ApprovalState.APPROVED and newest.by == OWNER:
        used = attrs.evolve(newest, state=ApprovalState.USED, used_at=draft.now)
        draft.add(SaveApproval(used), DropProposal(used.id))
        tell(draft, used)
        return kept
    if newest is not None and state is ApprovalState.DENIED and draft.now < newest.expires_at:
        raise DaemonRefusal(
            "denied",
            "The owner has said no to exactly that.",
            newest.answer or "Do something else, or ask the owner yourself.",
            status=403,
            detail={"approval": newest.id.hex()},
        )
    if newest is None or not fits or state is not ApprovalState.ASKED:
        newest = await _ask(core, mine.name, asking)
    raise DaemonRefusal(
        "approval-needed",
        "The owner is asked first.",
        f"Wait with GET /approvals/{newest.id.hex()}?wait=30, then send exactly the same again.",
        status=403,
        detail={"approval": newest.id.hex()},
    )


def _refused(agent: str, mode: AgentMode) -> DaemonRefusal:
    read_only = verdict_on(Deed.WORD, mode, None) is Verdict.REFUSE
    text = f"{agent} may read, and send nothing." if read_only else f"{agent} may not hand on work."
    code = "read-only" if read_only else "not-allowed"
    return DaemonRefusal(code, text, "Its owner decides that.", status=403)


async def _newest(core: Core, agent: str, asking: Asking) -> ApprovalRecord | None:
    query = ApprovalQuery(agent=agent, subject=asking.subject(agent))
    page = await core.store.approval_page(query, None, 1, Order.NEWEST_FIRST)
    return page.items[0] if page.items else None


async def _kept(core: Core, asked: ApprovalRecord) -> Proposal | None:
    record = await core.store.proposal(asked.id)
    return read_proposal(record.content) if record is not None else None


def _fits(asking: Asking, kept: Proposal | None, asked: ApprovalRecord, draft: Draft) -> bool:
    """Whether what was asked about may be sent for what comes again: no more than the deadline differs."""
    if asking.proposal is None:
        return True
    again = asking.proposal.task.deadline
    return kept is not None and deadline_stands(kept.task.deadline, again, asked.asked_at, draft.now)


async def _ask(core: Core, agent: str, asking: Asking) -> ApprovalRecord:
    draft = Draft(core)
    await check_few(core, agent, draft.now)
    subject = asking.subject(agent)
    asked = question(draft, agent, ActionClass.DELEGATION, asking.what, "", None, subject, DAY_MS)
    draft.add(SaveApproval(asked))
    if asking.proposal is not None:
        draft.add(PutProposal(ProposalRecord(asked.id, asking.proposal.content, asked.expires_at)))
    tell(draft, asked)
    await draft.commit()
    return asked
