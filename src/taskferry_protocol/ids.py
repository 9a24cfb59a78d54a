"""Names, identifiers and instants: the small vocabulary that everything else is written in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final, NewType

import attrs

from .errors import RejectCode, RemoteProtocolError

AccountId = NewType("AccountId", bytes)
"""32 bytes: SHA-256 of the account's `create` statement."""
DeviceId = NewType("DeviceId", bytes)
"""32 bytes: the device's Ed25519 public key."""
Hash = NewType("Hash", bytes)
"""32 bytes: SHA-256 of a signed structure as sent."""
MessageId = NewType("MessageId", bytes)
"""16 bytes: a UUIDv7 (RFC 9562 section 5.7)."""
ConversationId = NewType("ConversationId", bytes)
"""16 bytes."""
Instant = NewType("Instant", int)
"""UTC milliseconds since 1970; taken once per input by the runner, never read in here."""

Entropy = Callable[[int], bytes]
"""A source of randomness: `entropy(n)` gives n bytes. Passed in by the caller, always."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_DEVICE: Final = re.compile(r"~([0-9a-f]{64})", re.ASCII)
_HANDLE: Final = re.compile(r"@([a-z0-9][a-z0-9_-]{0,31})/([a-z0-9][a-z0-9_-]{0,31})", re.ASCII)


def sha256(data: bytes) -> Hash:
    """The SHA-256 of `data` (FIPS 180-4), 32 bytes."""
    return Hash(hashlib.sha256(data).digest())


def is_name(text: str) -> bool:
    """Whether `text` is an owner's or agent's name (spec/taskferry.md section 2). Never raises."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, field: str) -> str:
    """`text` itself if it is a name; `bad-value` naming `field` otherwise."""
    if not is_name(text):
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE,
            "a name is 1 to 32 of a-z, 0-9, _ and -, and starts with a letter or digit",
            field=field,
        )
    return text


@attrs.frozen(order=True, cache_hash=True)
class AgentRef:
    """An agent in everything signed: the account id and the agent's name ("" for the account itself).

    As the `to` of an envelope it may name one device of an account: `~` and the device's id in hex.
    """

    account: AccountId
    name: str

    @classmethod
    def to_device(cls, account: AccountId, device: DeviceId) -> AgentRef:
        """One device of an account as a recipient (spec/envelope.md section 3)."""
        return cls(account, f"~{device.hex()}")

    @property
    def device(self) -> DeviceId | None:
        """The one device that this names, None if it names an agent, an account or a channel."""
        match = _DEVICE.fullmatch(self.name)
        return DeviceId(bytes.fromhex(match[1])) if match is not None else None

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.account, self.name]


@attrs.frozen
class Handle:
    """What people read and write, `@owner/agent`. For display and lookup only; never signed."""

    owner: str
    agent: str

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Read `@owner/agent`; `bad-value` for anything else, a trailing newline included."""
        match = _HANDLE.fullmatch(text) if len(text) <= 66 else None
        if match is None:
            raise RemoteProtocolError(
                RejectCode.BAD_VALUE, "a handle looks like @owner/agent in small letters", field="handle"
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"@{self.owner}/{self.agent}"


@attrs.frozen(order=True)
class LogPosition:
    """A place in an account's log: how many statements, and the hash of the last of them."""

    length: int
    head: Hash

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.length, self.head]


def message_id(now: Instant, entropy: Entropy) -> MessageId:
    """A fresh UUIDv7: 48 bits of milliseconds, 74 random bits (RFC 9562 section 5.7)."""
    raw = bytearray(now.to_bytes(6, "big") + entropy(10))
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return MessageId(bytes(raw))


def is_message_id(raw: bytes) -> bool:
    """Whether `raw` has the version and variant bits of a UUIDv7."""
    return len(raw) == 16 and raw[6] >> 4 == 7 and raw[8] >> 6 == 0b10


def fingerprint(key: bytes) -> str:
    """A short name of a key or hash for people: the first 8 bytes of its SHA-256 in four groups of hex."""
    text = hashlib.sha256(key).hexdigest()[:16]
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))
