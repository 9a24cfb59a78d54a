"""Tickets, the links that carry them, and their place in a session's opening."""

import pytest

from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.frames import AuthFrame, encode_frame, open_frame, read_frame
from taskferry_protocol.sessions import AuthRequested, ClientSession, LogExtension
from taskferry_protocol.setup_links import SetupLink
from taskferry_protocol.tickets import TICKET_BYTES, is_ticket, make_ticket

from .session_pair import HELLO, KEY, START, meet

TICKET = make_ticket(bytes(range(TICKET_BYTES)))


def test_a_ticket_is_known_at_sight():
    """Its beginning says what it is, so that scanners for secrets find one; it fits everywhere."""
    assert TICKET == "tft_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    assert is_ticket(TICKET)
    for text in ("", " ", "a b", "a\n", "a" * 129, "я"):
        assert not is_ticket(text)


def test_the_relay_sees_the_ticket_beside_the_proof():
    """What the daemon shows reaches the relay's application, and stands in no representation."""
    client = ClientSession(hello=HELLO, key=KEY, log=LogExtension(0, (b"one",)), now=START, ticket=TICKET)
    pair = meet(client)
    assert pair.relay_events == [AuthRequested(HELLO, 0, (b"one",), TICKET)]
    assert TICKET not in repr(pair.relay_events)


def test_without_a_ticket_the_field_is_left_out():
    """A relay of before tickets understands a daemon that has none."""
    assert b"ticket" not in encode_frame(AuthFrame(b"proof", 0, ()))
    frame = AuthFrame(b"proof", 0, (), TICKET)
    assert read_frame(*open_frame(encode_frame(frame))) == frame


def test_a_daemon_shows_nothing_that_is_no_ticket():
    """A mistake of our own surfaces where it is made."""
    with pytest.raises(LocalProtocolError):
        ClientSession(hello=HELLO, key=KEY, log=LogExtension(), now=START, ticket="a b")


@pytest.mark.parametrize("relay", ["relay.example", "relay.example:8443", "127.0.0.1:8080", "[::1]:8080"])
def test_a_link_survives_a_round_trip(relay):
    """Formatting and parsing are each other's inverse, and the ticket stays out of representations."""
    link = SetupLink(relay, TICKET)
    assert link.format() == f"taskferry://{relay}/setup#ticket={TICKET}"
    assert SetupLink.parse(link.format()) == link
    assert TICKET not in repr(link)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"https://relay.example/setup#ticket={TICKET}", "begins with taskferry://"),
        (f"taskferry://relay.example/invite/{'A' * 22}#account=x", "an invite to connect"),
        (f"taskferry://relay.example/other#ticket={TICKET}", "looks like"),
        (f"taskferry:///setup#ticket={TICKET}", "names no relay"),
        (f"taskferry://Relay.Example/setup#ticket={TICKET}", "names no relay"),
        (f"taskferry://relay.example:65536/setup#ticket={TICKET}", "names no relay"),
        (f"taskferry://user@relay.example/setup#ticket={TICKET}", "names no relay"),
        (f"taskferry://relay.example/setup?ticket={TICKET}", "looks like"),
        ("taskferry://relay.example/setup", "ticket is missing"),
        ("taskferry://relay.example/setup#ticket=", "cut or changed"),
        (f"taskferry://relay.example/setup#ticket={TICKET}\n", "cut or changed"),
        (f"taskferry://relay.example/setup#ticket={TICKET}&x=1", "cut or changed"),
        (f"taskferry://relay.example/setup#ticket={'A' * 129}", "cut or changed"),
        ("taskferry://" + "a" * 600, "not that long"),
    ],
)
def test_a_bad_link_says_what_is_wrong(text, wrong):
    """Foreign, edited and broken links are told apart, and the text holds no part of the ticket."""
    with pytest.raises(RemoteProtocolError, match=wrong) as refused:
        SetupLink.parse(text)
    assert TICKET not in str(refused.value)
