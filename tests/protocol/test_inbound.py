"""The daemon's decision: what a lying relay, a lying sender, or both together can bring about."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.envelope import Envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.inbound import (
    Apply,
    Directory,
    Duplicate,
    NeedLog,
    OfferedLog,
    Quarantine,
    Relation,
    SeqGap,
    Standing,
    read_inbound,
    receive,
)
from taskferry_protocol.messages import Content
from taskferry_protocol.permissions import GRANTABLE
from taskferry_protocol.records import Seen

from .deliveries import code_of, decided, decided_on, facts_of, read, seen_as
from .owners import NOW, Owner, encryption_key, plain_device
from .world import (
    DAY,
    MINUTE,
    World,
    asked_for,
    introduced,
    receipted,
    said,
    submitted,
    updated,
    wrap_of,
)

# --- Applied ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [said(), asked_for(), submitted(), receipted()])
def test_what_is_granted_is_applied(world: World, content: Content) -> None:
    """With its content, the key that proves it later, and where it stands."""
    sealed = world.sealed(content)
    decision = decided(world, sealed)
    assert isinstance(decision, Apply)
    assert (decision.opened.content, decision.opened.key) == (content, sealed.key)
    assert decision.standing is Standing.RECIPIENT
    assert decision.missing is None


def test_a_former_key_opens_what_was_sealed_before_a_rotation(world: World) -> None:
    """Nothing that was on its way is lost by rotating."""
    keys = (encryption_key("next"), world.bob.laptop.encryption)
    assert isinstance(decided_on(world, said(), keys=keys), Apply)


def test_missing_numbers_are_noted_and_block_nothing(world: World) -> None:
    """A relay that keeps something back shows itself; what comes is applied all the same."""
    fifth = world.sealed(said(), seq=5)
    for highest, missing in ((1, SeqGap(2, 4)), (3, SeqGap(4, 4)), (4, None), (9, None), (None, None)):
        decision = decided(world, fifth, highest_seq=highest)
        assert isinstance(decision, Apply)
        assert decision.missing == missing


# --- Copies -------------------------------------------------------------------------------------------------


def test_the_owners_other_devices_send_copies(world: World) -> None:
    """What Alice's laptop sends comes to her phone as a copy, whatever Bob grants."""
    sealed = world.sealed(said())
    phone = facts_of(
        world,
        mine=world.alice.log,
        device=world.phone.id,
        keys=(world.phone.encryption,),
        relation=Relation.STRANGER,
        grant=None,
    )
    decision = receive(sealed.envelope, wrap_of(sealed, world.phone.encryption), phone, now=NOW)
    assert isinstance(decision, Apply)
    assert (decision.standing, decision.rate) == (Standing.COPY, None)


def test_what_is_for_another_device_of_the_owner_is_not_taken(world: World) -> None:
    """A relay, or a program gone wrong, that hands it on with a key that fits makes nothing of it."""
    to = AgentRef.to_device(world.alice.log.account, world.alice.laptop.id)
    sealed = world.sealed(updated(world), to=to, by=world.phone.signing)
    phone = facts_of(
        world, mine=world.alice.log, device=world.phone.id, keys=(world.phone.encryption,), acquainted=False
    )
    decision = receive(sealed.envelope, wrap_of(sealed, world.phone.encryption), phone, now=NOW)
    assert code_of(decision) is RejectCode.WRONG_RECIPIENT
    laptop = attrs.evolve(phone, device=world.alice.laptop.id, keys=(world.alice.laptop.encryption,))
    decision = receive(sealed.envelope, wrap_of(sealed, world.alice.laptop.encryption), laptop, now=NOW)
    assert isinstance(decision, Apply)
    assert decision.standing is Standing.RECIPIENT


def test_a_revoked_device_sends_no_copies(world: World) -> None:
    """A stolen phone cannot write history into the owner's other devices."""
    sealed = world.sealed(said(), by=world.phone.signing)
    world.alice.revoke(world.phone)
    laptop = facts_of(
        world,
        mine=world.alice.log,
        device=world.alice.laptop.id,
        keys=(world.alice.laptop.encryption,),
    )
    decision = receive(sealed.envelope, wrap_of(sealed, world.alice.laptop.encryption), laptop, now=NOW)
    assert code_of(decision) is RejectCode.DEVICE_GONE


