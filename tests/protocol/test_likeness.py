"""Envelopes read by their likeness to a first one: always as the general way reads them, or not at all."""

from __future__ import annotations

import random

import attrs
import pytest

from taskferry_protocol.admission import AdmissionFacts, Admitted, MailboxLimits, admit, read_for_admission
from taskferry_protocol.envelope import Envelope, OneWrap, Parcel, parse_envelope, read_parcel
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import Instant
from taskferry_protocol.lanes import Lane
from taskferry_protocol.likeness import Like, Likeness
from taskferry_protocol.limits import LIFETIME_MS, SKEW_MS
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import MailboxUsage, StoreEnvelope

from .owners import NOW
from .submissions import facts_of
from .world import World, keys_of, parcel_of, receipted, said

#: On both sides of each length that a number's encoding can have.
NUMBERS = (1, 22, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1)


def parcel(world: World, seq: int = 1, text: str = "good morning", **how: object) -> OneWrap:
    """A parcel for Bob's laptop alone, as a frame's quick reader leaves it."""
    made = parcel_of(world.sealed(said(text), seq=seq, **how), *keys_of(world.bob.laptop))  # type: ignore[arg-type]
    return made.envelope, made.wraps[0].key, made.wraps[0].sealed


def likeness(first: OneWrap) -> Likeness:
    """What is like a parcel."""
    found = Likeness.of(parse_envelope(first[0]), first[1])
    assert found is not None
    return found


def generally(parcel: OneWrap, now: Instant = NOW) -> Envelope | None:
    """What the general way makes of a parcel; None if it refuses it."""
    try:
        return read_for_admission(read_parcel(parcel), now=now)
    except RemoteProtocolError:
        return None


def agrees(parcel: OneWrap, like: Like, first: OneWrap) -> None:
    """The general way takes it, finds the same, and all else is as in the first."""
    envelope, before = generally(parcel), parse_envelope(first[0])
    assert envelope is not None
    header = envelope.header
    assert like == (envelope.raw, parcel[2], header.id, header.seq, header.created_at, header.expires_at)
    kept = {
        name: getattr(header, name) for name in ("id", "seq", "created_at", "expires_at", "nonce", "commit")
    }
    assert attrs.evolve(before.header, **kept) == header
    assert envelope.device == before.device
    assert parcel[1] == first[1]


@pytest.mark.parametrize("first", NUMBERS)
def test_a_number_of_the_same_length_is_like_any_other(world: World, first: int) -> None:
    """Whatever number the first had; one that takes another number of bytes is read generally."""
    one = parcel(world, first)
    found = Likeness.of(parse_envelope(one[0]), one[1])
    if first >= 2**32:
        assert found is None
        return
    assert found is not None
    for seq in NUMBERS:
        other = parcel(world, seq)
        like = found.read(other, NOW)
        assert (like is not None) == (len(other[0]) == len(one[0]) and (seq < 24) == (first < 24))
        if like is not None:
            agrees(other, like, one)


def test_contents_of_another_length_are_alike(world: World) -> None:
    """What is padded to another size says nothing else in its header."""
    first = parcel(world)
    for text in ("x" * 300, "x" * 2_000, "x" * 30_000):
        other = parcel(world, 2, text)
        like = likeness(first).read(other, NOW)
        assert like is not None
        agrees(other, like, first)
    large = parcel(world, 3, "x" * 65_536)
    assert likeness(first).read(large, NOW) is None
    assert Likeness.of(parse_envelope(large[0]), large[1]) is None


@pytest.mark.parametrize("seq", [7, 200, 3_000, 70_000])
def test_no_byte_can_be_changed_so_that_both_ways_differ(world: World, seq: int) -> None:
    """Each byte in turn becomes each of some others: what is read is read alike, or not at all."""
    first, good = parcel(world, seq), parcel(world, seq + 1)
    found = likeness(first)
    taken = refused = 0
    for at in range(len(good[0])):
        # Heads and header stand in front; ciphertext and signature are looked at as a whole.
        values = (
            range(256) if at % 5 == 0 and at < 500 else (0, 0x17, 0x18, 0x58, 0x59, 0x5A, 0x7F, 0x80, 0xFF)
        )
        for value in values:
            raw = good[0][:at] + bytes((value,)) + good[0][at + 1 :]
            changed = (raw, *good[1:])
            like = found.read(changed, NOW)
            if like is not None:
                agrees(changed, like, first)
                taken += 1
            else:
                refused += 1
    assert taken > 100
    assert refused > 100


