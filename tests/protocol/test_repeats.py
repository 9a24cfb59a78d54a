"""What may be brought once more, and by whose time it is judged."""

from __future__ import annotations

import attrs
import pytest

from taskferry_protocol.envelope import check_life
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Instant
from taskferry_protocol.inbound import Apply
from taskferry_protocol.messages import TaskRepeat
from taskferry_protocol.repeats import read_repeat
from taskferry_protocol.sealing import Sealed

from .deliveries import code_of, decided
from .owners import NOW
from .world import MINUTE, World, asked_for, said, submitted


def brought(sealed: Sealed) -> TaskRepeat:
    """What brings an envelope once more."""
    return TaskRepeat(sealed.envelope.raw, sealed.key)


def test_an_event_is_brought_by_its_sender_to_its_recipient(world: World) -> None:
    """A step of a task, or a result."""
    carrier = world.sealed(said()).envelope.header
    for content in (asked_for(), submitted()):
        event = world.sealed(content)
        assert read_repeat(brought(event), carrier) == event.envelope


def test_nothing_else_is_brought(world: World) -> None:
    """No message, and nothing of another sender's or for another recipient."""
    carrier = world.sealed(said()).envelope.header
    with pytest.raises(RemoteProtocolError) as refused:
        read_repeat(brought(world.sealed(said())), carrier)
    assert refused.value.code is RejectCode.CLASS_MISMATCH
    event = world.sealed(asked_for())
    elsewhere = (attrs.evolve(carrier, from_=carrier.to), attrs.evolve(carrier, to=carrier.from_))
    for other in elsewhere:
        with pytest.raises(RemoteProtocolError) as refused:
            read_repeat(brought(event), other)
        assert refused.value.code is RejectCode.WRONG_PARTY


def test_the_time_of_what_brings_it_counts(world: World) -> None:
    """Its own is over; without a carrier it is expired, with one that is over as well, too."""
    event, carrier = world.sealed(asked_for()), world.sealed(said()).envelope.header
    over = event.envelope.header.expires_at
    alive = attrs.evolve(carrier, created_at=over, expires_at=Instant(over + MINUTE))
    assert code_of(decided(world, event, now=over)) is RejectCode.EXPIRED
    assert isinstance(decided(world, event, now=over, carrier=alive), Apply)
    assert code_of(decided(world, event, now=alive.expires_at, carrier=alive)) is RejectCode.EXPIRED


def test_nothing_is_brought_by_what_was_written_before_it(world: World) -> None:
    """Nobody brings what was not there yet."""
    carrier = world.sealed(said()).envelope.header
    later = attrs.evolve(carrier, created_at=Instant(carrier.created_at + 1))
    check_life(carrier, later, NOW)
    with pytest.raises(RemoteProtocolError) as refused:
        check_life(later, carrier, NOW)
    assert refused.value.code is RejectCode.BAD_TIME