def test_agents_of_one_owner_need_no_grant(world: World) -> None:
    """The two agents of one account trust each other."""
    world.bob.serve("helper", world.bob.laptop)
    sealed = world.sealed(
        asked_for(),
        from_=world.bob.agent("helper"),
        by=world.bob.laptop.signing,
        log=world.bob.log.position,
    )
    decision = decided(
        world, sealed, mine=world.bob.log, sender=world.bob.log, relation=Relation.STRANGER, grant=None
    )
    assert isinstance(decision, Apply)
    assert decision.standing is Standing.RECIPIENT


# --- A relay that lies --------------------------------------------------------------------------------------


def test_bytes_that_are_no_envelope_are_quarantined(world: World) -> None:
    """They are kept under the hash of what came, and block nothing."""
    for raw in (b"", b"\xd2", world.sealed(said()).envelope.raw[:-1]):
        decision = read_inbound(raw)
        assert isinstance(decision, Quarantine)
        assert decision.envelope is None


def test_what_was_changed_on_its_way_proves_nothing(world: World) -> None:
    """Its id and number are not taken for seen, so the true envelope is applied when it comes."""
    sealed = world.sealed(said())
    raw = bytearray(sealed.envelope.raw)
    raw[-1] ^= 1
    wrap = wrap_of(sealed, world.bob.laptop.encryption)
    decision = receive(read(bytes(raw)), wrap, facts_of(world), now=NOW)
    assert code_of(decision) is RejectCode.BAD_SIGNATURE
    assert isinstance(decision, Quarantine)
    assert decision.envelope is None


def test_mail_of_others_is_not_taken(world: World) -> None:
    """Delivered to the wrong device, by chance or to see what happens."""
    carol = Owner("carol")
    carol.serve("tester", carol.laptop)
    for to in (carol.agent("tester"), world.bob.agent("nobody"), world.bob.agent("#general")):
        assert code_of(decided(world, world.sealed(said(), to=to))) is RejectCode.WRONG_RECIPIENT


def test_mail_for_an_agent_on_another_device_is_not_taken(world: World) -> None:
    """Each agent has its own devices."""
    tablet = plain_device("bob tablet")
    world.bob.add(tablet)
    world.bob.serve("tester", tablet)
    assert code_of(decided_on(world, said())) is RejectCode.WRONG_RECIPIENT


def test_the_relays_word_on_permission_counts_for_nothing(world: World) -> None:
    """With the relay's checks switched off, each class still needs connection and grant here."""
    for content in (said(), asked_for(), submitted()):
        for relation in (Relation.STRANGER, Relation.UNDER_WAY):
            assert code_of(decided_on(world, content, relation=relation)) is RejectCode.NOT_CONNECTED
        assert code_of(decided_on(world, content, relation=Relation.BLOCKED)) is RejectCode.NOT_PERMITTED
        assert code_of(decided_on(world, content, grant=None)) is RejectCode.NOT_PERMITTED
        for grant in (
            world.granted(classes=GRANTABLE - {content.body.message_class}),
            world.granted(until=NOW),
            world.granted(largest=300),
        ):
            decision = decided_on(world, content, grant=grant)
            assert code_of(decision) is RejectCode.NOT_PERMITTED
            assert isinstance(decision, Quarantine)
            assert decision.opened is not None
            assert decision.opened.content == content


def test_a_held_back_envelope_expires(world: World) -> None:
    """What comes after its time has no effect, and is proven and kept; from the future, likewise."""
    sealed = world.sealed(said())
    late = decided(world, sealed, now=Instant(NOW + DAY))
    assert code_of(late) is RejectCode.EXPIRED
    assert isinstance(late, Quarantine)
    assert late.envelope == sealed.envelope
    assert code_of(decided(world, sealed, now=Instant(NOW - 5 * MINUTE - 1))) is RejectCode.BAD_TIME


def test_a_second_delivery_has_no_second_effect(world: World) -> None:
    """Even after its time, or after the permission is gone: what was said of it once is said again."""
    sealed = world.sealed(said())
    for outcome, code in (("applied", ""), ("quarantined", "not-permitted")):
        decision = decided(
            world,
            sealed,
            now=Instant(NOW + 9 * DAY),
            grant=None,
            seen=Seen(by_id=seen_as(sealed.envelope, outcome, code)),
        )
        assert decision == Duplicate(sealed.envelope, outcome, code)


