"""Envelopes of the usual kind: decided on quickly, and never otherwise than `admit` decides."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from taskferry_protocol.admission import Admitted, MailboxLimits, RelayConnection, admit, read_for_admission
from taskferry_protocol.envelope import Parcel
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.lanes import Lane
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import MailboxUsage

from .owners import NOW, plain_device
from .submissions import facts_of, to_bob
from .world import World, asked_for, keys_of, parcel_of, receipted, said, submitted


def lane_of(parcel: Parcel, facts, now: Instant = NOW) -> Lane | None:
    """The lane that the relay makes of an envelope."""
    return Lane.of(read_for_admission(parcel, now=now), parcel.wraps, facts, now)


def test_what_follows_the_first_is_admitted_as_it_was(world: World) -> None:
    """The next messages of a batch get the decisions that they would get alone, each at its cost."""
    facts = facts_of(world)
    lane = lane_of(to_bob(world, world.sealed(said())), facts)
    assert lane is not None
    rate = None
    for number in range(2, 6):
        parcel = to_bob(world, world.sealed(said(f"number {number}"), seq=number))
        envelope = read_for_admission(parcel, now=NOW)
        expected = admit(envelope, parcel.wraps, attrs.evolve(facts, rate=rate), now=NOW)
        assert isinstance(expected, Admitted)
        assert lane.admit(envelope, parcel.wraps, rate) == expected
        rate = expected.rate
    assert rate is not None
    assert rate.tokens_milli == RateState.full(world.grant.rate, NOW).tokens_milli - 4_000


UNLIKE: dict[str, Callable[[World], Parcel]] = {
    "another device of the same account": lambda w: to_bob(w, w.sealed(said(), seq=2, by=w.phone.signing)),
    "another agent's name": lambda w: to_bob(w, w.sealed(said(), seq=2, from_=w.alice.agent("helper"))),
    "another account": lambda w: to_bob(w, w.sealed(said(), seq=2, from_=w.bob.agent("tester"))),
    "another recipient": lambda w: to_bob(w, w.sealed(said(), seq=2, to=w.bob.agent("other"))),
    "an older log position": lambda w: to_bob(w, w.sealed(said(), seq=2, log=w.alice.log.position_at(1))),
    "an invented log position": lambda w: to_bob(w, w.sealed(said(), seq=2, log=w.bob.log.position)),
    "another class": lambda w: to_bob(w, w.sealed(receipted(), seq=2)),
    "more bytes than are granted": lambda w: to_bob(w, w.sealed(submitted("x" * w.grant.largest), seq=2)),
    "no wrap for the recipient": lambda w: parcel_of(w.sealed(said(), seq=2), *keys_of(w.phone)),
    "a wrap fewer": lambda w: parcel_of(w.sealed(said(), seq=2), *keys_of(w.bob.laptop)),
    "a wrap for a stranger": lambda w: parcel_of(
        w.sealed(said(), seq=2), *keys_of(w.bob.laptop, plain_device("stranger"))
    ),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_whatever_is_unlike_the_first_is_left_to_the_general_decision(world: World, kind: str) -> None:
    """Nothing rides in on an honest first message."""
    lane = lane_of(to_bob(world, world.sealed(said())), facts_of(world))
    assert lane is not None
    parcel = UNLIKE[kind](world)
    assert lane.admit(read_for_admission(parcel, now=NOW), parcel.wraps, None) is None


def test_every_signature_is_checked(world: World) -> None:
    """One that does not verify is refused, however many before it did."""
    lane = lane_of(to_bob(world, world.sealed(said())), facts_of(world))
    assert lane is not None
    good = to_bob(world, world.sealed(said(), seq=2))
    for at in (-1, -64, 300):
        damaged = bytearray(good.envelope)
        damaged[at] ^= 1
        envelope = read_for_admission(Parcel(bytes(damaged), good.wraps), now=NOW)
        admission = lane.admit(envelope, good.wraps, None)
        assert isinstance(admission, Refusal)
        assert admission.code is RejectCode.BAD_SIGNATURE
    envelope = read_for_admission(good, now=NOW)
    assert isinstance(lane.admit(envelope, good.wraps, None), Admitted)


def test_what_is_spent_or_full_is_left_to_the_general_decision(world: World) -> None:
    """Rates and mailboxes are looked at for each envelope, not once for all."""
    usage = {world.bob.laptop.id: MailboxUsage()}
    facts = facts_of(world, usage=usage, limits=MailboxLimits(entries=3, size=5_000))
    lane = lane_of(to_bob(world, world.sealed(said())), facts)
    parcel = to_bob(world, world.sealed(said(), seq=2))
    envelope = read_for_admission(parcel, now=NOW)
    assert lane is not None
    assert isinstance(lane.admit(envelope, parcel.wraps, None), Admitted)
    assert lane.admit(envelope, parcel.wraps, RateState(0, NOW)) is None
    usage[world.bob.laptop.id] = MailboxUsage(count=3)
    assert lane.admit(envelope, parcel.wraps, None) is None
    usage[world.bob.laptop.id] = MailboxUsage(bytes=4_999)
    assert lane.admit(envelope, parcel.wraps, None) is None


def test_there_is_no_lane_where_something_is_amiss(world: World) -> None:
    """Whoever is held, suspended, revoked, not connected or out of grant has none, nor has one owner."""
    parcel = to_bob(world, world.sealed(said()))
    alice, bob = world.alice.log.account, world.bob.log.account
    over = attrs.evolve(world.grant, until=NOW)
    for changes in (
        {"held": frozenset({alice})},
        {"held": frozenset({bob})},
        {"suspended": frozenset({alice})},
        {"suspended": frozenset({bob})},
        {"connection": None},
        {"connection": RelayConnection(world.request.hash, None)},
        {"connection": RelayConnection(world.request.hash, over)},
        {"recipient": None},
        {"device": world.phone.id},
    ):
        assert lane_of(parcel, facts_of(world, **changes)) is None
    assert lane_of(to_bob(world, world.sealed(receipted())), facts_of(world)) is None
    world.alice.serve("helper", world.alice.laptop)
    to = AgentRef(alice, "helper")
    own = parcel_of(world.sealed(asked_for(), to=to), *keys_of(world.alice.laptop))
    assert lane_of(own, facts_of(world, recipient=world.alice.log)) is None
    world.alice.revoke(world.alice.laptop)
    assert lane_of(parcel, facts_of(world)) is None