def test_bytes_cut_out_or_put_in_are_not_alike(world: World) -> None:
    """Lengths that lie are left to the general way."""
    first, good = parcel(world), parcel(world, 2)
    found, draw = likeness(first), random.Random(3)
    assert all(found.read((good[0][:end], *good[1:]), NOW) is None for end in range(len(good[0])))
    assert found.read((good[0] + b"\0", *good[1:]), NOW) is None
    for _ in range(2_000):
        one, other = sorted(draw.sample(range(len(good[0])), 2))
        for raw in (good[0][:one] + good[0][other:], good[0][:other] + good[0][one:]):
            like = found.read((raw, *good[1:]), NOW)
            if like is not None:
                agrees((raw, *good[1:]), like, first)


def test_whoever_is_another_is_not_alike(world: World) -> None:
    """Another device, agent, account, recipient, log position, class or key has its own decision."""
    found = likeness(parcel(world))
    for how in (
        {"by": world.phone.signing},
        {"from_": world.alice.agent("helper")},
        {"from_": world.bob.agent("tester")},
        {"to": world.bob.agent("other")},
        {"to": world.alice.agent("coder")},
        {"log": world.alice.log.position_at(1)},
        {"to_log": world.bob.log.position_at(1)},
    ):
        assert found.read(parcel(world, 2, **how), NOW) is None, how
    other_class = parcel_of(world.sealed(receipted(), seq=2), *keys_of(world.bob.laptop))
    wrap = other_class.wraps[0]
    assert found.read((other_class.envelope, wrap.key, wrap.sealed), NOW) is None
    good = parcel(world, 2)
    assert found.read((good[0], world.phone.encryption.public, good[2]), NOW) is None
    assert found.read(good, NOW) is not None


def test_the_clock_is_asked_for_each(world: World) -> None:
    """One that is over, or from the future, is told so the general way; to the millisecond."""
    found = likeness(parcel(world))
    late = parcel(world, 2, expires_at=Instant(NOW + 1_000))
    ahead = parcel(world, 3, at=Instant(NOW + SKEW_MS), expires_at=Instant(NOW + SKEW_MS + 5))
    for one, good, bad in ((late, NOW + 999, NOW + 1_000), (ahead, NOW, NOW - 1)):
        assert found.read(one, Instant(good)) is not None
        assert found.read(one, Instant(bad)) is None
        assert generally(one, Instant(good)) is not None
        assert generally(one, Instant(bad)) is None


def test_lives_that_are_too_long_or_over_before_they_begin_are_not_alike(world: World) -> None:
    """Nor times in a longer form than they need."""
    first, good = parcel(world), parcel(world, 2)
    found = likeness(first)
    header = parse_envelope(good[0]).header
    was = header.created_at.to_bytes(8, "big"), header.expires_at.to_bytes(8, "big")
    for created, expires in (
        (NOW, NOW + LIFETIME_MS + 1),
        (NOW, NOW),
        (NOW + 1, NOW),
        (2**32 - 1, 2**32 + 1),
        (0, NOW),
    ):
        raw = good[0].replace(was[0], created.to_bytes(8, "big")).replace(was[1], expires.to_bytes(8, "big"))
        changed = (raw, *good[1:])
        # Not even by a clock that finds them in time.
        assert found.read(changed, Instant(created)) is None
        assert generally(changed, Instant(created)) is None


# --- what a lane makes of them ------------------------------------------------------------------------------


def lane_of(first: OneWrap, facts: AdmissionFacts) -> Lane:
    """The lane that a first parcel opens."""
    read = read_parcel(first)
    lane = Lane.of(read_for_admission(read, now=NOW), read.wraps, facts, NOW)
    assert lane is not None
    return lane


def likes(world: World, *numbers: int) -> list[Like]:
    """Messages with these numbers, like the first of this world."""
    found = likeness(parcel(world))
    read = [found.read(parcel(world, number), NOW) for number in numbers]
    return [like for like in read if like is not None]


def stored_by(admission: Admitted) -> StoreEnvelope:
    """What the general decision comes to."""
    envelope, header = admission.envelope, admission.envelope.header
    return StoreEnvelope(
        *(envelope.device, header.id, header.to, header.seq, envelope.hash),
        *(header.created_at, header.expires_at, NOW, envelope.raw, admission.entries),
    )