def test_wraps_exchanged_between_devices_do_not_open(world: World) -> None:
    """A relay that hands out another device's wrap, another envelope's, or none."""
    one, two = world.sealed(said("one")), world.sealed(said("two"))
    for wrap, code in (
        (wrap_of(one, world.phone.encryption), RejectCode.BAD_WRAP),
        (wrap_of(two, world.bob.laptop.encryption), RejectCode.BAD_COMMIT),
        (b"", RejectCode.BAD_WRAP),
        (bytes(80), RejectCode.BAD_WRAP),
    ):
        decision = receive(one.envelope, wrap, facts_of(world), now=NOW)
        assert code_of(decision) is code
        assert isinstance(decision, Quarantine)
        assert (decision.envelope, decision.opened) == (one.envelope, None)


# --- Logs that are needed first -----------------------------------------------------------------------------


def test_a_longer_log_is_fetched_before_anything_is_decided(world: World) -> None:
    """From the first statement that is missing; once asked for in vain, the envelope is quarantined."""
    held = world.alice.log
    world.alice.rename("alicia")
    sealed = world.sealed(said())
    need = decided(world, sealed, sender=held)
    assert need == NeedLog(sealed.envelope, world.alice.log.account, held.state.length)
    assert isinstance(decided(world, sealed, sender=world.alice.log), Apply)
    vain = decided(world, sealed, sender=held, directory=Directory.EXHAUSTED)
    assert code_of(vain) is RejectCode.NOT_AN_EXTENSION


def test_news_bring_the_log_that_they_quote(world: World) -> None:
    """So that a relay that hides the directory cannot hide a revocation."""
    held = world.alice.log
    world.alice.revoke(world.phone)
    start = held.state.length
    need = decided_on(world, updated(world, start), sender=held)
    assert isinstance(need, NeedLog)
    assert need.offered == OfferedLog(start, world.alice.log.after(start))
    assert held.extend(need.offered.statements) == world.alice.log


def test_a_stranger_introduces_itself(world: World) -> None:
    """Its request brings its log; without any, the directory is asked, and then nobody."""
    sealed = world.sealed(introduced(world))
    stranger: dict[str, Any] = {"sender": None, "relation": Relation.STRANGER}
    need = decided(world, sealed, **stranger)
    assert isinstance(need, NeedLog)
    assert (need.start, need.offered) == (0, OfferedLog(0, world.alice.log.statements))
    vain = decided(world, sealed, **stranger, directory=Directory.EXHAUSTED)
    assert code_of(vain) is RejectCode.UNKNOWN_ACCOUNT
    unopened = receive(sealed.envelope, bytes(80), facts_of(world, **stranger), now=NOW)
    assert isinstance(unopened, NeedLog)
    assert unopened.offered is None


def test_a_stranger_cannot_make_us_fetch_logs(world: World) -> None:
    """Only a request for a connection may come from an account that is not known."""
    for content in (said(), receipted(), updated(world)):
        decision = decided_on(world, content, sender=None, relation=Relation.STRANGER)
        assert code_of(decision) is RejectCode.NOT_CONNECTED


def test_an_unproven_envelope_makes_us_fetch_nothing(world: World) -> None:
    """Its signature is checked before any log is asked for."""
    sealed = world.sealed(introduced(world))
    raw = bytearray(sealed.envelope.raw)
    raw[-1] ^= 1
    facts = facts_of(world, sender=None, relation=Relation.STRANGER)
    assert code_of(receive(read(bytes(raw)), bytes(80), facts, now=NOW)) is RejectCode.BAD_SIGNATURE


# --- Nothing but decisions ----------------------------------------------------------------------------------

WORLD = World()
GOOD = WORLD.sealed(said())
WRAP = wrap_of(GOOD, WORLD.bob.laptop.encryption)


@given(st.binary(max_size=200))
def test_any_wrap_ends_in_a_decision(wrap: bytes) -> None:
    """A relay can hand out any bytes as a wrap."""
    assert isinstance(receive(GOOD.envelope, wrap, facts_of(WORLD), now=NOW), Quarantine)


@given(st.data())
def test_any_damage_ends_in_a_quarantine(data: st.DataObject) -> None:
    """Every byte of an envelope counts."""
    raw = bytearray(GOOD.envelope.raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    envelope = read_inbound(bytes(raw))
    if isinstance(envelope, Envelope):
        decision = receive(envelope, WRAP, facts_of(WORLD), now=NOW)
        assert isinstance(decision, Quarantine)
        assert decision.envelope is None
