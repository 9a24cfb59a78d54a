"""The header of an envelope: all that a relay sees of it (spec/envelope.md section 3).

It is read twice over: quickly where its bytes have the usual form, and otherwise field by field, which finds
the code of every fault. Whatever the quick reader takes, the careful one takes alike.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from . import crypto
from .cbor import Value, decode, encode
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, AgentRef, Hash, Instant, LogPosition, MessageId, is_message_id, is_name
from .limits import ENVELOPE_BYTES, LIFETIME_MS, TIME_LIMIT
from .messages.base import MessageClass
from .shape import MapReader, as_bytes, as_pair, as_position, as_text, as_uint
from .values import value

__all__ = ["LEAST_USUAL_TIME", "USUAL_HEADER", "Header", "encode_header", "is_channel", "read_header"]

VERSION: Final = 1
#: `~` and a device's id in hex: the longest that stands beside an account.
_NAME_BYTES: Final = 65


@value
class Header:
    """What a relay sees of an envelope, and what the cipher binds (spec/envelope.md section 3).

    `seq` counts per sending device and `to`; `log` is the sender's position, `to_log` the recipient's that it
    was sealed for; `nonce` is 24 bytes, `commit` 32.
    """

    id: MessageId
    cls: MessageClass
    from_: AgentRef
    to: AgentRef
    seq: int
    log: LogPosition
    to_log: LogPosition
    created_at: Instant
    expires_at: Instant
    suite: int
    nonce: bytes
    commit: bytes


def is_channel(ref: AgentRef) -> bool:
    """Whether a `to` names a team's channel, which relays of this version do not carry."""
    return ref.name.startswith("#")


_FIELDS: Final = (
    "v",
    "id",
    "class",
    "from",
    "to",
    "seq",
    "log",
    "to_log",
    "created_at",
    "expires_at",
    "suite",
    "nonce",
    "commit",
)
_CLASSES: Final = {cls.value: cls for cls in MessageClass}


def encode_header(header: Header) -> bytes:
    """The bytes `h`: signed, and bound by the cipher."""
    return _write_quickly(header) or _write_carefully(header)


def _write_carefully(header: Header) -> bytes:
    return encode(
        {
            "v": VERSION,
            "id": header.id,
            "class": header.cls.value,
            "from": header.from_.to_cbor(),
            "to": header.to.to_cbor(),
            "seq": header.seq,
            "log": header.log.to_cbor(),
            "to_log": header.to_log.to_cbor(),
            "created_at": header.created_at,
            "expires_at": header.expires_at,
            "suite": header.suite,
            "nonce": header.nonce,
            "commit": header.commit,
        }
    )


def _bad(field: str, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.BAD_VALUE, text, field=field)


def _as_reference(value: Value, field: str) -> AgentRef:
    """An agent reference by shape alone; its name is judged once the class is known."""
    account, name = as_pair(value, field)
    return AgentRef(AccountId(as_bytes(account, field, size=32)), as_text(name, field, most=_NAME_BYTES))


def _as_class(value: Value, field: str) -> str:
    if type(value) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field=field)
    return value


def _read_carefully(h: bytes) -> Header:
    """Decode, check shape, then version, class, id and names, suite, lifetime: in that order."""
    reader = MapReader(decode(h, limit=ENVELOPE_BYTES), "h", _FIELDS)
    members = {key: reader.value(key) for key in _FIELDS}
    version = as_uint(members["v"], "v")
    identity = MessageId(as_bytes(members["id"], "id", size=16))
    cls = _CLASSES.get(_as_class(members["class"], "class"))
    from_ = _as_reference(members["from"], "from")
    to = _as_reference(members["to"], "to")
    seq = as_uint(members["seq"], "seq", low=1)
    log = as_position(members["log"], "log")
    to_log = as_position(members["to_log"], "to_log")
    created_at = Instant(as_uint(members["created_at"], "created_at", high=TIME_LIMIT - 1))
    expires_at = Instant(as_uint(members["expires_at"], "expires_at", high=TIME_LIMIT - 1))
    suite = as_uint(members["suite"], "suite")
    nonce = as_bytes(members["nonce"], "nonce", size=crypto.NONCE_BYTES)
    commit = as_bytes(members["commit"], "commit", size=crypto.KEY_BYTES)
    if version != VERSION:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, f"version {version}", field="v")
    if cls is None:
        raise _bad("class", "not a class of this version")
    if not is_message_id(identity):
        raise _bad("id", "not a UUIDv7")
    _check_names(cls, from_, to)
    if suite != crypto.SUITE:
        raise RemoteProtocolError(RejectCode.UNKNOWN_SUITE, f"suite {suite}", field="suite")
    if not created_at < expires_at <= created_at + LIFETIME_MS:
        raise RemoteProtocolError(
            RejectCode.BAD_TIME, "must end after it begins, and within 30 days", field="expires_at"
        )
    return Header(identity, cls, from_, to, seq, log, to_log, created_at, expires_at, suite, nonce, commit)


