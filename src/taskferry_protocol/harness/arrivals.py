"""What a delivered envelope comes to at a device: `inbound.receive` decides, this has the effect.

Everything that one envelope does goes into one draft, and so into one commit.
"""

from __future__ import annotations

import attrs

from ..envelope import Envelope
from ..errors import RejectCode, RemoteProtocolError
from ..handoff import Kept
from ..ids import Hash
from ..inbound import (
    Apply,
    Decision,
    Directory,
    Duplicate,
    InboundFacts,
    NeedLog,
    Quarantine,
    Relation,
    Standing,
)
from ..links import ROLES, EventType, Role
from ..messages import Content, MessageClass, Outcome, Receipt, TaskSeen, TextMessage, is_task_event
from ..records import Flow, Rung
from ..task_events import check_event
from ..task_messages import task_event
from ..task_seen import confirmation_due
from ..task_view import TaskView
from .device_store import DeviceStore, Owed, Quarantined, Received, TaskRow
from .draft import Draft

__all__ = ["facts_for", "settle"]


def facts_for(draft: Draft, envelope: Envelope, directory: Directory) -> InboundFacts:
    """What this device knows when it decides on an envelope."""
    store, header, keys = draft.store, envelope.header, draft.keys
    bond = store.bonds.get((header.to, header.from_))
    return InboundFacts(
        mine=store.log,
        device=keys.id,
        keys=(keys.encryption,),
        sender=store.log_of(header.from_.account),
        relation=Relation.CONNECTED if bond is not None else Relation.STRANGER,
        acquainted=any(peer.account == header.from_.account for _, peer in store.bonds),
        grant=bond.given if bond is not None else None,
        terms=bond.terms if bond is not None else None,
        rate=store.rates.get(Flow(header.from_, header.to)),
        arrived=store.arrived.get(Flow(header.from_, header.to)),
        open_tasks=store.open_tasks(header, keys.id),
        seen=store.seen(envelope),
        highest_seq=store.highest.get((envelope.device, header.to)),
        caught_up=store.caught_up,
        directory=directory,
    )


def settle(draft: Draft, decision: Decision) -> str:
    """Do what a decision comes to. Says in a word what that was."""
    match decision:
        case Apply():
            return _apply(draft, decision)
        case Quarantine():
            return _quarantine(draft, decision)
        case Duplicate(envelope=envelope, outcome=outcome, code=code):
            _owe(draft, envelope, outcome, code)
            return "duplicate"
        case NeedLog():
            return "waits for a log"


def _apply(draft: Draft, decision: Apply) -> str:
    envelope, content = decision.envelope, decision.opened.content
    # What is refused half-way must have done nothing.
    before = draft.store
    draft.store = before.copy()
    try:
        code = _effect(draft, decision, content)
    except RemoteProtocolError as error:
        draft.store = before
        refused = Quarantine(envelope.hash, error.code, error.text, envelope, decision.opened)
        return _quarantine(draft, refused)
    header = envelope.header
    if decision.rate is not None:
        draft.store.rates[Flow(header.from_, header.to)] = decision.rate
    if decision.arrived is not None:
        draft.store.arrived[Flow(header.from_, header.to)] = decision.arrived
    outcome = Outcome.APPLIED if code is None else Outcome.QUARANTINED
    word = "" if code is None else code.value
    if code is not None:
        draft.quarantine(Quarantined(envelope.hash, code, "names an event that this side never signed"))
    draft.store.remember(envelope, outcome.value, word, draft.now)
    if decision.standing is Standing.RECIPIENT:
        _owe(draft, envelope, outcome.value, word)
    return f"{content.body.type_name} {outcome.value} {word}".rstrip()


def _quarantine(draft: Draft, decision: Quarantine) -> str:
    draft.quarantine(Quarantined(decision.hash, decision.code, decision.text))
    envelope = decision.envelope
    if envelope is not None and decision.lasts:
        if decision.code is not RejectCode.EQUIVOCATION:
            outcome = Outcome.QUARANTINED.value
            draft.store.remember(envelope, outcome, decision.code.value, draft.now)
        _owe(draft, envelope, Outcome.QUARANTINED.value, decision.code.value)
    return f"quarantined {decision.code.value}"


def _owe(draft: Draft, envelope: Envelope, outcome: str, code: str) -> None:
    """Say it to the sender if there is a connection on which it can be said. Receipts are never receipted."""
    header = envelope.header
    if header.cls in {MessageClass.RECEIPT, MessageClass.ACCOUNT}:
        return
    if (header.to, header.from_) in draft.store.bonds:
        draft.owe(Owed(envelope.hash, header.to, header.from_, outcome, code))


