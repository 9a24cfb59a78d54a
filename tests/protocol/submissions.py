"""Parcels as Alice's laptop sends them to a relay, and the decisions on them."""

from __future__ import annotations

from typing import Any

import attrs

from taskferry_protocol.admission import (
    Admission,
    AdmissionFacts,
    Prior,
    RelayConnection,
    admit,
    read_for_admission,
)
from taskferry_protocol.envelope import Parcel
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import Instant
from taskferry_protocol.lanes import Lane
from taskferry_protocol.messages import Content
from taskferry_protocol.sealing import Sealed

from .owners import NOW
from .world import (
    World,
    keys_of,
    parcel_of,
)


def facts_of(world: World, **changes: Any) -> AdmissionFacts:
    """What the relay knows of Alice's laptop writing to Bob's tester."""
    facts = AdmissionFacts(
        account=world.alice.log.account,
        device=world.alice.laptop.id,
        sender=world.alice.log,
        recipient=world.bob.log,
        connection=RelayConnection(world.request.hash, world.grant),
        acquainted=True,
    )
    return attrs.evolve(facts, **changes)


def decided(parcel: Parcel, facts: AdmissionFacts, *, now: Instant = NOW) -> Admission:
    """The decision on a parcel, from its bytes; by its own lane, if it has one, it is the same."""
    envelope = read_for_admission(parcel, now=now)
    admission = admit(envelope, parcel.wraps, facts, now=now)
    lane = Lane.of(envelope, parcel.wraps, facts, now)
    if lane is not None and facts.prior == Prior():
        assert lane.admit(envelope, parcel.wraps, facts.rate) in (None, admission)
    return admission


def decided_on(world: World, content: Content, **changes: Any) -> Admission:
    """The decision on a message from Alice's laptop to Bob's, with some facts changed."""
    return decided(to_bob(world, world.sealed(content)), facts_of(world, **changes))


def to_bob(world: World, sealed: Sealed) -> Parcel:
    """The parcel for Bob's laptop and Alice's phone."""
    return parcel_of(sealed, *keys_of(world.bob.laptop, world.phone))


def code_of(admission: Admission) -> RejectCode:
    """Why it was refused."""
    assert isinstance(admission, Refusal), "admitted; a refusal was expected"
    return admission.code
