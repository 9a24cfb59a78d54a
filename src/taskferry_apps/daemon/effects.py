"""What is done with something that came and is to be applied: its effect by type, and what is noted of it."""

from __future__ import annotations

from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import Instant
from taskferry_protocol.inbound import (
    Apply,
    Standing,
)
from taskferry_protocol.messages import (
    AccountUpdate,
    ActionOutcome,
    ActionRequest,
    CardUpdate,
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionRequested,
    DeviceShare,
    GrantDigest,
    GrantUpdated,
    Outcome,
    Receipt,
    TaskRepeat,
    TextMessage,
)
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import (
    DropQuarantine,
    Flow,
    RateRecord,
    RecordRate,
    RecordSeen,
    SeenRecord,
)

from .action_arrivals import take_action_outcome, take_action_request
from .arrival import Arrival, owe
from .cards import take_card
from .connection_arrivals import take_acceptance, take_end, take_grant, take_request
from .connection_copies import take_connection_copy
from .core import Core
from .draft import Draft
from .late_mail import note_late
from .message_arrivals import take_message
from .own_news import heard_of
from .quarantine import audit_refusal
from .receipts import take_receipt
from .repeat_arrivals import take_repeat
from .share_arrivals import take_share
from .task_arrivals import take_task_event

__all__ = ["apply", "note_applied", "seen_row"]


async def apply(arrival: Arrival) -> None:
    """Put what becomes of something that is to be applied into its draft. Raises what effects raise."""
    draft, decision = arrival.draft, arrival.decision
    envelope = decision.envelope
    header = envelope.header
    # It may have come before, spoilt on its way.
    draft.add(DropQuarantine(envelope.hash))
    if decision.rate is not None:
        draft.add(_rate(Flow(header.from_, header.to), decision.rate))
    outcome, word = await _effect(arrival)
    await note_late(draft, envelope, arrival.content.body)
    if outcome is Outcome.QUARANTINED:
        await audit_refusal(draft, word, header.from_, header.to, header.cls.value)
    draft.add(seen_row(envelope, outcome.value, word, draft))
    if decision.standing is Standing.RECIPIENT:
        owe(draft, envelope.hash, header.cls, header.to, header.from_, outcome.value, word)


def note_applied(core: Core, decision: Apply, now: Instant) -> None:
    """Remember, once it is committed, what is remembered of it in memory."""
    header = decision.envelope.header
    if header.from_.account == core.own:
        core.devices_heard[decision.envelope.device] = min(header.created_at, now)
    if decision.arrived is not None:
        core.arrived[Flow(header.from_, header.to)] = decision.arrived


def _rate(flow: Flow, rate: RateState) -> RecordRate:
    return RecordRate(flow, RateRecord(rate.tokens_milli, rate.at))


def seen_row(envelope: Envelope, outcome: str, code: str, draft: Draft) -> RecordSeen:
    """What is noted of a decision, so that the same is known when it comes again."""
    header = envelope.header
    return RecordSeen(
        SeenRecord(envelope.device, header.id, header.to, header.seq, envelope.hash, outcome, code, draft.now)
    )


async def _effect(arrival: Arrival) -> tuple[Outcome, str]:
    """Do what a message of this type does; what its sender is told of it, with a code where there is one."""
    body = arrival.content.body
    match body:
        case ConnectionRequested() | ConnectionAccepted() | ConnectionEnded() | GrantUpdated():
            if arrival.decision.standing is Standing.COPY:
                await take_connection_copy(arrival, body)
            else:
                return Outcome.APPLIED, await _connection_effect(arrival, body)
        case TextMessage():
            await take_message(arrival, body)
        case Receipt():
            await take_receipt(arrival, body)
        case TaskRepeat():
            await take_repeat(arrival, body, apply)
        case DeviceShare():
            await take_share(arrival, body)
        case ActionRequest():
            await take_action_request(arrival, body)
        case ActionOutcome():
            await take_action_outcome(arrival, body)
        case CardUpdate():
            await take_card(arrival, body)
        case AccountUpdate():
            # The news is the log that the header quotes: it was taken before this was decided on.
            await heard_of(arrival.draft, arrival.peer.account, body)
            arrival.keep()
        case GrantDigest():
            arrival.keep()
        case _:
            code = await take_task_event(arrival)
            if code is not None:
                # It is held, but quarantined all the same.
                return Outcome.QUARANTINED, code.value
    return Outcome.APPLIED, ""


async def _connection_effect(
    arrival: Arrival, body: ConnectionRequested | ConnectionAccepted | ConnectionEnded | GrantUpdated
) -> str:
    match body:
        case ConnectionRequested():
            return await take_request(arrival, body)
        case ConnectionAccepted():
            await take_acceptance(arrival, body)
        case ConnectionEnded():
            await take_end(arrival, body)
        case GrantUpdated():
            await take_grant(arrival, body)
    return ""
