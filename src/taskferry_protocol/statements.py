"""Account statements as bytes and as values (spec/identity.md section 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Self

import attrs

from .cbor import Value, decode, encode
from .crypto import KEY_BYTES, SUITE, Kind, Signed, SigningKey, parse_signed
from .devices import DeviceRecord, read_encryption_key, read_record
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, DeviceId, Hash, Instant, check_name
from .limits import AGENTS, DEVICES, STATEMENT_BYTES
from .shape import MapReader, as_array, as_bytes, check_ascending

__all__ = [
    "AddDevice",
    "Body",
    "Create",
    "Recover",
    "Rename",
    "Retire",
    "RevokeDevice",
    "RotateKeys",
    "SetAgent",
    "SetRecovery",
    "Statement",
    "open_statement",
    "sign_first",
    "sign_next",
]

VERSION: Final = 1
REASON_BYTES: Final = 200


def _device_ids(value: Value, field: str, *, least: int) -> tuple[DeviceId, ...]:
    items = as_array(value, field, least=least, most=DEVICES)
    ids = tuple(DeviceId(as_bytes(item, field, size=KEY_BYTES)) for item in items)
    check_ascending(ids, field)
    return ids


def _any_device_ids(value: Value, field: str) -> tuple[DeviceId, ...]:
    return _device_ids(value, field, least=0)


def _consent(value: Value, field: str) -> bytes:
    return as_bytes(value, field, most=STATEMENT_BYTES)


def _device(reader: MapReader) -> DeviceId:
    return DeviceId(reader.bytes("device", size=KEY_BYTES))


@attrs.frozen
class Create:
    """The account begins, with one managing device."""

    type_name: ClassVar[str] = "create"
    fields: ClassVar[tuple[str, ...]] = ("name", "device", "consent", "recovery")
    name: str
    device: DeviceRecord
    consent: bytes
    recovery: bytes

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        name = reader.name("name")
        device = reader.read("device", read_record)
        if device.manage is None:
            raise RemoteProtocolError(
                RejectCode.MISSING_FIELD, "the first device manages", field=reader.field("device.manage")
            )
        return cls(name, device, reader.read("consent", _consent), reader.bytes("recovery", size=KEY_BYTES))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {
            "name": self.name,
            "device": self.device.to_cbor(),
            "consent": self.consent,
            "recovery": self.recovery,
        }


@attrs.frozen
class AddDevice:
    """One more device, which consents."""

    type_name: ClassVar[str] = "add_device"
    fields: ClassVar[tuple[str, ...]] = ("device", "consent")
    device: DeviceRecord
    consent: bytes

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(reader.read("device", read_record), reader.read("consent", _consent))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"device": self.device.to_cbor(), "consent": self.consent}


@attrs.frozen
class RevokeDevice:
    """A device is put out; nothing of its that was not yet committed counts any more."""

    type_name: ClassVar[str] = "revoke_device"
    fields: ClassVar[tuple[str, ...]] = ("device", "reason")
    device: DeviceId
    reason: str

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(_device(reader), reader.text("reason", most=REASON_BYTES))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"device": self.device, "reason": self.reason}


@attrs.frozen
class Retire:
    """A device leaves by itself; what it sent before still counts."""

    type_name: ClassVar[str] = "retire"
    fields: ClassVar[tuple[str, ...]] = ("device",)
    device: DeviceId

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(_device(reader))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"device": self.device}


@attrs.frozen
class RotateKeys:
    """A device replaces its encryption key."""

    type_name: ClassVar[str] = "rotate_keys"
    fields: ClassVar[tuple[str, ...]] = ("device", "enc")
    device: DeviceId
    enc: bytes

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(_device(reader), reader.read("enc", read_encryption_key))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"device": self.device, "enc": [SUITE, self.enc]}


@attrs.frozen
class SetAgent:
    """An agent and the devices that serve it; none withdraws it."""

    type_name: ClassVar[str] = "set_agent"
    fields: ClassVar[tuple[str, ...]] = ("agent", "devices")
    agent: str
    devices: tuple[DeviceId, ...]

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(reader.name("agent"), reader.read("devices", _any_device_ids))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"agent": self.agent, "devices": list(self.devices)}


@attrs.frozen
class SetRecovery:
    """Another recovery key, which consents."""

    type_name: ClassVar[str] = "set_recovery"
    fields: ClassVar[tuple[str, ...]] = ("recovery", "consent")
    recovery: bytes
    consent: bytes

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(reader.bytes("recovery", size=KEY_BYTES), reader.read("consent", _consent))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"recovery": self.recovery, "consent": self.consent}


@attrs.frozen
class Recover:
    """The owner restates all devices and agents with the recovery key."""

    type_name: ClassVar[str] = "recover"
    fields: ClassVar[tuple[str, ...]] = ("devices", "consents", "agents", "recovery")
    devices: tuple[DeviceRecord, ...]
    consents: tuple[bytes, ...]
    agents: Mapping[str, tuple[DeviceId, ...]]
    recovery: bytes

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(
            reader.read("devices", _records),
            tuple(
                _consent(item, reader.field("consents")) for item in reader.array("consents", most=DEVICES)
            ),
            reader.read("agents", _agents),
            reader.bytes("recovery", size=KEY_BYTES),
        )

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {
            "devices": [record.to_cbor() for record in self.devices],
            "consents": list(self.consents),
            "agents": {name: list(ids) for name, ids in self.agents.items()},
            "recovery": self.recovery,
        }


def _records(value: Value, field: str) -> tuple[DeviceRecord, ...]:
    records = tuple(read_record(item, field) for item in as_array(value, field, least=1, most=DEVICES))
    check_ascending([record.id for record in records], field)
    if all(record.manage is None for record in records):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "at least one device manages", field=field)
    return records


def _agents(value: Value, field: str) -> dict[str, tuple[DeviceId, ...]]:
    if type(value) is not dict:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a map expected", field=field)
    if len(value) > AGENTS:
        raise RemoteProtocolError(RejectCode.TOO_MANY, f"{len(value)} agents, {AGENTS} allowed", field=field)
    return {check_name(name, field): _device_ids(ids, field, least=1) for name, ids in value.items()}


@attrs.frozen
class Rename:
    """Another public name for the owner."""

    type_name: ClassVar[str] = "rename"
    fields: ClassVar[tuple[str, ...]] = ("name",)
    name: str

    @classmethod
    def read(cls, reader: MapReader) -> Self:
        """The fields in the order of the specification."""
        return cls(reader.name("name"))

    def to_cbor(self) -> dict[str, Value]:
        """The further fields as they are encoded."""
        return {"name": self.name}


Body = Create | AddDevice | RevokeDevice | Retire | RotateKeys | SetAgent | SetRecovery | Recover | Rename

_BODIES: Final[Mapping[str, type[Body]]] = {
    body.type_name: body
    for body in (Create, AddDevice, RevokeDevice, Retire, RotateKeys, SetAgent, SetRecovery, Recover, Rename)
}
_SELF_SIGNED: Final = frozenset({Retire.type_name, RotateKeys.type_name})


@attrs.frozen
class Statement:
    """One statement as read; `account` and `prev` are None in a `create` alone."""

    signed: Signed
    seq: int
    at: Instant
    account: AccountId | None
    prev: Hash | None
    body: Body


def open_statement(raw: bytes, check: Callable[[Signed, Kind], None]) -> Statement:
    """Read one statement; `check` judges key and signature before any field is believed.

    Raises RemoteProtocolError: too-large, bad-cose, whatever `check` raises, then the codes of encoding and
    shape, unknown-version and unknown-type.
    """
    signed = parse_signed(raw, limit=STATEMENT_BYTES)
    try:
        payload = decode(signed.payload)
    except RemoteProtocolError:
        check(signed, Kind.STATEMENT)
        raise
    named = payload.get("type") if type(payload) is dict else None
    themselves = type(named) is str and named in _SELF_SIGNED
    check(signed, Kind.SELF_STATEMENT if themselves else Kind.STATEMENT)
    return _read(signed, payload)


def _read(signed: Signed, payload: Value) -> Statement:
    # Version and type decide which fields there are, so they are looked at before any other.
    version = MapReader.open(payload, "", ("v",)).uint("v")
    if version != VERSION:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, "only version 1 is known", field="v")
    named = MapReader.open(payload, "", ("type",)).value("type")
    if type(named) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field="type")
    body = _BODIES.get(named)
    if body is None:
        raise RemoteProtocolError(RejectCode.UNKNOWN_TYPE, "not a statement of this version", field="type")
    linked = () if body is Create else ("account", "prev")
    reader = MapReader(payload, "", ("v", "type", "seq", "at", *linked, *body.fields))
    seq, at = reader.uint("seq"), reader.time("at")
    account = AccountId(reader.bytes("account", size=32)) if linked else None
    prev = reader.hash("prev") if linked else None
    return Statement(signed, seq, at, account, prev, body.read(reader))


def sign_first(body: Create, key: SigningKey, *, at: Instant) -> bytes:
    """The bytes of an account's first statement."""
    return _sign({}, 0, body, key, at)


def sign_next(account: AccountId, seq: int, prev: Hash, body: Body, key: SigningKey, *, at: Instant) -> bytes:
    """The bytes of the statement at index `seq`, which follows the one whose hash is `prev`."""
    return _sign({"account": account, "prev": prev}, seq, body, key, at)


def _sign(linked: Mapping[str, Value], seq: int, body: Body, key: SigningKey, at: Instant) -> bytes:
    kind = Kind.SELF_STATEMENT if body.type_name in _SELF_SIGNED else Kind.STATEMENT
    head: dict[str, Value] = {"v": VERSION, "type": body.type_name, "seq": seq, "at": at}
    return key.sign(kind, encode({**head, **linked, **body.to_cbor()}))
