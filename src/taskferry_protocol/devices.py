"""Devices as they stand in account logs: records, consents and the keys behind them (spec/identity.md 1)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Self

import attrs

from .cbor import Value, encode
from .crypto import (
    KEY_BYTES,
    SUITE,
    EncryptionKey,
    Kind,
    SigningKey,
    check_encryption_key,
    parse_signed,
    verify_by_known_key,
)
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, DeviceId, Entropy, Instant
from .limits import STATEMENT_BYTES
from .shape import MapReader, as_bytes, as_pair, as_text, as_uint, has_controls

__all__ = [
    "DeviceKeys",
    "DeviceRecord",
    "DeviceState",
    "DeviceStatus",
    "check_device_consent",
    "check_record",
    "check_recovery_consent",
    "consent_to_recovery",
    "consent_to_stand",
    "read_encryption_key",
    "read_record",
]

LABEL_BYTES: Final = 64


@attrs.frozen
class DeviceRecord:
    """What a log says of a device: its signing key, X25519 key, label and, if it may manage, manage key."""

    id: DeviceId
    enc: bytes
    label: str
    manage: bytes | None = None

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        record: dict[str, Value] = {"id": self.id, "enc": [SUITE, self.enc], "label": self.label}
        if self.manage is not None:
            record["manage"] = self.manage
        return record


class DeviceStatus(StrEnum):
    """Whether a device may act, and if not, how it went."""

    ACTIVE = "active"
    REVOKED = "revoked"
    RETIRED = "retired"


@attrs.frozen
class DeviceState:
    """A device that is or was in the log.

    `since` and `ended` are the indices of the statements with which it came and went; `former` are its
    earlier X25519 keys, each with the time of its replacement (a claim of that device).
    """

    record: DeviceRecord
    status: DeviceStatus
    since: int
    ended: int | None = None
    former: tuple[tuple[bytes, Instant], ...] = ()

    @property
    def id(self) -> DeviceId:
        """The device id."""
        return self.record.id

    def stood_at(self, length: int) -> bool:
        """Whether it was active in the log's first `length` statements."""
        return self.since < length and (self.ended is None or length <= self.ended)


@attrs.frozen
class DeviceKeys:
    """The key pairs of one device; `manage` is there only if it may sign for the account."""

    signing: SigningKey
    encryption: EncryptionKey
    manage: SigningKey | None
    label: str

    @classmethod
    def generate(cls, label: str, entropy: Entropy) -> Self:
        """Fresh keys of a device that sends and receives, and does not manage."""
        return cls(*_fresh_pairs(entropy), None, label)

    @classmethod
    def generate_managing(cls, label: str, entropy: Entropy) -> Self:
        """Fresh keys of a device that may also sign statements, cards, connections, grants and invites."""
        return cls(*_fresh_pairs(entropy), SigningKey.from_seed(entropy(KEY_BYTES)), label)

    @property
    def id(self) -> DeviceId:
        """The device id: the public half of the signing key."""
        return DeviceId(self.signing.public)

    @property
    def record(self) -> DeviceRecord:
        """The public record of these keys."""
        manage = None if self.manage is None else self.manage.public
        return DeviceRecord(self.id, self.encryption.public, self.label, manage)


def _fresh_pairs(entropy: Entropy) -> tuple[SigningKey, EncryptionKey]:
    return SigningKey.from_seed(entropy(KEY_BYTES)), EncryptionKey.from_secret(entropy(KEY_BYTES))


def read_encryption_key(value: Value, field: str) -> bytes:
    """The X25519 key of `[suite, key]`, of the right length but not yet judged.

    Raises RemoteProtocolError: wrong-type, bad-value, unknown-suite.
    """
    suite, key = as_pair(value, field)
    if as_uint(suite, field) != SUITE:
        raise RemoteProtocolError(RejectCode.UNKNOWN_SUITE, f"only suite {SUITE} is known", field=field)
    return as_bytes(key, field, size=KEY_BYTES)


def read_record(value: Value, field: str) -> DeviceRecord:
    """A device record of the right shape; whether its keys are acceptable is asked later."""
    reader = MapReader(value, field, ("id", "enc", "label"), ("manage",))
    return DeviceRecord(
        DeviceId(reader.bytes("id", size=KEY_BYTES)),
        reader.read("enc", read_encryption_key),
        reader.read("label", _label),
        reader.bytes("manage", size=KEY_BYTES) if "manage" in reader else None,
    )


def _label(value: Value, field: str) -> str:
    text = as_text(value, field, least=1, most=LABEL_BYTES)
    if has_controls(text):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "must not hold control characters", field=field)
    return text


def check_record(record: DeviceRecord, field: str, check_signing: Callable[[bytes, str], object]) -> None:
    """Nothing if the record's keys are acceptable and `manage` is not `id`; bad-key otherwise.

    `check_signing` is `check_signing_key`, or one that remembers what passed before.
    """
    check_signing(record.id, f"{field}.id")
    check_encryption_key(record.enc, f"{field}.enc")
    if record.manage is not None:
        check_signing(record.manage, f"{field}.manage")
    if record.id == record.manage:
        raise RemoteProtocolError(
            RejectCode.BAD_KEY, "the key of a device does not sign for the account", field=f"{field}.manage"
        )


# --- Consents -----------------------------------------------------------------------------------------------


def _device_payload(account: AccountId | None, seq: int, record: DeviceRecord) -> bytes:
    return encode({"account": account, "seq": seq, "device": record.to_cbor()})


def _recovery_payload(account: AccountId | None, seq: int, recovery: bytes) -> bytes:
    return encode({"account": account, "seq": seq, "recovery": recovery})


def consent_to_stand(keys: DeviceKeys, account: AccountId | None, seq: int) -> bytes:
    """The device's word that it agrees to stand in this log, at this place, with these keys and powers.

    `account` is None in the account's own first statement.
    """
    return keys.signing.sign(Kind.DEVICE_CONSENT, _device_payload(account, seq, keys.record))


def consent_to_recovery(key: SigningKey, account: AccountId, seq: int) -> bytes:
    """A new recovery key's word that it agrees to be this account's, from this place on."""
    return key.sign(Kind.RECOVERY_CONSENT, _recovery_payload(account, seq, key.public))


def check_device_consent(
    consent: bytes, record: DeviceRecord, account: AccountId | None, seq: int, field: str
) -> None:
    """Nothing if the device agreed to exactly this; RemoteProtocolError(bad-consent) otherwise.

    The record's `id` has passed `check_signing_key` before.
    """
    _check(consent, Kind.DEVICE_CONSENT, record.id, _device_payload(account, seq, record), field)


def check_recovery_consent(
    consent: bytes, recovery: bytes, account: AccountId | None, seq: int, field: str
) -> None:
    """Nothing if the new recovery key agreed to exactly this; RemoteProtocolError(bad-consent) otherwise.

    `recovery` has passed `check_signing_key` before.
    """
    _check(consent, Kind.RECOVERY_CONSENT, recovery, _recovery_payload(account, seq, recovery), field)


def _check(consent: bytes, kind: Kind, key: bytes, payload: bytes, field: str) -> None:
    try:
        signed = parse_signed(consent, limit=STATEMENT_BYTES)
        # The encoding is deterministic, so equal fields are equal bytes.
        if signed.key == key and signed.payload == payload:
            verify_by_known_key(signed, kind)
            return
    except RemoteProtocolError as error:
        raise RemoteProtocolError(RejectCode.BAD_CONSENT, str(error), field=field) from error
    raise RemoteProtocolError(
        RejectCode.BAD_CONSENT, "given by another key, or for something else", field=field
    )
