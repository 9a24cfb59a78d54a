"""Targets that read what an account signs: statements, cards, connections, grants, invites.

What is read is written again from the value alone, and must be the payload that came in: a second encoding of
one document would have another hash, and so be another document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from taskferry_protocol import authoring
from taskferry_protocol.accounts import DeviceKeys, consent_to_stand, fold
from taskferry_protocol.cards import Card, read_card, sign_card
from taskferry_protocol.cbor import encode
from taskferry_protocol.connections import (
    EndKind,
    read_accept,
    read_end,
    read_request,
    sign_accept,
    sign_end,
    sign_request,
)
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.invites import read_invite, sign_invite
from taskferry_protocol.permissions import (
    Grant,
    Terms,
    check_grant_for,
    encode_terms,
    newer_grant,
    read_grant,
    read_terms,
    sign_grant,
)
from taskferry_protocol.statements import (
    Recover,
    Retire,
    RotateKeys,
    SetRecovery,
    open_statement,
)
from tests.protocol.session_pair import START

from .account import (
    KEYS,
    RECOVERY,
    answered,
    mine,
    payload_of,
    request,
    signatures_unchecked,
    structure,
    the_log,
)
from .kinds import Target

__all__ = ["DOCUMENTS", "REFUSALS", "document_seeds"]

#: What may come out of these targets.
REFUSALS = (RemoteProtocolError,)

_LATER = Instant(START + 86_400_000)


def _unchecked(read: Callable[[bytes], bytes | None]) -> Target:
    """`read` takes a structure and gives the payload that it would write, or None where it cannot tell."""

    def target(data: bytes) -> None:
        with signatures_unchecked():
            again = read(structure(data))
        assert again is None or again == data

    return target


#: Whose signature such a statement needs, where it is not the manage key's.
_SIGNERS = ((Retire | RotateKeys, KEYS.signing), (Recover | SetRecovery, RECOVERY))


def _statement(data: bytes) -> None:
    with signatures_unchecked():
        statement = open_statement(structure(data), lambda signed, kind: None)
        body = statement.body
        head = {"v": 1, "type": body.type_name, "seq": statement.seq, "at": statement.at}
        linked = {"account": statement.account, "prev": statement.prev} if statement.account else {}
        assert encode({**head, **linked, **body.to_cbor()}) == data
        signer = next((key for kinds, key in _SIGNERS if isinstance(body, kinds)), _by())
        longer = the_log().extend([structure(data, signer.public)])
        # A log that grew is the one that is folded anew from its statements.
        assert fold(longer.statements).state == longer.state


def _card(raw: bytes) -> bytes:
    card = read_card(raw, the_log())
    return payload_of(sign_card(card, _by()))


def _request(raw: bytes) -> bytes:
    found = read_request(raw, the_log())
    again = sign_request(
        found.from_,
        found.to,
        at=found.at,
        expires_at=found.expires_at,
        nonce=found.nonce,
        log=found.log,
        by=_by(),
    )
    return payload_of(again)


def _accept(raw: bytes) -> bytes:
    accept = read_accept(raw, the_log(), answered())
    assert (accept.by, accept.peer) == (answered().to, answered().from_)
    return payload_of(sign_accept(answered(), at=accept.at, log=accept.log, by=_by()))


def _end(raw: bytes) -> bytes:
    end = read_end(raw, the_log(), request())
    return payload_of(sign_end(request(), end.by, end.kind, at=end.at, log=end.log, by=_by()))


def _invite(raw: bytes) -> bytes | None:
    invite = read_invite(raw, the_log())
    assert invite.uses >= 1
    # Its secret is not in it, so the writer cannot write it again; its members can.
    return encode(
        {
            "v": 1,
            "agent": [invite.agent.account, invite.agent.name],
            "id": invite.id,
            "check": invite.check,
            "uses": invite.uses,
            "expires_at": invite.expires_at,
            "at": invite.at,
            "log": [invite.log.length, invite.log.head],
        }
    )


def _grant(raw: bytes) -> None:
    grant = read_grant(raw, the_log())
    check_grant_for(grant, request())
    # Whatever came before or comes again, what counts never allows more than either says.
    for one, two in ((first_grant(), grant), (grant, first_grant())):
        try:
            joined = newer_grant(one, two)
        except RemoteProtocolError:
            continue
        if one.version == two.version:
            assert joined.classes <= one.classes & two.classes
            assert joined.rate <= min(one.rate, two.rate)


@cache
def first_grant() -> Grant:
    """A grant that is in force."""
    return read_grant(_good_grant(), the_log())


def _by() -> SigningKey:
    assert KEYS.manage is not None
    return KEYS.manage


def _second_device() -> bytes:
    state = the_log().state
    other = DeviceKeys.generate("other", lambda size: b"\x09" * size)
    consent = consent_to_stand(other, state.account, state.length)
    return authoring.add_device(state, other.record, consent, at=START, by=_by())


def _good_grant() -> bytes:
    return sign_grant(
        request(),
        mine(),
        before=None,
        at=START,
        until=_LATER,
        classes=frozenset(),
        rate=3,
        largest=4096,
        terms=Hash(bytes(32)),
        log=the_log().position,
        by=_by(),
    )


def _terms(data: bytes) -> None:
    terms = read_terms(data, sha256(data))
    least = Terms(terms.salt)
    # Terms may say more than is known here; then the least is taken, and cannot be written as it came.
    if terms != least:
        assert read_terms(encode_terms(terms), sha256(encode_terms(terms))) == terms


DOCUMENTS: dict[str, Target] = {
    "statement": _statement,
    "card": _unchecked(_card),
    "connection-request": _unchecked(_request),
    "connection-accept": _unchecked(_accept),
    "connection-end": _unchecked(_end),
    "grant": _unchecked(_grant),
    "invite": _unchecked(_invite),
    "terms": _terms,
}


def document_seeds(name: str) -> Iterator[bytes]:
    """A good payload of each kind, by the account that the targets know."""
    log, by = the_log(), _by()
    match name:
        case "statement":
            yield payload_of(log.statements[0])
            state = log.state
            for raw in (
                authoring.rename(state, "other", at=START, by=by),
                authoring.set_agent(state, "ada", [KEYS.id], at=START, by=by),
                authoring.set_recovery(state, by, at=START, by=RECOVERY),
                authoring.revoke_device(state, KEYS.id, "lost", at=START, by=by),
                authoring.retire(state, KEYS.signing, at=START),
                authoring.rotate_keys(state, KEYS.signing, KEYS.encryption.public, at=START),
                authoring.recover(state, [(KEYS.record, b"")], {"ada": [KEYS.id]}, at=START, by=RECOVERY),
                _second_device(),
            ):
                yield payload_of(raw)
        case "card":
            yield payload_of(
                sign_card(Card(mine(), 1, START, log.position, "Ada", "t", "d", ("a",), ("b",)), by)
            )
        case "connection-request":
            yield payload_of(request().raw)
        case "connection-accept":
            yield payload_of(sign_accept(answered(), at=START, log=log.position, by=by))
        case "connection-end":
            for kind in EndKind:
                yield payload_of(sign_end(request(), mine(), kind, at=START, log=log.position, by=by))
        case "grant":
            yield payload_of(_good_grant())
        case "invite":
            raw = sign_invite(
                mine(),
                id=bytes(16),
                secret=bytes(16),
                uses=1,
                expires_at=_LATER,
                at=START,
                log=log.position,
                by=by,
            )
            yield payload_of(raw)
        case "terms":
            yield encode_terms(Terms(bytes(16)))
            yield encode({"salt": bytes(16), "auto_trigger": True, "human_gate": False, "later": 1})
        case _:
            return
