"""The relay's decision: permission, quota, signature and duplicates, each refusal with its attack."""

from __future__ import annotations

import pytest

from taskferry_protocol.admission import (
    Admitted,
    MailboxLimits,
    Prior,
    RelayConnection,
)
from taskferry_protocol.envelope import Parcel
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.messages import Content, MessageClass
from taskferry_protocol.permissions import GRANTABLE, RateState
from taskferry_protocol.records import ContactState, Flow, MailboxUsage

from .owners import NOW
from .submissions import code_of, decided, decided_on, facts_of, to_bob
from .world import (
    World,
    asked_for,
    introduced,
    receipted,
    said,
    submitted,
    updated,
)

# --- Permission ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [said(), asked_for(), submitted()])
def test_strangers_send_nothing_but_requests(world: World, content: Content) -> None:
    """Whatever class needs a grant needs a connection first."""
    assert code_of(decided_on(world, content, connection=None)) is RejectCode.NOT_CONNECTED


@pytest.mark.parametrize(
    ("content", "cls"),
    [
        (said(), MessageClass.MESSAGE),
        (asked_for(), MessageClass.TASK),
        (submitted(), MessageClass.ARTIFACT),
    ],
)
def test_each_class_needs_its_own_grant(world: World, content: Content, cls: MessageClass) -> None:
    """A connection without the class in its grant, or without a grant, permits nothing."""
    narrow = world.granted(classes=GRANTABLE - {cls})
    for grant in (narrow, None, world.granted(until=NOW), world.granted(largest=300)):
        connection = RelayConnection(world.request.hash, grant)
        assert code_of(decided_on(world, content, connection=connection)) is RejectCode.NOT_PERMITTED
    wide = RelayConnection(world.request.hash, world.granted(classes=frozenset({cls})))
    assert isinstance(decided_on(world, content, connection=wide), Admitted)


def test_more_than_the_granted_rate_has_to_wait(world: World) -> None:
    """It is told how long, and admitted after that."""
    connection = RelayConnection(world.request.hash, world.granted(rate=2))
    rate: RateState | None = None
    for _ in range(2):
        admission = decided_on(world, said(), connection=connection, rate=rate)
        assert isinstance(admission, Admitted)
        rate = admission.rate
    parcel = to_bob(world, world.sealed(said()))
    facts = facts_of(world, connection=connection, rate=rate)
    refusal = decided(parcel, facts)
    assert code_of(refusal) is RejectCode.RATE_LIMITED
    assert isinstance(refusal, Refusal)
    assert refusal.detail.retry_after == 30_000
    later = Instant(NOW + refusal.detail.retry_after)
    assert isinstance(decided(parcel, facts, now=later), Admitted)


def test_a_stranger_has_three_tries(world: World) -> None:
    """Connection envelopes count until the other side answers with one; receipts are no answer."""
    contact = ContactState()
    flow = Flow(world.coder, world.tester)
    for count in range(1, 4):
        admission = decided_on(world, introduced(world), connection=None, contact=contact)
        assert isinstance(admission, Admitted)
        assert admission.contacts == ((flow, ContactState(count)),)
        contact = admission.contacts[0][1]
    fourth = decided_on(world, introduced(world), connection=None, contact=contact)
    assert code_of(fourth) is RejectCode.CONTACT_LIMIT
    assert isinstance(decided_on(world, introduced(world), contact=contact), Admitted)


def test_an_answer_gives_a_stranger_its_tries_back(world: World) -> None:
    """Whoever answers, declines or accepts, may be asked again."""
    admission = decided_on(world, introduced(world), connection=None, reverse=ContactState(3))
    assert isinstance(admission, Admitted)
    assert admission.contacts == (
        (Flow(world.coder, world.tester), ContactState(1)),
        (Flow(world.tester, world.coder), ContactState(0, answered=True)),
    )


def test_receipts_need_something_to_be_a_receipt_for(world: World) -> None:
    """A connection, or that the recipient has ever sent the sender something; and they change no contact."""
    assert code_of(decided_on(world, receipted(), connection=None)) is RejectCode.NOT_CONNECTED
    for changes in (
        {"contact": ContactState(0, answered=True)},
        {"reverse": ContactState(1)},
        {"reverse": ContactState(0, answered=True)},
    ):
        admission = decided_on(world, receipted(), connection=None, **changes)
        assert isinstance(admission, Admitted)
        assert admission.contacts == ()


def test_news_of_an_account_go_to_acquaintances_alone(world: World) -> None:
    """A stranger cannot fill mailboxes with statements."""
    refused = decided_on(world, updated(world), connection=None, acquainted=False)
    assert code_of(refused) is RejectCode.NOT_CONNECTED


# --- Quota --------------------------------------------------------------------------------------------------


