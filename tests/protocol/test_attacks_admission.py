"""Ways around the little that strangers may do at a relay, each as an attack."""

from __future__ import annotations

import pytest

from taskferry_protocol.admission import Admitted, MailboxLimits, RelayConnection
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.limits import CONTACT_RECEIPTS, SERVICE_RATE
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import ContactState, MailboxUsage

from .owners import NOW
from .submissions import code_of, decided_on
from .world import World, introduced, receipted, said, updated


def test_a_request_opens_no_way_for_receipts(world: World) -> None:
    """Whoever has only asked could send receipts without end, past the limit of three envelopes."""
    asked = ContactState(sent=1)
    refused = decided_on(world, receipted(), connection=None, acquainted=False, contact=asked)
    assert code_of(refused) is RejectCode.NOT_CONNECTED


def test_receipts_of_those_not_connected_come_at_a_small_rate(world: World) -> None:
    """One answer, be it a refusal, must not open a mailbox to receipts without end."""
    rate = None
    for _ in range(CONTACT_RECEIPTS):
        admission = decided_on(world, receipted(), connection=None, reverse=ContactState(1), rate=rate)
        assert isinstance(admission, Admitted)
        rate = admission.rate
    refused = decided_on(world, receipted(), connection=None, reverse=ContactState(1), rate=rate)
    assert code_of(refused) is RejectCode.RATE_LIMITED


def test_receipts_of_the_connected_take_nothing_from_their_rate(world: World) -> None:
    """A grant names what its classes may cost; receipts are not among them."""
    admission = decided_on(world, receipted())
    assert isinstance(admission, Admitted)
    assert admission.rate is None


@pytest.mark.parametrize("kind", ["request", "receipt", "news"])
def test_what_no_grant_names_has_a_rate_among_the_connected_too(world: World, kind: str) -> None:
    """Without one, a connected peer filled the mailbox past whatever its grant allowed."""
    content = {"request": introduced, "receipt": lambda _: receipted(), "news": updated}[kind](world)
    connection = RelayConnection(world.request.hash, world.granted(rate=2))
    spent = RateState(999, NOW)
    assert (
        code_of(decided_on(world, content, connection=connection, service=spent)) is RejectCode.RATE_LIMITED
    )
    admission = decided_on(world, content, connection=connection)
    assert isinstance(admission, Admitted)
    assert admission.service == RateState((SERVICE_RATE - 1) * 1_000, NOW)
    assert admission.rate is None


def test_who_may_send_much_may_receipt_as_much(world: World) -> None:
    """The rate of receipts is never below the one that a grant names."""
    connection = RelayConnection(world.request.hash, world.granted(rate=5_000))
    admission = decided_on(world, receipted(), connection=connection)
    assert isinstance(admission, Admitted)
    assert admission.service == RateState(4_999_000, NOW)


@pytest.mark.parametrize("kind", ["request", "receipt"])
def test_large_envelopes_of_strangers_fill_their_share_alone(world: World, kind: str) -> None:
    """A thousand large requests would have filled a mailbox to its last byte, against friends as well."""
    limits = MailboxLimits(size=1_000_000, strangers_size=100_000)
    usage = {world.bob.laptop.id: MailboxUsage(5, 99_900)}
    content = introduced(world) if kind == "request" else receipted()
    contact = ContactState(0, answered=True)
    refused = decided_on(world, content, connection=None, contact=contact, usage=usage, limits=limits)
    assert code_of(refused) is RejectCode.MAILBOX_FULL
    assert isinstance(decided_on(world, said(), usage=usage, limits=limits), Admitted)
