"""What a peer brings once more of a task, since it had expired on its way: taken as if it came by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from taskferry_protocol.barred import forget_decision
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.inbound import Apply, Decision, Directory, Quarantine, Standing, receive
from taskferry_protocol.messages import Outcome, TaskRepeat
from taskferry_protocol.records import Direction, RecordSeen, ReviseSeen
from taskferry_protocol.repeats import read_repeat
from taskferry_protocol.sealing import wrap_for

from .arrival import Arrival, owe
from .draft import Draft
from .inbound_facts import gather_facts, seen_key

__all__ = ["take_repeat"]

Take = Callable[[Arrival], Awaitable[None]]
"""Puts the effect of something that came into its draft."""


async def take_repeat(arrival: Arrival, body: TaskRepeat, take: Take) -> None:
    """Take the event that is brought, unless it is here. Raises RemoteProtocolError where it cannot be.

    Its sender is told of the event itself, whatever it is told of what has brought it.
    """
    arrival.keep()
    if arrival.decision.standing is Standing.COPY:
        return  # our other device signed the event, and has it
    draft, carrier = arrival.draft, arrival.decision.envelope.header
    envelope = read_repeat(body, carrier)
    if await _is_here(draft, envelope):
        header = envelope.header
        owe(draft, envelope.hash, header.cls, header.to, header.from_, Outcome.APPLIED.value, "")
        return
    decision = await _decide(draft, envelope, arrival, body.key)
    if isinstance(decision, Quarantine):
        raise RemoteProtocolError(decision.code, decision.text)
    if not isinstance(decision, Apply) or decision.opened.content.link is None:
        raise RemoteProtocolError(RejectCode.BAD_LINK, "only events of tasks are brought once more")
    await take(Arrival(draft, attrs.evolve(decision, rate=None, arrived=None)))
    hash = envelope.hash
    seen = [change.seen for change in draft.changes if isinstance(change, RecordSeen)]
    draft.add(*(ReviseSeen(one) for one in seen if one.hash == hash))


async def _is_here(draft: Draft, envelope: Envelope) -> bool:
    """Whether it has had its effect, however long ago: what was seen is forgotten after the longest life."""
    messages = (await draft.core.store.messages((envelope.hash,))).get(envelope.hash, ())
    return any(message.direction is Direction.IN for message in messages)


async def _decide(draft: Draft, envelope: Envelope, arrival: Arrival, key: bytes) -> Decision:
    core = draft.core
    own = seen_key(envelope)
    seen = forget_decision((await core.store.seen((own,)))[own], envelope.hash)
    found = await gather_facts(core, envelope, Directory.EXHAUSTED, None, Directory.EXHAUSTED, seen)
    facts = attrs.evolve(
        found,
        # What has brought it has paid for it.
        rate=None,
        arrived=None,
        carrier=arrival.decision.envelope.header,
    )
    (wrap,) = wrap_for(key, [core.keys.device.encryption.public], core.entropy)
    return receive(envelope, wrap.sealed, facts, now=draft.now)