def _check_names(cls: MessageClass, from_: AgentRef, to: AgentRef) -> None:
    if cls is MessageClass.ACCOUNT:
        if from_.name:
            raise _bad("from", 'class account comes from ""')
        if to.name and (to.device is None or to.account != from_.account):
            raise _bad("to", 'class account goes to "", or to one device of the same account')
        return
    if not is_name(from_.name):
        raise _bad("from", "not an agent's name")
    if not is_name(to.name.removeprefix("#")):
        raise _bad("to", "neither an agent's name nor a channel's")


# --- The quick way ------------------------------------------------------------------------------------------

_UINT: Final = rb"(?:[\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\x00\x00).{4})"
_POSITION: Final = rb"\x82" + _UINT + rb"\x58\x20.{32}"
# Names of at most 23 bytes, whose head is one byte; that it counts them rightly is looked at afterwards.
_REFERENCE: Final = rb"\x82\x58\x20.{32}[\x60-\x77][#a-z0-9_-]{0,23}"
_CLASS: Final = rb"(?:\x67account|\x68artifact|\x6aconnection|\x67message|\x67receipt|\x64task)"
#: The deterministic encoding of a header of version 1 and suite 1: its keys stand in this order and no other.
USUAL_HEADER: Final = re.compile(
    rb"\xad\x61v\x01"
    rb"\x62id\x50(?P<id>.{16})"
    rb"\x62to(" + _REFERENCE + rb"\x63log" + _POSITION + rb")"
    rb"\x63seq(?P<seq>" + _UINT + rb")"
    rb"\x64from(" + _REFERENCE + rb"\x65class" + _CLASS + rb")"
    rb"\x65nonce\x58\x18(?P<nonce>.{24})"
    rb"\x65suite\x01"
    rb"\x66commit\x58\x20(?P<commit>.{32})"
    rb"\x66to_log(" + _POSITION + rb")"
    rb"\x6acreated_at\x1b(?P<created>.{8})"
    rb"\x6aexpires_at\x1b(?P<expires>.{8})",
    re.DOTALL,
)
#: Times of eight bytes are as short as they can be from here on.
LEAST_USUAL_TIME: Final = 2**32
_ONE_POSITION: Final = re.compile(_POSITION, re.DOTALL)
#: Where the account and the head of the name stand in a reference.
_ACCOUNT_AT: Final = 3
_NAME_AT: Final = _ACCOUNT_AT + 32
#: Agents and log positions named in the latest envelopes, some 500 bytes each.
_REFERENCES_HELD: Final = 4_096
_CLASS_ITEMS: Final = {encode(cls.value): cls for cls in MessageClass}


def read_header(h: bytes) -> Header:
    """The header that `h` encodes.

    Raises RemoteProtocolError: the codes of encoding and shape, then unknown-version, bad-value for class, id
    and names, unknown-suite, bad-time; in that order.
    """
    return _read_quickly(h) or _read_carefully(h)


def _read_quickly(h: bytes) -> Header | None:
    """The header, if it is a good one of the usual form: a third of the careful way's time."""
    match = USUAL_HEADER.fullmatch(h)
    if match is None:
        return None
    id, to_and_log, seq, from_and_class, nonce, commit, to_log, created, expires = match.groups()
    receiving, sending = _to_and_log(to_and_log), _from_and_class(from_and_class)
    if receiving is None or sending is None or not is_message_id(id):
        return None
    to, log = receiving
    from_, cls = sending
    if not _names_fit(cls, from_.name, to.name):
        return None
    header = Header(
        MessageId(id),
        cls,
        from_,
        to,
        _uint(seq),
        log,
        _position(to_log),
        Instant(int.from_bytes(created, "big")),
        Instant(int.from_bytes(expires, "big")),
        crypto.SUITE,
        nonce,
        commit,
    )
    sound = (
        header.seq
        and header.log.length
        and header.to_log.length
        and LEAST_USUAL_TIME <= header.created_at < header.expires_at < TIME_LIMIT
        and header.expires_at - header.created_at <= LIFETIME_MS
    )
    return header if sound else None


