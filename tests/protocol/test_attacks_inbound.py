"""What a peer may do once it is connected, and what it tries beyond that."""

from __future__ import annotations

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.inbound import Apply
from taskferry_protocol.limits import CONTACTS
from taskferry_protocol.messages import ConnectionEnded, Content

from .deliveries import code_of, decided_on
from .world import CONV, World, introduced


def test_a_friend_cannot_bury_the_owner_under_requests() -> None:
    """Each request is a row and a question to the owner, and connected agents could ask without end."""
    world = World()
    assert isinstance(decided_on(world, introduced(world), unanswered=CONTACTS - 1), Apply)
    assert code_of(decided_on(world, introduced(world), unanswered=CONTACTS)) is RejectCode.CONTACT_LIMIT


def test_unanswered_requests_do_not_keep_a_friend_from_ending() -> None:
    """Only asking is limited between the connected: ends and grants always come through."""
    end = Content(ConnectionEnded(b"statement", "enough"), CONV)
    assert isinstance(decided_on(World(), end, unanswered=CONTACTS), Apply)
