"""What an owner's devices share (spec/messages.md): whom they know, what agents may do, and history.

Believed from a managing device of the same account alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from ..cbor import Value
from ..errors import RejectCode, RemoteProtocolError
from ..ids import AccountId, DeviceId, Instant
from ..limits import CONTACT_NOTE_BYTES
from ..shape import MapReader, as_array, as_bytes, as_pair
from .base import Body, MessageClass, Wire
from .fields import count, statements, texts

__all__ = [
    "DeviceShare",
    "SharedAccount",
    "SharedAgent",
    "SharedCard",
    "SharedConnection",
    "SharedItem",
    "SharedLabel",
    "SharedMessage",
]

#: Items in one share.
SHARE_ITEMS: Final = 256
#: Statements of one account in one item.
SHARE_STATEMENTS: Final = 64
#: Rivals of one version, in both directions.
SHARE_GRANTS: Final = 8
LABEL_BYTES: Final = 64
#: Since when a device is called what nobody says the time of.
_EVER: Final = Instant(0)
WORD_BYTES: Final = 32
REASON_BYTES: Final = 512


@attrs.frozen
class SharedAccount:
    """A pinned account: statements of its log from `start` on, how it is called, trusted, and why held."""

    account: AccountId
    name: str
    trust: str
    held: str
    start: int
    statements: tuple[bytes, ...] = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {
            "kind": "account",
            "account": self.account,
            "name": self.name,
            "trust": self.trust,
            "held": self.held,
            "from": self.start,
            "statements": list(self.statements),
        }


@attrs.frozen
class SharedCard:
    """An agent's card as signed."""

    card: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"kind": "card", "card": self.card}


@attrs.frozen
class SharedConnection:
    """A connection by its statements, empty where there is none; grants with their terms.

    `again` is from when on an agent whose request the owner has declined may ask once more.
    """

    request: bytes = attrs.field(repr=False)
    accept: bytes = attrs.field(repr=False)
    end: bytes = attrs.field(repr=False)
    note: str
    at: Instant
    grants: tuple[tuple[bytes, bytes], ...] = attrs.field(repr=False)
    again: Instant | None = None

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {
            "kind": "connection",
            "request": self.request,
            "accept": self.accept,
            "end": self.end,
            "note": self.note,
            "at": self.at,
            "grants": [list(pair) for pair in self.grants],
        } | ({} if self.again is None else {"again": self.again})


@attrs.frozen
class SharedMessage:
    """An envelope as it was sent, and the K that opens it."""

    envelope: bytes = attrs.field(repr=False)
    key: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"kind": "message", "envelope": self.envelope, "key": self.key}


@attrs.frozen
class SharedLabel:
    """What the owner calls a device since `at`, whatever its record says."""

    device: DeviceId
    label: str
    at: Instant = _EVER

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        members: dict[str, object] = {"kind": "label", "device": self.device, "label": self.label}
        return members | ({"at": self.at} if self.at else {})


@attrs.frozen
class SharedAgent:
    """How freely an agent acts where this comes from, as of `at`: its mode, and what it is never allowed.

    What the owner has allowed ahead is not said: it was allowed on one machine.
    """

    agent: str
    mode: str
    never: tuple[str, ...]
    at: Instant

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {
            "kind": "agent",
            "agent": self.agent,
            "mode": self.mode,
            "never": list(self.never),
            "at": self.at,
        }


SharedItem = SharedAccount | SharedCard | SharedConnection | SharedMessage | SharedLabel | SharedAgent


def _account(value: Value, where: str) -> SharedItem:
    keys = ("kind", "account", "name", "trust", "held", "from", "statements")
    reader = MapReader(value, where, keys)
    return SharedAccount(
        AccountId(reader.bytes("account", size=32)),
        reader.name("name"),
        reader.text("trust", least=1, most=WORD_BYTES),
        reader.text("held", most=REASON_BYTES),
        reader.uint("from"),
        reader.read("statements", statements(most=SHARE_STATEMENTS)),
    )


def _card(value: Value, where: str) -> SharedItem:
    return SharedCard(MapReader(value, where, ("kind", "card")).bytes("card"))


def _grant(value: Value, field: str) -> tuple[bytes, bytes]:
    grant, terms = as_pair(value, field)
    return as_bytes(grant, field), as_bytes(terms, field)


def _connection(value: Value, where: str) -> SharedItem:
    keys = ("kind", "request", "accept", "end", "note", "at", "grants")
    reader = MapReader(value, where, keys, ("again",))
    return SharedConnection(
        reader.bytes("request"),
        reader.bytes("accept"),
        reader.bytes("end"),
        reader.text("note", most=CONTACT_NOTE_BYTES),
        reader.time("at"),
        tuple(
            _grant(pair, f"{reader.field('grants')}[{index}]")
            for index, pair in enumerate(reader.array("grants", most=SHARE_GRANTS))
        ),
        reader.time("again") if "again" in reader else None,
    )


def _message(value: Value, where: str) -> SharedItem:
    reader = MapReader(value, where, ("kind", "envelope", "key"))
    return SharedMessage(reader.bytes("envelope"), reader.bytes("key", size=32))


def _label(value: Value, where: str) -> SharedItem:
    reader = MapReader(value, where, ("kind", "device", "label"), ("at",))
    return SharedLabel(
        DeviceId(reader.bytes("device", size=32)),
        reader.text("label", least=1, most=LABEL_BYTES),
        reader.time("at") if "at" in reader else _EVER,
    )


def _agent(value: Value, where: str) -> SharedItem:
    reader = MapReader(value, where, ("kind", "agent", "mode", "never", "at"))
    return SharedAgent(
        reader.name("agent"),
        reader.text("mode", least=1, most=WORD_BYTES),
        reader.read("never", texts(least=0)),
        reader.time("at"),
    )


_READERS: Final[Mapping[str, Callable[[Value, str], SharedItem]]] = {
    "account": _account,
    "card": _card,
    "connection": _connection,
    "message": _message,
    "label": _label,
    "agent": _agent,
}


def _item(value: Value, where: str) -> SharedItem:
    reader = MapReader.open(value, where, ("kind",))
    kind = reader.value("kind")
    if type(kind) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field=reader.field("kind"))
    if kind not in _READERS:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "nothing to share", field=reader.field("kind"))
    return _READERS[kind](value, where)


def _items(value: Value, field: str) -> tuple[SharedItem, ...]:
    listed = as_array(value, field, most=SHARE_ITEMS)
    return tuple(_item(item, f"{field}[{index}]") for index, item in enumerate(listed))


@attrs.frozen
class DeviceShare(Body):
    """Things that another device of this account lacks; `done` of `total` messages of history are through."""

    type_name = "device_share"
    message_class = MessageClass.ACCOUNT
    wire = (Wire("items", _items), Wire("done", count), Wire("total", count))

    items: tuple[SharedItem, ...]
    done: int = 0
    total: int = 0
