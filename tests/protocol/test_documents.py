"""What cards, connection statements, grants and invites have in common: the signer, the version, the log."""

from collections.abc import Callable

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.cards import Card, read_card, sign_card
from taskferry_protocol.connections import (
    EndKind,
    read_accept,
    read_end,
    read_request,
    recall_request,
    sign_accept,
    sign_end,
    sign_request,
)
from taskferry_protocol.crypto import Kind, SigningKey
from taskferry_protocol.documents import Claim, peek
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, Hash, Instant, LogPosition, sha256
from taskferry_protocol.invites import read_invite, sign_invite
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages.base import MessageClass
from taskferry_protocol.permissions import Terms, encode_terms, read_grant, recall_grant, sign_grant

from .owners import NOW, Owner, Refused, manage_key, managing_device, members, resigned, signing_key

ANN, BOB = Owner("ann"), Owner("bob")
PHONE = managing_device("phone")
ANN.add(PHONE)
ANN.rename("anne")
REQUEST = read_request(
    sign_request(
        BOB.agent("asker"),
        ANN.agent("coder"),
        at=NOW,
        expires_at=Instant(NOW + DAY_MS),
        nonce=bytes(16),
        log=BOB.log.position,
        by=BOB.manage,
    ),
    BOB.log,
)


@attrs.frozen
class Document:
    """One kind of document that Ann signs, and its reader."""

    kind: Kind
    sign: Callable[[LogPosition, SigningKey], bytes]
    read: Callable[[bytes, AccountLog], object]
    signer: str
    request: Hash | None = None


def _request(log: LogPosition, by: SigningKey) -> bytes:
    return sign_request(
        ANN.agent("coder"),
        BOB.agent("x"),
        at=NOW,
        expires_at=Instant(NOW + 1),
        nonce=bytes(16),
        log=log,
        by=by,
    )


def _grant(log: LogPosition, by: SigningKey) -> bytes:
    return sign_grant(
        REQUEST,
        ANN.agent("coder"),
        before=None,
        at=NOW,
        until=None,
        classes=frozenset({MessageClass.MESSAGE}),
        rate=60,
        largest=1000,
        terms=sha256(encode_terms(Terms(bytes(16)))),
        log=log,
        by=by,
    )


def _invite(log: LogPosition, by: SigningKey) -> bytes:
    return sign_invite(
        ANN.agent("coder"),
        id=bytes(16),
        secret=bytes(16),
        uses=1,
        expires_at=Instant(NOW + 1),
        at=NOW,
        log=log,
        by=by,
    )


DOCUMENTS = [
    Document(
        Kind.CARD,
        lambda log, by: sign_card(Card(ANN.agent("coder"), 1, NOW, log), by),
        read_card,
        "agent",
    ),
    Document(Kind.CONNECTION_REQUEST, _request, read_request, "from"),
    Document(
        Kind.CONNECTION_ACCEPT,
        lambda log, by: sign_accept(REQUEST, at=NOW, log=log, by=by),
        lambda raw, log: read_accept(raw, log, REQUEST),
        "by",
        REQUEST.hash,
    ),
    Document(
        Kind.CONNECTION_END,
        lambda log, by: sign_end(REQUEST, REQUEST.to, EndKind.DECLINED, at=NOW, log=log, by=by),
        lambda raw, log: read_end(raw, log, REQUEST),
        "by",
        REQUEST.hash,
    ),
    Document(Kind.GRANT, _grant, read_grant, "from", REQUEST.hash),
    Document(Kind.INVITE, _invite, read_invite, "agent"),
]

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.kind.value)


@every_document
def test_any_manager_of_the_account_signs(document):
    """Each managing device speaks for the account, at any position of its log."""
    for key, length in ((ANN.manage, 3), (manage_key(PHONE), 3), (ANN.manage, 1)):
        document.read(document.sign(ANN.log.position_at(length), key), ANN.log)


@every_document
def test_others_do_not_sign(document):
    """Neither a device key, the recovery key, a stranger nor another account's manager."""
    for key in (PHONE.signing, ANN.recovery, signing_key("stranger"), BOB.manage):
        with Refused("not-authorized"):
            document.read(document.sign(ANN.log.position, key), ANN.log)


@every_document
def test_manager_that_is_gone_signs_nothing_new(document):
    """What is taken now goes by the newest log that is held."""
    raw = document.sign(ANN.log.position, manage_key(PHONE))
    document.read(raw, ANN.log)
    other = Owner("ann")
    other.log = ANN.log
    other.revoke(PHONE)
    with Refused("not-authorized"):
        document.read(raw, other.log)


