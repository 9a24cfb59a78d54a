"""Connections: two agents are connected when each has signed for it (spec/identity.md section 6)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from .accounts import AccountLog
from .cbor import Value
from .crypto import Kind, Signed, SigningKey
from .documents import Authority, authorize, open_document, recall_document, sign_document
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import AgentRef, Hash, Instant, LogPosition
from .limits import LIFETIME_MS
from .shape import MapReader

__all__ = [
    "ConnectionAccept",
    "ConnectionEnd",
    "ConnectionRequest",
    "EndKind",
    "read_accept",
    "read_end",
    "read_request",
    "recall_accept",
    "recall_end",
    "recall_request",
    "sign_accept",
    "sign_end",
    "sign_request",
]

NONCE_BYTES: Final = 16
KIND_BYTES: Final = 16
_REQUEST_FIELDS: Final = ("from", "to", "at", "expires_at", "nonce", "log")


@attrs.frozen
class ConnectionRequest:
    """One agent asks another; its `hash` names the connection."""

    from_: AgentRef
    to: AgentRef
    at: Instant
    expires_at: Instant
    nonce: bytes
    log: LogPosition
    hash: Hash
    raw: bytes = attrs.field(repr=False)

    def other(self, agent: AgentRef) -> AgentRef | None:
        """The other one of the two agents; None if `agent` is neither."""
        return {self.from_: self.to, self.to: self.from_}.get(agent)


@attrs.frozen
class ConnectionAccept:
    """The agent that was asked agrees."""

    request: Hash
    by: AgentRef
    peer: AgentRef
    at: Instant
    log: LogPosition
    hash: Hash
    raw: bytes = attrs.field(repr=False)


class EndKind(StrEnum):
    """How a request or connection ended."""

    DECLINED = "declined"
    REVOKED = "revoked"
    BLOCKED = "blocked"


@attrs.frozen
class ConnectionEnd:
    """One of the two agents ends it, for good: a new request starts over."""

    request: Hash
    by: AgentRef
    peer: AgentRef
    kind: EndKind
    at: Instant
    log: LogPosition
    hash: Hash
    raw: bytes = attrs.field(repr=False)


def _agent(agent: AgentRef) -> Value:
    return [agent.account, agent.name]


def _position(position: LogPosition) -> Value:
    return [position.length, position.head]


def sign_request(
    from_: AgentRef,
    to: AgentRef,
    *,
    at: Instant,
    expires_at: Instant,
    nonce: bytes,
    log: LogPosition,
    by: SigningKey,
) -> bytes:
    """A request by a manage key of `from_`'s account; `nonce` is 16 fresh random bytes.

    Nothing is judged here: `read_request` of the bytes says whether they keep the rules.
    """
    return sign_document(
        Kind.CONNECTION_REQUEST,
        {
            "from": _agent(from_),
            "to": _agent(to),
            "at": at,
            "expires_at": expires_at,
            "nonce": nonce,
            "log": _position(log),
        },
        by,
    )


def sign_accept(request: ConnectionRequest, *, at: Instant, log: LogPosition, by: SigningKey) -> bytes:
    """The acceptance of `request` by a manage key of the account that was asked, at position `log` of it."""
    return sign_document(
        Kind.CONNECTION_ACCEPT,
        {
            "request": request.hash,
            "by": _agent(request.to),
            "peer": _agent(request.from_),
            "at": at,
            "log": _position(log),
        },
        by,
    )


def sign_end(
    request: ConnectionRequest,
    agent: AgentRef,
    kind: EndKind,
    *,
    at: Instant,
    log: LogPosition,
    by: SigningKey,
) -> bytes:
    """The end of what `request` began, said for `agent`, one of its two.

    Raises LocalProtocolError if `agent` is neither.
    """
    peer = request.other(agent)
    if peer is None:
        raise LocalProtocolError("a connection is ended by one of the two agents of its request")
    return sign_document(
        Kind.CONNECTION_END,
        {
            "request": request.hash,
            "by": _agent(agent),
            "peer": _agent(peer),
            "kind": kind.value,
            "at": at,
            "log": _position(log),
        },
        by,
    )


def read_request(raw: bytes, log: AccountLog, authority: Authority = authorize) -> ConnectionRequest:
    """A request that the account of `log` signed. Whether it is over is for the caller's clock.

    Raises RemoteProtocolError: the codes of signatures, encoding and shape, unknown-version, bad-time, then
    wrong-account, not-authorized, not-an-extension.
    """
    signed, reader = open_document(raw, Kind.CONNECTION_REQUEST, _REQUEST_FIELDS, log)
    request = _request(signed, reader)
    if request.from_ == request.to:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "an agent does not connect with itself", field="to")
    if not request.at < request.expires_at <= request.at + LIFETIME_MS:
        raise RemoteProtocolError(RejectCode.BAD_TIME, "at most 30 days, and some time", field="expires_at")
    authority(log, request.from_.account, signed, request.log)
    return request


def recall_request(raw: bytes) -> ConnectionRequest:
    """A request that this side took before and kept itself: what was taken stays good when its signer goes.

    Never for one that came from elsewhere: nothing is verified. Raises as `read_request` does for its shape.
    """
    return _request(*recall_document(raw, _REQUEST_FIELDS))


def _request(signed: Signed, reader: MapReader) -> ConnectionRequest:
    return ConnectionRequest(
        reader.agent("from"),
        reader.agent("to"),
        reader.time("at"),
        reader.time("expires_at"),
        reader.bytes("nonce", size=NONCE_BYTES),
        reader.position("log"),
        signed.hash,
        signed.raw,
    )


def read_accept(
    raw: bytes, log: AccountLog, request: ConnectionRequest, authority: Authority = authorize
) -> ConnectionAccept:
    """The acceptance of `request` that the account of `log` signed.

    Raises RemoteProtocolError: as `read_request`; after the shape own-request, unknown-request,
    request-expired.
    """
    signed, reader = open_document(raw, Kind.CONNECTION_ACCEPT, _ACCEPT_FIELDS, log)
    accept = _accept(signed, reader)
    if accept.request != request.hash:
        raise _unknown("request")
    if accept.by == request.from_:
        raise RemoteProtocolError(RejectCode.OWN_REQUEST, "nobody accepts their own request", field="by")
    if (accept.by, accept.peer) != (request.to, request.from_):
        raise _unknown("peer" if accept.by == request.to else "by")
    if accept.at > request.expires_at:
        raise RemoteProtocolError(RejectCode.REQUEST_EXPIRED, "accepted too late", field="at")
    authority(log, accept.by.account, signed, accept.log)
    return accept


def recall_accept(raw: bytes) -> ConnectionAccept:
    """An acceptance that was taken before. Nothing is verified; raises as `recall_request`."""
    return _accept(*recall_document(raw, _ACCEPT_FIELDS))


_ACCEPT_FIELDS: Final = ("request", "by", "peer", "at", "log")


def _accept(signed: Signed, reader: MapReader) -> ConnectionAccept:
    return ConnectionAccept(
        reader.hash("request"),
        reader.agent("by"),
        reader.agent("peer"),
        reader.time("at"),
        reader.position("log"),
        signed.hash,
        signed.raw,
    )


def read_end(
    raw: bytes, log: AccountLog, request: ConnectionRequest, authority: Authority = authorize
) -> ConnectionEnd:
    """The end of what `request` began, signed by the account of `log`.

    Raises RemoteProtocolError: as `read_request`; after the shape unknown-request.
    """
    signed, reader = open_document(raw, Kind.CONNECTION_END, _END_FIELDS, log)
    end = _end(signed, reader)
    if end.request != request.hash:
        raise _unknown("request")
    if request.other(end.by) != end.peer:
        raise _unknown("by")
    authority(log, end.by.account, signed, end.log)
    return end


def recall_end(raw: bytes) -> ConnectionEnd:
    """An end that this owner took before. Nothing is verified; raises as `recall_request`."""
    return _end(*recall_document(raw, _END_FIELDS))


_END_FIELDS: Final = ("request", "by", "peer", "kind", "at", "log")


def _end(signed: Signed, reader: MapReader) -> ConnectionEnd:
    return ConnectionEnd(
        reader.hash("request"),
        reader.agent("by"),
        reader.agent("peer"),
        _end_kind(reader),
        reader.time("at"),
        reader.position("log"),
        signed.hash,
        signed.raw,
    )


def _end_kind(reader: MapReader) -> EndKind:
    text = reader.text("kind", most=KIND_BYTES)
    try:
        return EndKind(text)
    except ValueError as error:
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, "declined, revoked or blocked", field="kind"
        ) from error


def _unknown(field: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, "not about this request", field=field)
