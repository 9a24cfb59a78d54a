"""Questions to the owner as records: made, answered, told of, and few at a time."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.cbor import Value, encode
from taskferry_protocol.gates import ActionClass, approval_state
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.records import ApprovalQuery, ApprovalRecord, ApprovalState, Order

from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .port import DaemonRefusal

__all__ = ["MOST_OPEN", "OWNER", "POLICY", "answered", "check_few", "question", "tell"]

MOST_OPEN: Final = BOUNDS.questions
#: More than wait; those whose time is over are stored like them.
_READ: Final = 200
NONCE_BYTES: Final = 16
OWNER: Final = "owner"
POLICY: Final = "policy"


def question(
    draft: Draft,
    agent: str,
    action: ActionClass,
    what: str,
    why: str,
    task: Hash | None,
    subject: Hash,
    lifetime_ms: int,
) -> ApprovalRecord:
    """A fresh one, which waits. Its id is a hash over all of it and over bytes that nobody could foresee."""
    asked: list[Value] = [agent, action.value, what, why, task, draft.now, draft.core.entropy(NONCE_BYTES)]
    return ApprovalRecord(
        id=sha256(encode(asked)),
        subject=subject,
        agent=agent,
        action=action.value,
        what=what,
        why=why,
        task=task,
        state=ApprovalState.ASKED,
        asked_at=draft.now,
        expires_at=Instant(draft.now + lifetime_ms),
    )


def answered(asked: ApprovalRecord, state: ApprovalState, by: str, now: Instant) -> ApprovalRecord:
    """The question with its answer."""
    return attrs.evolve(asked, state=state, by=by, decided_at=now)


def tell(draft: Draft, asked: ApprovalRecord) -> None:
    """Say in the feed how a question stands."""
    # Whoever follows the feed learns that there is a question, and reads it where it is shown as one.
    draft.tell("approval", asked.agent, (), id=asked.id.hex(), state=asked.state.value, action=asked.action)


async def check_few(core: Core, agent: str, now: Instant) -> None:
    """Nothing while an agent may ask more. Raises DaemonRefusal(too-many)."""
    query = ApprovalQuery(agent=agent, states=frozenset({ApprovalState.ASKED}))
    page = await core.store.approval_page(query, None, _READ, Order.NEWEST_FIRST)
    open_now = sum(1 for asked in page.items if approval_state(asked, now) is ApprovalState.ASKED)
    if open_now >= MOST_OPEN:
        raise DaemonRefusal(
            "too-many",
            f"{MOST_OPEN} questions of {agent} wait for an answer already.",
            "Wait until the owner has answered some.",
            status=429,
        )
