"""Which refusals may be taken back, and what a second look at one comes to."""

from __future__ import annotations

import attrs
import pytest

from taskferry_protocol.barred import Again, again, forget_decision, is_barred
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AccountId
from taskferry_protocol.inbound import Decision, Directory, NeedLog, Quarantine, Relation
from taskferry_protocol.messages import Content
from taskferry_protocol.permissions import Terms
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import Seen

from .deliveries import decided, decided_on, seen_as
from .owners import NOW
from .world import World, asked_for, introduced, said, submitted

FEW = Terms(bytes(16))
SPENT = RateState(-1_000_000, NOW)


def refused(decision: Decision) -> Quarantine:
    """What was set aside."""
    assert isinstance(decision, Quarantine)
    return decision


@pytest.mark.parametrize("content", [asked_for(), submitted()])
def test_what_a_task_lacks_for_want_of_permission_is_barred(world: World, content: Content) -> None:
    """Whether the class or the number of open tasks is not granted, or the rate is spent."""
    for changes in ({"grant": None}, {"rate": SPENT, "arrived": SPENT}):
        item = refused(decided_on(world, content, **changes))
        assert is_barred(item, Relation.CONNECTED)
    assert is_barred(refused(decided_on(world, asked_for(), terms=FEW)), Relation.CONNECTED)


def test_what_stands_in_no_task_is_not_barred(world: World) -> None:
    """Nothing waits for it, and its sender has been told."""
    assert not is_barred(refused(decided_on(world, said(), grant=None)), Relation.CONNECTED)


@pytest.mark.parametrize("relation", [one for one in Relation if one is not Relation.CONNECTED])
def test_who_is_blocked_or_not_connected_is_not_barred(world: World, relation: Relation) -> None:
    """Though the code is the same for one who is blocked as for one who may do less."""
    item = refused(decided_on(world, asked_for(), relation=relation))
    assert not is_barred(item, relation)


def test_what_has_another_fault_is_not_barred(world: World) -> None:
    """Nor what could not be opened at all."""
    full = attrs.evolve(refused(decided_on(world, asked_for(), grant=None)), code=RejectCode.TOO_MANY)
    assert not is_barred(full, Relation.CONNECTED)
    item = refused(decided_on(world, asked_for(), keys=()))
    assert not is_barred(item, Relation.CONNECTED)
    assert not is_barred(attrs.evolve(item, code=RejectCode.NOT_PERMITTED), Relation.CONNECTED)


def test_only_that_it_was_set_aside_is_forgotten(world: World) -> None:
    """Not that it had an effect, and not what else stands under its numbers."""
    envelope, other = world.sealed(asked_for()).envelope, world.sealed(said()).envelope
    aside, taken = seen_as(envelope, "quarantined", "not-permitted"), seen_as(envelope)
    rival, rival_aside = seen_as(other), seen_as(other, "quarantined", "not-permitted")
    assert forget_decision(Seen(aside, aside), envelope.hash) == Seen()
    assert forget_decision(Seen(taken, taken), envelope.hash) == Seen(taken, taken)
    for one in (rival, rival_aside):
        assert forget_decision(Seen(one, aside), envelope.hash) == Seen(one, None)


def test_a_second_look_takes_what_is_allowed_now(world: World) -> None:
    """And nothing that the permission still leaves out."""
    assert again(decided_on(world, asked_for()), Relation.CONNECTED) is Again.TAKE
    assert again(decided_on(world, asked_for(), grant=None), Relation.CONNECTED) is Again.BARRED


def test_a_second_look_knows_what_had_its_effect(world: World) -> None:
    """However it came about."""
    sealed = world.sealed(asked_for())
    seen = Seen(seen_as(sealed.envelope), None)
    assert again(decided(world, sealed, seen=seen), Relation.CONNECTED) is Again.DONE


def test_a_second_look_waits_for_what_time_mends(world: World) -> None:
    """A rate that is spent, an account that is held, a log that has to be asked for."""
    held = frozenset({AccountId(world.alice.log.account)})
    for changes in ({"rate": SPENT, "arrived": SPENT}, {"held": held}):
        decision = decided_on(world, asked_for(), **changes)
        assert again(decision, Relation.CONNECTED) is Again.LATER
    need = decided_on(world, introduced(world), sender=None, directory=Directory.OPEN)
    assert isinstance(need, NeedLog)
    assert again(need, Relation.CONNECTED) is Again.LATER


def test_a_second_look_refuses_for_good_what_has_another_fault(world: World) -> None:
    """A block among them."""
    late = world.sealed(asked_for())
    over = decided(world, late, now=late.envelope.header.expires_at)
    assert refused(over).code is RejectCode.EXPIRED
    assert again(over, Relation.CONNECTED) is Again.REFUSED
    blocked = decided_on(world, asked_for(), relation=Relation.BLOCKED)
    assert again(blocked, Relation.BLOCKED) is Again.REFUSED
