"""Invites and their links (spec/identity.md section 8)."""

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import assume, given
from nacl.hash import blake2b

from taskferry_protocol.crypto import Kind
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, Hash, Instant, sha256
from taskferry_protocol.invites import (
    InviteLink,
    InviteStanding,
    check_invite,
    check_invite_use,
    invite_mac,
    invite_proof,
    read_invite,
    sign_invite,
)
from taskferry_protocol.messages import InviteProof

from .owners import NOW, Owner, Refused, resigned

ANN = Owner("ann")
SECRET = b"sixteen secrets!"
REQUEST = sha256(b"a request")
RAW = sign_invite(
    ANN.agent("coder"),
    id=b"an invite's name",
    secret=SECRET,
    uses=2,
    expires_at=Instant(NOW + 1000),
    at=NOW,
    log=ANN.log.position,
    by=ANN.manage,
)
INVITE = read_invite(RAW, ANN.log)
LINK = InviteLink("relay.example:8443", b"an invite's name", ANN.log.account, SECRET)


def test_invite_tells_the_hash_of_its_secret_only():
    """The relay that keeps the statement cannot use it."""
    assert INVITE.check == sha256(SECRET)
    assert SECRET not in RAW
    assert (INVITE.agent, INVITE.id, INVITE.uses) == (ANN.agent("coder"), b"an invite's name", 2)
    assert INVITE.hash == sha256(RAW)


@pytest.mark.parametrize(
    "changes", [{"id": bytes(15)}, {"check": bytes(31)}, {"uses": -1}, {"expires_at": 2**53}]
)
def test_faulty_invite_is_refused(changes):
    """Lengths and ranges are fixed."""
    with Refused("bad-value"):
        read_invite(resigned(RAW, Kind.INVITE, ANN.manage, changes), ANN.log)


def test_mac_is_keyed_blake2b():
    """Any library computes the same: key padded with zeros, personalized."""
    from nacl.encoding import RawEncoder

    expected = blake2b(
        REQUEST,
        digest_size=32,
        key=SECRET + bytes(16),
        person=b"tf1 invite\0\0\0\0\0\0",
        encoder=RawEncoder,
    )
    assert invite_mac(SECRET, REQUEST) == expected


HELD = InviteStanding(ANN.agent("coder"), SECRET, 2, Instant(NOW + 1000), used=1)


def use(held=HELD, to=HELD.agent, proof=None, request=REQUEST, now=NOW):
    """One request under an invite."""
    check_invite_use(held, to, proof or invite_proof(INVITE.id, SECRET, REQUEST), request, now=Instant(now))


def test_invite_is_used_as_often_and_as_long_as_said():
    """The mac binds it to one request; the count and the end are the owner's."""
    use(now=NOW + 999)
    with Refused("expired"):
        use(now=NOW + 1000)
    with Refused("invite-used"):
        use(attrs.evolve(HELD, used=2))


@given(st.binary(max_size=40), st.integers(0, 3), st.integers(0, 2000), st.booleans())
def test_nobody_without_the_secret_learns_anything(mac, used, later, revoked):
    """Whatever state an invite is in, a wrong mac hears what is said of an invite that never was."""
    held = attrs.evolve(HELD, used=used, revoked=revoked)
    assume(mac != invite_mac(SECRET, REQUEST))
    for kept in (held, None):
        with Refused("unknown-invite"):
            use(kept, proof=InviteProof(INVITE.id, mac), now=NOW + later)


def test_mac_of_one_request_opens_no_other():
    """A proof that was overheard at one request is worth nothing with another, or for another agent."""
    with Refused("unknown-invite"):
        use(request=sha256(b"another"))
    with Refused("unknown-invite"):
        use(to=ANN.agent("other"))
    with Refused("unknown-invite"):
        use(attrs.evolve(HELD, revoked=True))


def test_what_a_link_leads_to_is_exactly_what_it_says():
    """Another account, another id and another secret are each found out before anything is asked."""
    check_invite(INVITE, LINK, now=NOW)
    for changes, code in (
        ({"account": AccountId(bytes(32))}, "wrong-account"),
        ({"id": bytes(16)}, "unknown-invite"),
        ({"secret": bytes(16)}, "unknown-invite"),
    ):
        with Refused(code):
            check_invite(INVITE, attrs.evolve(LINK, **changes), now=NOW)
    with Refused("expired"):
        check_invite(INVITE, LINK, now=INVITE.expires_at)


def test_link_looks_as_described():
    """Base64url without padding, everything secret behind the fragment's sign."""
    link = InviteLink("127.0.0.1:4319", bytes(16), AccountId(bytes(32)), bytes(range(16)))
    assert link.format() == (
        "taskferry://127.0.0.1:4319/invite/"
        + "A" * 22
        + "#account="
        + "A" * 43
        + "&secret=AAECAwQFBgcICQoLDA0ODw"
    )
    assert "secret" not in repr(LINK)


@given(
    st.sampled_from(["relay.example", "localhost:1", "[::1]:4319", "a", "10.0.0.1:65535"]),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
)
def test_link_survives_the_way(relay, id, account, secret):
    """What is formatted parses to the same."""
    link = InviteLink(relay, id, AccountId(account), secret)
    assert InviteLink.parse(link.format()) == link


GOOD = LINK.format()


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("taskferry:", "https:"),
        GOOD.replace("#", "?"),
        GOOD.replace("relay.example", "Relay.example"),
        GOOD.replace("relay.example", "user@relay.example"),
        GOOD.replace("relay.example", ""),
        GOOD.replace(":8443", ":0"),
        GOOD.replace(":8443", ":65536"),
        GOOD.replace(":8443", ":"),
        GOOD.replace("/invite/", "/invite/x"),
        GOOD + "&more=1",
        GOOD[:-1],
        GOOD[:-1] + "=",
        # The last character of 16 bytes carries two bits; another spelling of the same secret is refused.
        GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
        GOOD.replace("relay.example", "a" * 600),
    ],
)
def test_anything_else_is_no_link(text):
    """One spelling, no room for tricks."""
    with Refused("bad-value"):
        InviteLink.parse(text)


@given(st.text())
def test_any_text_is_a_link_or_an_ordinary_refusal(text):
    """Whatever somebody pastes."""
    with pytest.raises(RemoteProtocolError):
        InviteLink.parse(text)


def test_hash_type_of_a_request_is_what_the_mac_covers():
    """Another request under the same invite has another mac."""
    assert invite_mac(SECRET, REQUEST) != invite_mac(SECRET, Hash(bytes(32)))