def _write_quickly(header: Header) -> bytes | None:
    """The bytes of a header of the usual suite, whose strings are as long as they should be."""
    id, nonce, commit = header.id, header.nonce, header.commit
    if header.suite != crypto.SUITE or (len(id), len(nonce), len(commit)) != (16, crypto.NONCE_BYTES, 32):
        return None
    return b"".join(
        (
            *(b"\xad\x61v\x01\x62id\x50", id, b"\x62to", _reference_item(header.to)),
            *(b"\x63log", _position_item(header.log), b"\x63seq", encode(header.seq)),
            *(b"\x64from", _reference_item(header.from_), b"\x65class", encode(header.cls.value)),
            *(b"\x65nonce\x58\x18", nonce, b"\x65suite\x01", b"\x66commit\x58\x20", commit),
            *(b"\x66to_log", _position_item(header.to_log), b"\x6acreated_at", encode(header.created_at)),
            *(b"\x6aexpires_at", encode(header.expires_at)),
        )
    )


@lru_cache(maxsize=_REFERENCES_HELD)
def _reference_item(ref: AgentRef) -> bytes:
    """The encoding of an agent; remembered likewise."""
    return encode(ref.to_cbor())


@lru_cache(maxsize=_REFERENCES_HELD)
def _position_item(position: LogPosition) -> bytes:
    """The encoding of a log position; remembered likewise."""
    return encode(position.to_cbor())


def _uint(item: bytes) -> int:
    """The number in an unsigned integer's encoding."""
    return item[0] if len(item) == 1 else int.from_bytes(item[1:], "big")


@lru_cache(maxsize=_REFERENCES_HELD)
def _to_and_log(item: bytes) -> tuple[AgentRef, LogPosition] | None:
    """The recipient, and the sender's log position behind it. None if the recipient has no such name.

    Remembered, since most envelopes name what was named just before; nothing else depends on it.
    """
    at = _end_of_name(item)
    to = _reference(item[:at])
    if to is None or item[at : at + 4] != b"\x63log" or not _ONE_POSITION.fullmatch(item, at + 4):
        return None
    return to, _position(item[at + 4 :])


@lru_cache(maxsize=_REFERENCES_HELD)
def _from_and_class(item: bytes) -> tuple[AgentRef, MessageClass] | None:
    """The sender, and the class behind it; remembered likewise. None if the sender has no such name."""
    at = _end_of_name(item)
    from_, cls = _reference(item[:at]), _CLASS_ITEMS.get(item[at + 6 :])
    if from_ is None or cls is None or item[at : at + 6] != b"\x65class":
        return None
    return from_, cls


def _end_of_name(item: bytes) -> int:
    """Where the name ends by its head. The bytes of the next key may stand in a name as well: `clog`."""
    return _NAME_AT + 1 + (item[_NAME_AT] & 0x1F)


@lru_cache(maxsize=_REFERENCES_HELD)
def _reference(item: bytes) -> AgentRef | None:
    """The agent of this encoding: its name is "", a name, or a channel's. None if it is none of these."""
    if len(item) != _end_of_name(item):
        return None
    name = item[_NAME_AT + 1 :]
    # A head that counts too far takes bytes of what comes behind it for its name's.
    if not name.isascii():
        return None
    text = name.decode("ascii")
    account = AccountId(item[_ACCOUNT_AT:_NAME_AT])
    return AgentRef(account, text) if not text or is_name(text.removeprefix("#")) else None


@lru_cache(maxsize=_REFERENCES_HELD)
def _position(item: bytes) -> LogPosition:
    """The position of this encoding; remembered likewise."""
    return LogPosition(_uint(item[1:-34]), Hash(item[-32:]))


def _names_fit(cls: MessageClass, from_name: str, to_name: str) -> bool:
    """Whether names that `_reference` took may stand in an envelope of this class."""
    if cls is MessageClass.ACCOUNT:
        return not from_name and not to_name
    return bool(from_name and to_name) and not from_name.startswith("#")