@every_document
def test_quoted_position_is_one_of_the_log(document):
    """Another head and a longer log are no prefix."""
    for position in (LogPosition(3, Hash(bytes(32))), LogPosition(4, ANN.log.heads[2])):
        with Refused("not-an-extension"):
            document.read(document.sign(position, ANN.manage), ANN.log)


@every_document
def test_document_is_read_with_its_own_account(document):
    """The agent that speaks must be of the account whose log is at hand."""
    with Refused("wrong-account"):
        document.read(document.sign(ANN.log.position, ANN.manage), BOB.log)


@every_document
def test_signature_of_another_kind_is_refused(document):
    """The same words signed as anything else are worth nothing."""
    raw = document.sign(ANN.log.position, ANN.manage)
    for kind in Kind:
        if kind is not document.kind:
            with Refused("bad-signature"):
                document.read(resigned(raw, kind, ANN.manage, {}), ANN.log)


@every_document
def test_faults_are_told_in_order(document):
    """Unknown keys, missing ones, version, fields, and only then the signer."""
    raw = document.sign(LogPosition(9, Hash(bytes(32))), PHONE.signing)
    for changes, code in (
        ({"more": 1, "at": ..., "v": 2}, "unknown-field"),
        ({"at": ..., "v": 2}, "missing-field"),
        ({"v": 2, "at": "now"}, "unknown-version"),
        ({"v": None}, "wrong-type"),
        ({"at": "now"}, "wrong-type"),
        ({"at": 2**53}, "bad-value"),
        ({"log": []}, "bad-value"),
        ({"log": [0, bytes(32)]}, "bad-value"),
        ({document.signer: [bytes(32), ""]}, "bad-value"),
        ({document.signer: [bytes(32)]}, "bad-value"),
        ({document.signer: "ann"}, "wrong-type"),
        ({document.signer: [bytes(32), 1]}, "wrong-type"),
    ):
        with Refused(code):
            document.read(resigned(raw, document.kind, PHONE.signing, changes), ANN.log)


@every_document
def test_every_field_is_required(document):
    """No field of a document is optional."""
    raw = document.sign(ANN.log.position, ANN.manage)
    for field in members(raw):
        with Refused("missing-field", field):
            document.read(resigned(raw, document.kind, ANN.manage, {field: ...}), ANN.log)


@every_document
def test_every_field_has_its_type(document):
    """A truth value fits nowhere."""
    raw = document.sign(ANN.log.position, ANN.manage)
    for field in members(raw):
        with Refused("wrong-type", field):
            document.read(resigned(raw, document.kind, ANN.manage, {field: True}), ANN.log)


@every_document
def test_peeking_tells_whose_log_to_load(document):
    """The account, and the request if it is about one, before anything is verified."""
    raw = document.sign(ANN.log.position, signing_key("stranger"))
    request = sha256(raw) if document.kind is Kind.CONNECTION_REQUEST else document.request
    assert peek(raw, document.kind) == Claim(AccountId(ANN.log.account), request)
    with Refused("missing-field"):
        peek(resigned(raw, document.kind, ANN.manage, {document.signer: ...}), document.kind)


@given(st.sampled_from(DOCUMENTS), st.integers(0, 5000), st.integers(1, 255))
def test_any_mutated_byte_is_refused(document, place, flip):
    """No bit of a document can change unnoticed."""
    raw = bytearray(document.sign(ANN.log.position, ANN.manage))
    raw[place % len(raw)] ^= flip
    with pytest.raises(RemoteProtocolError):
        document.read(bytes(raw), ANN.log)


@given(st.sampled_from(DOCUMENTS), st.binary(max_size=400))
def test_any_bytes_are_refused_in_the_ordinary_way(document, raw):
    """Rubbish is the peer's fault and no crash, whether read or only looked at."""
    with pytest.raises(RemoteProtocolError):
        document.read(raw, ANN.log)
    with pytest.raises(RemoteProtocolError):
        peek(raw, document.kind)
    signed = ANN.manage.sign(document.kind, raw)
    with pytest.raises(RemoteProtocolError):
        document.read(signed, ANN.log)


def test_what_was_taken_is_recalled_without_its_signer():
    """A request and a grant from one's own store stay good when their signers are gone."""
    for document, recall in ((DOCUMENTS[1], recall_request), (DOCUMENTS[4], recall_grant)):
        raw = document.sign(ANN.log.position, ANN.manage)
        assert recall(raw) == document.read(raw, ANN.log)
