"""Envelopes as a mailbox delivers them to Bob's laptop, and the decisions on them."""

from __future__ import annotations

from typing import Any

import attrs

from taskferry_protocol.envelope import Envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Instant
from taskferry_protocol.inbound import (
    Decision,
    InboundFacts,
    Quarantine,
    Relation,
    read_inbound,
    receive,
)
from taskferry_protocol.messages import Content
from taskferry_protocol.records import SeenRecord
from taskferry_protocol.sealing import Sealed

from .owners import NOW
from .world import (
    TERMS,
    World,
    wrap_of,
)


def facts_of(world: World, **changes: Any) -> InboundFacts:
    """What Bob's laptop knows of Alice's coder."""
    facts = InboundFacts(
        mine=world.bob.log,
        device=world.bob.laptop.id,
        keys=(world.bob.laptop.encryption,),
        sender=world.alice.log,
        relation=Relation.CONNECTED,
        acquainted=True,
        grant=world.grant,
        terms=TERMS,
    )
    return attrs.evolve(facts, **changes)


def decided(world: World, sealed: Sealed, *, now: Instant = NOW, **changes: Any) -> Decision:
    """The decision at Bob's laptop on an envelope that its mailbox held."""
    wrap = wrap_of(sealed, world.bob.laptop.encryption)
    return receive(read(sealed.envelope.raw), wrap, facts_of(world, **changes), now=now)


def decided_on(world: World, content: Content, **changes: Any) -> Decision:
    """The decision on a message from Alice's laptop."""
    return decided(world, world.sealed(content), **changes)


def read(raw: bytes) -> Envelope:
    """The envelope in good bytes."""
    envelope = read_inbound(raw)
    assert isinstance(envelope, Envelope)
    return envelope


def code_of(decision: Decision) -> RejectCode:
    """Why it has no effect."""
    assert isinstance(decision, Quarantine), f"{decision}; a quarantine was expected"
    return decision.code


def seen_as(envelope: Envelope, outcome: str = "applied", code: str = "") -> SeenRecord:
    """The row that remembers an envelope."""
    header = envelope.header
    return SeenRecord(envelope.device, header.id, header.to, header.seq, envelope.hash, outcome, code, NOW)
