"""The relay's decision: each refusal with the attack or the misfortune that it answers."""

from __future__ import annotations

import pytest

from taskferry_protocol.admission import (
    Admitted,
    read_for_admission,
)
from taskferry_protocol.envelope import Parcel, Wrap
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AgentRef, Hash, Instant, LogPosition
from taskferry_protocol.messages import Content
from taskferry_protocol.sealing import open_envelope

from .owners import NOW, Refused, encryption_key, plain_device
from .submissions import code_of, decided, decided_on, facts_of, to_bob
from .world import (
    DAY,
    MINUTE,
    World,
    asked_for,
    keys_of,
    parcel_of,
    receipted,
    said,
    submitted,
    updated,
)

# --- Admitted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [said(), asked_for(), submitted(), receipted()])
def test_what_is_allowed_comes_to_every_mailbox_that_it_is_wrapped_for(
    world: World, content: Content
) -> None:
    """The recipient's device and the sender's other one get an entry each, which they can open."""
    admission = decided_on(world, content)
    assert isinstance(admission, Admitted)
    entries = dict(admission.entries)
    assert set(entries) == {world.bob.laptop.id, world.phone.id}
    for device in (world.bob.laptop, world.phone):
        opened = open_envelope(admission.envelope, entries[device.id], [device.encryption])
        assert opened.content == content
    assert admission.contacts == ()


def test_copies_for_the_senders_other_devices_are_its_own_choice(world: World) -> None:
    """Nobody requires them."""
    sealed = world.sealed(said())
    admission = decided(parcel_of(sealed, *keys_of(world.bob.laptop)), facts_of(world))
    assert isinstance(admission, Admitted)
    assert [device for device, _ in admission.entries] == [world.bob.laptop.id]


def test_news_of_the_account_go_to_every_device_of_an_acquaintance(world: World) -> None:
    """Class account is between the accounts, whatever agents they have."""
    admission = decided_on(world, updated(world), connection=None)
    assert isinstance(admission, Admitted)
    assert world.bob.laptop.id in dict(admission.entries)


def test_news_to_the_own_account_leave_out_the_device_that_sends_them(world: World) -> None:
    """It knows them already; all the others must have them."""
    sealed = world.sealed(updated(world), to=world.coder)
    facts = facts_of(world, recipient=world.alice.log, connection=None, acquainted=False)
    admission = decided(parcel_of(sealed, *keys_of(world.phone)), facts)
    assert isinstance(admission, Admitted)
    assert [device for device, _ in admission.entries] == [world.phone.id]
    both = decided(parcel_of(sealed, *keys_of(world.phone, world.alice.laptop)), facts)
    assert code_of(both) is RejectCode.STALE_LOG


def test_what_is_for_one_device_comes_to_that_one_and_to_no_other(world: World) -> None:
    """A wrap for a further device of the same owner, or none for the one, is refused."""
    tablet = plain_device("alice tablet")
    world.alice.add(tablet)
    to = AgentRef.to_device(world.alice.log.account, world.phone.id)
    sealed = world.sealed(updated(world), to=to)
    facts = facts_of(world, recipient=world.alice.log, connection=None, acquainted=False)
    admission = decided(parcel_of(sealed, *keys_of(world.phone)), facts)
    assert isinstance(admission, Admitted)
    assert [device for device, _ in admission.entries] == [world.phone.id]
    for keys in (keys_of(world.phone, tablet), keys_of(tablet)):
        assert code_of(decided(parcel_of(sealed, *keys), facts)) is RejectCode.STALE_LOG
    world.alice.revoke(world.phone)
    gone = facts_of(world, recipient=world.alice.log, sender=world.alice.log, connection=None)
    refused = decided(parcel_of(sealed, *keys_of(world.phone)), gone)
    assert code_of(refused) is RejectCode.UNKNOWN_RECIPIENT


def test_two_agents_of_one_owner_need_no_connection(world: World) -> None:
    """Even on one device, which then writes to itself."""
    world.alice.serve("helper", world.alice.laptop)
    sealed = world.sealed(said(), to=world.alice.agent("helper"))
    facts = facts_of(world, recipient=world.alice.log, connection=None, acquainted=False)
    admission = decided(parcel_of(sealed, *keys_of(world.alice.laptop)), facts)
    assert isinstance(admission, Admitted)
    assert admission.rate is None


# --- Who and where ------------------------------------------------------------------------------------------


def test_envelopes_expired_or_from_the_future_are_refused(world: World) -> None:
    """The relay has a clock."""
    parcel = to_bob(world, world.sealed(said()))
    with Refused("expired"):
        read_for_admission(parcel, now=Instant(NOW + DAY))
    with Refused("bad-time"):
        read_for_admission(parcel, now=Instant(NOW - 5 * MINUTE - 1))


def test_an_envelope_of_another_device_is_refused(world: World) -> None:
    """Replaying what another device signed, the owner's own included, gets nobody anywhere."""
    parcel = to_bob(world, world.sealed(said(), by=world.phone.signing))
    assert code_of(decided(parcel, facts_of(world))) is RejectCode.NOT_YOUR_DEVICE


def test_writing_in_the_name_of_another_account_is_refused(world: World) -> None:
    """The session's account is the only sender."""
    parcel = to_bob(world, world.sealed(said(), from_=world.tester, to=world.coder))
    assert code_of(decided(parcel, facts_of(world))) is RejectCode.WRONG_SENDER