# --- Effects ------------------------------------------------------------------------------------------------


def _effect(draft: Draft, decision: Apply, content: Content) -> RejectCode | None:
    """Do what a message of this type does. A code: it is held, but quarantined all the same."""
    envelope, store, body = decision.envelope, draft.store, content.body
    header = envelope.header
    store.kept[envelope.hash] = Kept(envelope.raw, decision.opened.key)
    store.contents[envelope.hash] = content
    if is_task_event(body):
        return _take_event(draft, decision, content)
    match body:
        case TextMessage(text=text):
            if decision.standing is Standing.RECIPIENT:
                received = Received(envelope.hash, header.to, header.from_, text)
                store.inbox = (*store.inbox, received)
        case Receipt():
            _take_receipt(draft, envelope, body)
        case _:
            raise RemoteProtocolError(
                RejectCode.UNKNOWN_REQUEST, f"a world makes its connections itself: {body.type_name}"
            )
    return None


def _take_receipt(draft: Draft, envelope: Envelope, receipt: Receipt) -> None:
    store, header = draft.store, envelope.header
    store.receipts = (*store.receipts, envelope.hash)
    for item in receipt.items:
        sent = store.sent.get(item.hash)
        # Only the recipient of a message can say what became of it, and what is delivered stays so.
        if sent is None or sent.peer != header.from_ or sent.rung is Rung.DELIVERED:
            continue
        if item.outcome is Outcome.QUARANTINED:
            code = RejectCode(item.code) if item.code in set(RejectCode) else RejectCode.INTERNAL
            store.sent[item.hash] = attrs.evolve(sent, rung=Rung.FAILED, code=code)
        else:
            store.sent[item.hash] = attrs.evolve(sent, rung=Rung.DELIVERED, code=None)


def _take_event(draft: Draft, decision: Apply, content: Content) -> RejectCode | None:
    envelope, store, link = decision.envelope, draft.store, content.link
    if link is None:
        raise RemoteProtocolError(RejectCode.MISSING_FIELD, "a task event has a link", field="link")
    task = envelope.hash if link.task is None else link.task
    known = task in store.tasks
    row = _row(store, task, decision, content)
    if row is None:
        store.unplaced[task] = (*store.unplaced.get(task, ()), decision)
        return None
    header = envelope.header
    role = row.role if header.from_ == row.mine else row.role.other
    event = task_event(
        content, hash=envelope.hash, role=role, device=envelope.device, created_at=header.created_at
    )
    check_event(event, task)
    before = draft.view(task) if known else None
    store.tasks[task] = row
    draft.hold(task, event)
    after = draft.view(task)
    code = _closing(after, envelope.hash)
    if decision.standing is Standing.RECIPIENT and after.may_write(row.role, draft.keys.id):
        due = confirmation_due(before, after, row.role)
        if due is not None:
            draft.sign_event(task, TaskSeen(), due)
    for late in store.unplaced.pop(task, ()):
        _take_event(draft, late, late.opened.content)
    return code


def _row(store: DeviceStore, task: Hash, decision: Apply, content: Content) -> TaskRow | None:
    """Who is who in this task, None while nobody can tell. Raises wrong-party for a stranger to it."""
    header = decision.envelope.header
    ours, theirs = (
        (header.to, header.from_) if decision.standing is Standing.RECIPIENT else (header.from_, header.to)
    )
    row = store.tasks.get(task)
    if row is not None:
        if (row.mine, row.peer) != (ours, theirs):
            raise RemoteProtocolError(RejectCode.WRONG_PARTY, "from a third party")
        return row
    role = _role(decision, content)
    return None if role is None else TaskRow(task, role, ours, theirs, content.conv)


def _role(decision: Apply, content: Content) -> Role | None:
    """Our role in a task of which nothing is held yet; None for a copy that either side may have signed."""
    roles = ROLES[EventType(content.body.type_name)]
    if decision.standing is Standing.RECIPIENT:
        if Role.REQUESTER not in roles:
            raise RemoteProtocolError(RejectCode.UNKNOWN_TASK, "no such task was asked for here")
        return Role.WORKER
    return next(iter(roles)) if len(roles) == 1 else None


def _closing(view: TaskView, hash: Hash) -> RejectCode | None:
    for refused in view.refused:
        if refused.hash == hash and refused.code is not RejectCode.FORK:
            return refused.code
    return None