def test_a_full_mailbox_takes_no_more(world: World) -> None:
    """By count or by bytes; what just fits still goes in."""
    parcel = to_bob(world, world.sealed(said()))
    limits = MailboxLimits(entries=10, size=5_000, strangers=3)
    room = 5_000 - len(parcel.envelope) - 80
    for usage, fits in (
        (MailboxUsage(9, 0), True),
        (MailboxUsage(10, 0), False),
        (MailboxUsage(1, room), True),
        (MailboxUsage(1, room + 1), False),
    ):
        admission = decided(parcel, facts_of(world, limits=limits, usage={world.bob.laptop.id: usage}))
        if fits:
            assert isinstance(admission, Admitted)
        else:
            assert code_of(admission) is RejectCode.MAILBOX_FULL


def test_nobody_has_more_waiting_than_there_is_room_left(world: World) -> None:
    """One account alone fills half of a mailbox, by count or by bytes, and the others still get in."""
    parcel = to_bob(world, world.sealed(said()))
    limits = MailboxLimits(entries=10, size=5_000, strangers=3)
    size, device = len(parcel.envelope) + 80, world.bob.laptop.id
    for usage, share, fits in (
        (MailboxUsage(4, 0), MailboxUsage(4, 0), True),
        (MailboxUsage(5, 0), MailboxUsage(5, 0), False),
        (MailboxUsage(7, 0), MailboxUsage(2, 0), True),
        (MailboxUsage(7, 0), MailboxUsage(3, 0), False),
        (MailboxUsage(9, 0), MailboxUsage(0, 0), True),
        (MailboxUsage(1, 2_000), MailboxUsage(1, 3_000 - size), True),
        (MailboxUsage(1, 2_000), MailboxUsage(1, 3_001 - size), False),
    ):
        facts = facts_of(world, limits=limits, usage={device: usage}, shares={device: share})
        admission = decided(parcel, facts)
        assert isinstance(admission, Admitted) if fits else code_of(admission) is RejectCode.MAILBOX_FULL


def test_a_copy_that_does_not_fit_is_left_out(world: World) -> None:
    """An owner's own forgotten device does not keep the owner from writing."""
    usage = {world.phone.id: MailboxUsage(MailboxLimits().entries, 0)}
    admission = decided_on(world, said(), usage=usage)
    assert isinstance(admission, Admitted)
    assert [device for device, _ in admission.entries] == [world.bob.laptop.id]


def test_strangers_leave_room_for_friends(world: World) -> None:
    """A crowd of strangers fills its own share, not the mailbox."""
    usage = {world.bob.laptop.id: MailboxUsage(2_000, 0)}
    refused = decided_on(world, introduced(world), connection=None, usage=usage)
    assert code_of(refused) is RejectCode.MAILBOX_FULL
    assert isinstance(decided_on(world, introduced(world), usage=usage), Admitted)
    assert isinstance(decided_on(world, said(), usage=usage), Admitted)


# --- Signature and duplicates -------------------------------------------------------------------------------


def test_nothing_is_admitted_without_a_true_signature(world: World) -> None:
    """All cheaper checks pass, and still."""
    good = to_bob(world, world.sealed(said()))
    damaged = good.envelope[:-1] + bytes((good.envelope[-1] ^ 1,))
    assert code_of(decided(Parcel(damaged, good.wraps), facts_of(world))) is RejectCode.BAD_SIGNATURE


def test_what_was_accepted_is_accepted_again_at_no_cost(world: World) -> None:
    """A sender whose result was lost is not told that what was delivered is refused."""
    sealed = world.sealed(introduced(world))
    admission = decided(
        to_bob(world, sealed),
        facts_of(
            world,
            connection=None,
            contact=ContactState(3),
            usage={world.bob.laptop.id: MailboxUsage(MailboxLimits().entries, 0)},
            prior=Prior(sealed.envelope.hash, sealed.envelope.hash),
        ),
    )
    assert isinstance(admission, Admitted)
    assert (admission.rate, admission.contacts) == (None, ())
    assert len(admission.entries) == 2


@pytest.mark.parametrize("prior", [Prior(by_id=Hash(bytes(32))), Prior(by_seq=Hash(bytes(32)))])
def test_an_id_or_seq_used_twice_is_equivocation(world: World, prior: Prior) -> None:
    """Only by what the device truly signed: a forged envelope accuses nobody."""
    parcel = to_bob(world, world.sealed(said()))
    assert code_of(decided(parcel, facts_of(world, prior=prior))) is RejectCode.EQUIVOCATION
    forged = Parcel(parcel.envelope[:-1] + bytes((parcel.envelope[-1] ^ 1,)), parcel.wraps)
    assert code_of(decided(forged, facts_of(world, prior=prior))) is RejectCode.BAD_SIGNATURE


def test_facts_of_someone_else_refuse_rather_than_admit(world: World) -> None:
    """A session of Bob's cannot pass off what Alice signed."""
    facts = facts_of(world, account=world.bob.log.account, device=world.bob.laptop.id)
    assert code_of(decided(to_bob(world, world.sealed(said())), facts)) is RejectCode.NOT_YOUR_DEVICE
