"""What cards, connection statements, grants and invites share: one signer, one version, one log position.

They are checked when they are taken, against the newest log of the signer's account (spec/identity.md
section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from .accounts import AccountLog, check_authority
from .cbor import Value, decode, encode
from .crypto import Kind, Signed, SigningKey, parse_signed, verify_by_known_key, verify_signed
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, Hash, LogPosition
from .limits import ENVELOPE_BYTES
from .shape import MapReader

__all__ = [
    "Authority",
    "Claim",
    "authorize",
    "authorize_then",
    "open_document",
    "peek",
    "recall_document",
    "sign_document",
]

VERSION: Final = 1

#: The field that names the agent whose account has to have signed.
_SIGNER: Final[Mapping[Kind, str]] = {
    Kind.CARD: "agent",
    Kind.CONNECTION_REQUEST: "from",
    Kind.CONNECTION_ACCEPT: "by",
    Kind.CONNECTION_END: "by",
    Kind.GRANT: "from",
    Kind.INVITE: "agent",
}
_ABOUT_A_REQUEST: Final = frozenset({Kind.CONNECTION_ACCEPT, Kind.CONNECTION_END, Kind.GRANT})


@attrs.frozen
class Claim:
    """What a document says of itself before anything is verified: enough to look up what verifies it.

    `account` should have signed it; `request` is the hash of the connection request that it is about, None
    for a card or an invite, the document's own hash for a request.
    """

    account: AccountId
    request: Hash | None


def peek(raw: bytes, kind: Kind, *, limit: int = ENVELOPE_BYTES) -> Claim:
    """Whose log to fetch and which request, before reading a document. Nothing of it is believed.

    Raises RemoteProtocolError with the codes of encoding and shape.
    """
    signed = parse_signed(raw, limit=limit)
    needed = (_SIGNER[kind], "request") if kind in _ABOUT_A_REQUEST else (_SIGNER[kind],)
    reader = MapReader.open(decode(signed.payload), "", needed)
    account = reader.agent(_SIGNER[kind]).account
    if kind is Kind.CONNECTION_REQUEST:
        return Claim(account, signed.hash)
    return Claim(account, reader.hash("request") if kind in _ABOUT_A_REQUEST else None)


def open_document(
    raw: bytes, kind: Kind, fields: Sequence[str], log: AccountLog, *, limit: int = ENVELOPE_BYTES
) -> tuple[Signed, MapReader]:
    """The verified structure and a reader of its payload, whose `v` is 1.

    Raises RemoteProtocolError: too-large, bad-cose, bad-key, bad-signature, the codes of encoding,
    unknown-field, missing-field, unknown-version. Whether the signer may say this is asked by `authorize`,
    last.
    """
    signed = parse_signed(raw, limit=limit)
    if signed.key in log.state.manage_keys():
        verify_by_known_key(signed, kind)
    else:
        verify_signed(signed, kind)
    reader = MapReader(decode(signed.payload), "", ("v", *fields))
    if reader.uint("v") != VERSION:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, "only version 1 is known", field="v")
    return signed, reader


def recall_document(raw: bytes, fields: Sequence[str]) -> tuple[Signed, MapReader]:
    """The structure and a reader of its payload, for one that this side verified when it took it.

    Raises RemoteProtocolError: bad-cose, the codes of encoding, unknown-field, missing-field.
    """
    signed = parse_signed(raw)
    return signed, MapReader(decode(signed.payload), "", ("v", *fields))


def authorize(log: AccountLog, account: AccountId, signed: Signed, quoted: LogPosition) -> None:
    """Nothing if the log is the named agent's and the signer a manager of it now.

    Raises RemoteProtocolError: wrong-account, not-authorized, not-an-extension.
    """
    if account != log.account:
        raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "speaks for an agent of another account")
    check_authority(log, signed.key, quoted)


def authorize_then(log: AccountLog, account: AccountId, signed: Signed, quoted: LogPosition) -> None:
    """Nothing if the log is the named agent's and the signer was a manager of it at the position quoted.

    For what was taken once and is shown again. A device that was put out since can still sign with an old
    position: what rests on this alone must let nobody do anything. Raises as `authorize`.
    """
    if account != log.account:
        raise RemoteProtocolError(RejectCode.WRONG_ACCOUNT, "speaks for an agent of another account")
    if not log.contains(quoted):
        raise RemoteProtocolError(RejectCode.NOT_AN_EXTENSION, "not a position of the log held", field="log")
    for device in log.state.devices.values():
        if device.record.manage == signed.key and device.stood_at(quoted.length):
            return
    raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "not a manage key of a device that stood then")


Authority = Callable[[AccountLog, AccountId, Signed, LogPosition], None]
"""Decides whether a signer may say something: `authorize`, or `authorize_then`."""


def sign_document(kind: Kind, fields: Mapping[str, Value], key: SigningKey) -> bytes:
    """The signed structure over these fields and the version."""
    return key.sign(kind, encode({"v": VERSION, **fields}))