def test_writing_as_an_agent_of_another_device_is_refused(world: World) -> None:
    """A device speaks for the agents that it serves, and for no other of its owner."""
    world.alice.serve("treasurer", world.phone)
    for name in ("treasurer", "nobody"):
        parcel = to_bob(world, world.sealed(said(), from_=world.alice.agent(name)))
        assert code_of(decided(parcel, facts_of(world))) is RejectCode.UNKNOWN_AGENT


def test_a_device_that_was_revoked_during_its_session_is_refused(world: World) -> None:
    """Its session may live for a moment longer than it does."""
    parcel = to_bob(world, world.sealed(said()))
    world.alice.revoke(world.alice.laptop)
    assert code_of(decided(parcel, facts_of(world))) is RejectCode.DEVICE_GONE


def test_a_held_account_neither_sends_nor_receives(world: World) -> None:
    """Until its fork is settled."""
    for owner in (world.alice, world.bob):
        held = decided_on(world, said(), held=frozenset({owner.log.account}))
        assert code_of(held) is RejectCode.ACCOUNT_HELD


def test_unknown_recipients_are_named_as_such(world: World) -> None:
    """No account, no agent, or a channel, which this version does not carry."""
    assert code_of(decided_on(world, said(), recipient=None)) is RejectCode.UNKNOWN_RECIPIENT
    for name in ("nobody", "#general"):
        parcel = to_bob(world, world.sealed(said(), to=world.bob.agent(name)))
        assert code_of(decided(parcel, facts_of(world))) is RejectCode.UNKNOWN_RECIPIENT


def test_a_position_of_another_branch_is_refused(world: World) -> None:
    """What an envelope quotes must stay provable by the log that the relay hands out."""
    for position in (LogPosition(2, Hash(bytes(32))), LogPosition(99, world.alice.log.position.head)):
        parcel = to_bob(world, world.sealed(said(), log=position))
        assert code_of(decided(parcel, facts_of(world))) is RejectCode.NOT_AN_EXTENSION


# --- Wraps --------------------------------------------------------------------------------------------------


def test_a_device_that_is_left_out_is_named_by_the_missing_statements(world: World) -> None:
    """The sender learns of the new device, wraps again and resends the same envelope."""
    sealed = world.sealed(said())
    before = world.bob.log.position
    tablet = plain_device("bob tablet")
    world.bob.add(tablet)
    world.bob.serve("tester", world.bob.laptop, tablet)
    refusal = decided(to_bob(world, sealed), facts_of(world))
    assert code_of(refusal) is RejectCode.STALE_LOG
    assert isinstance(refusal, Refusal)
    assert refusal.detail.start == before.length
    assert refusal.detail.statements == world.bob.log.after(before.length)
    again = parcel_of(sealed, *keys_of(world.bob.laptop, tablet))
    assert isinstance(decided(again, facts_of(world)), Admitted)


def test_a_position_beyond_the_relays_log_gets_no_statements(world: World) -> None:
    """A relay that lost its newest statements has none to give, and says where its log ends."""
    sealed = world.sealed(said(), to_log=LogPosition(999, Hash(bytes(32))))
    refusal = decided(parcel_of(sealed, *keys_of(world.phone)), facts_of(world))
    assert isinstance(refusal, Refusal)
    assert (refusal.detail.start, refusal.detail.statements) == (world.bob.log.state.length, ())


def test_wraps_for_neither_side_are_refused(world: World) -> None:
    """A relay will not be made to carry keys to a third party, a retired device, or the sender itself."""
    sealed = world.sealed(said())
    stranger = encryption_key("stranger").public
    old = plain_device("bob old")
    world.bob.add(old)
    for key in (stranger, *keys_of(world.alice.laptop, old)):
        parcel = parcel_of(sealed, *keys_of(world.bob.laptop), key)
        assert code_of(decided(parcel, facts_of(world))) is RejectCode.STALE_LOG


def test_a_key_replaced_less_than_a_month_ago_is_still_good(world: World) -> None:
    """What was on its way when a key rotated arrives; a month later nobody holds that key any more."""
    sealed = world.sealed(said(), at=Instant(NOW + 29 * DAY), expires_at=Instant(NOW + 40 * DAY))
    parcel = to_bob(world, sealed)
    world.bob.rotate(world.bob.laptop, encryption_key("bob next").public, at=NOW)
    last = Instant(NOW + 30 * DAY - 1)
    admission = decided(parcel, facts_of(world), now=last)
    assert isinstance(admission, Admitted)
    assert world.bob.laptop.id in dict(admission.entries)
    late = decided(parcel, facts_of(world), now=Instant(last + 1))
    assert code_of(late) is RejectCode.STALE_LOG


def test_two_keys_of_one_device_make_one_entry(world: World) -> None:
    """By its current key; the other wrap is one too many and does no harm."""
    sealed = world.sealed(said())
    fresh = encryption_key("bob next")
    old = world.bob.laptop.encryption
    world.bob.rotate(world.bob.laptop, fresh.public)
    admission = decided(parcel_of(sealed, old.public, fresh.public), facts_of(world))
    assert isinstance(admission, Admitted)
    ((device, wrap),) = admission.entries
    assert device == world.bob.laptop.id
    assert open_envelope(sealed.envelope, wrap, [fresh]).content == said()


def test_wraps_are_looked_at_and_not_into(world: World) -> None:
    """The relay cannot open one, so a false wrap is for its recipient to refuse."""
    sealed = world.sealed(said())
    parcel = Parcel(sealed.envelope.raw, (Wrap(keys_of(world.bob.laptop)[0], bytes(80)),))
    assert isinstance(decided(parcel, facts_of(world)), Admitted)