def test_what_is_carried_is_what_the_general_decision_admits(world: World) -> None:
    """One behind the other, each at its cost."""
    facts, some = facts_of(world), likes(world, 2, 3, 4, 5)
    assert len(some) == 4
    decided, rate = lane_of(parcel(world), facts).carry(some, None)
    before: RateState | None = None
    for like, outcome in zip(some, decided, strict=True):
        read = read_parcel((like[0], world.bob.laptop.encryption.public, like[1]))
        envelope = read_for_admission(read, now=NOW)
        expected = admit(envelope, read.wraps, attrs.evolve(facts, rate=before), now=NOW)
        assert isinstance(expected, Admitted)
        assert outcome == stored_by(expected)
        before = expected.rate
    assert rate == before is not None


def test_each_signature_is_checked(world: World) -> None:
    """One that does not verify is refused alone, costs nothing, and those around it pass."""
    some = likes(world, 2, 3, 4)
    for at in (-1, -64, -80):
        damaged = bytearray(some[1][0])
        damaged[at] ^= 1
        bad = (bytes(damaged), *some[1][1:])
        decided, rate = lane_of(parcel(world), facts_of(world)).carry([some[0], bad, some[2]], None)
        assert [type(outcome) for outcome in decided] == [StoreEnvelope, Refusal, StoreEnvelope]
        assert isinstance(decided[1], Refusal)
        assert decided[1].code is RejectCode.BAD_SIGNATURE
        assert rate == RateState(RateState.full(world.grant.rate, NOW).tokens_milli - 2_000, NOW)


def test_no_more_is_carried_than_there_is_rate_for(world: World) -> None:
    """The next is left to the general decision, which says how long to wait."""
    lane, some = lane_of(parcel(world), facts_of(world)), likes(world, 2, 3, 4)
    decided, rate = lane.carry(some, RateState(2_500, NOW))
    assert len(decided) == 2
    assert rate == RateState(500, NOW)
    for nothing in (RateState(999, NOW), RateState(-5_000, NOW)):
        assert lane.carry(some, nothing) == ([], nothing)


@pytest.mark.parametrize("shared", [False, True])
def test_no_more_is_carried_than_there_is_room_for(world: World, *, shared: bool) -> None:
    """Entries and bytes of the mailbox, and those of its sender in it, as the general decision counts."""
    device, some = world.bob.laptop.id, likes(world, 2, 3, 4, 5, 6)
    taken = len(some[0][0]) + len(some[0][1])
    for usage, limits in (
        (MailboxUsage(count=6), MailboxLimits(entries=9)),
        (MailboxUsage(count=0, bytes=4_000), MailboxLimits(size=4_000 + 3 * taken)),
        (MailboxUsage(count=0, bytes=4_001), MailboxLimits(size=4_000 + 3 * taken)),
    ):
        share = MailboxUsage(count=1, bytes=10) if shared else None
        shares = {} if share is None else {device: share}
        lane = lane_of(parcel(world), facts_of(world, usage={device: usage}, shares=shares, limits=limits))
        decided, _ = lane.carry(some, None)
        expected = 0
        count, size = usage.count, usage.bytes
        own = share or MailboxUsage()
        more = 1 if share is None else 2
        while True:
            now = {device: MailboxUsage(count + expected, size + expected * taken)}
            mine = {
                device: MailboxUsage(
                    own.count + (more - 1) * expected, own.bytes + (more - 1) * expected * taken
                )
            }
            facts = facts_of(world, usage=now, shares=mine if shared else {}, limits=limits)
            read = Parcel(some[expected][0], read_parcel(parcel(world)).wraps)
            if not isinstance(admit(read_for_admission(read, now=NOW), read.wraps, facts, now=NOW), Admitted):
                break
            expected += 1
        assert len(decided) == expected


def test_nothing_is_carried_that_is_wrapped_otherwise(world: World) -> None:
    """Behind a message for two devices none with one wrap is the same."""
    two = parcel_of(world.sealed(said()), *keys_of(world.bob.laptop, world.phone))
    lane = Lane.of(read_for_admission(two, now=NOW), two.wraps, facts_of(world), NOW)
    assert lane is not None
    assert lane.carry(likes(world, 2), None) == ([], None)


def test_more_bytes_than_are_granted_are_not_carried(world: World) -> None:
    """The grant's largest envelope bounds these, too."""
    found = likeness(parcel(world))
    large = found.read(parcel(world, 2, "x" * 40_000), NOW)
    assert large is not None
    grant = attrs.evolve(world.grant, largest=len(large[0]) - 1)
    facts = facts_of(world)
    assert facts.connection is not None
    facts = attrs.evolve(facts, connection=attrs.evolve(facts.connection, grant=grant))
    assert lane_of(parcel(world), facts).carry([large], None) == ([], None)
