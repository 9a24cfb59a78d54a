"""A backup file: who may open it, and its content in chunks (spec/backup.md). Bytes in, bytes out.

Whoever writes one needs no secret of the owner's: the recovery key's public half seals, and the phrase opens.
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from .cbor import Value, decode, encode
from .crypto import (
    KEY_BYTES,
    SALT_BYTES,
    SEALED_KEY_BYTES,
    TAG_BYTES,
    EncryptionKey,
    blake2b_256,
    check_encryption_key,
    open_chunk,
    seal_chunk,
    stretch,
    unwrap_key,
    wrap_key,
)
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import AccountId, Entropy, Instant, sha256
from .passphrases import LEAST_MEMORY, MOST_MEMORY, MOST_OPS, Effort
from .shape import MapReader, as_array, as_pair, as_text, as_uint

__all__ = [
    "CHUNK_BYTES",
    "COMMIT_BYTES",
    "HEADER_BYTES",
    "HEAD_BYTES",
    "Header",
    "Opener",
    "PassphraseLock",
    "RecoveryLock",
    "Sealer",
    "backup_key",
    "header_length",
    "key_by_passphrase",
    "key_by_recovery",
    "lock_by_passphrase",
    "lock_for_recovery",
    "read_header",
    "sealed_size",
]

VERSION: Final = 1
MAGIC: Final = b"tfbackup"
#: The magic and the header's length.
HEAD_BYTES: Final = len(MAGIC) + 4
#: A header names a few parts; nobody is made to hold more.
HEADER_BYTES: Final = 4_096
COMMIT_BYTES: Final = 32
#: Plain bytes in every chunk but the last.
CHUNK_BYTES: Final = 65_536
#: 2^32 chunks; the index is a u32.
MOST_BYTES: Final = CHUNK_BYTES * 2**32
PARTS: Final = 8


@attrs.frozen
class RecoveryLock:
    """Opened by the recovery key: K sealed for the X25519 key made from it."""

    kind: ClassVar[str] = "recovery"
    to: bytes
    sealed: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The lock's fields as they are encoded."""
        return {"lock": self.kind, "to": self.to, "sealed": self.sealed}


@attrs.frozen
class PassphraseLock:
    """Opened by a passphrase: K is what Argon2id makes of it."""

    kind: ClassVar[str] = "passphrase"
    salt: bytes
    effort: Effort

    def to_cbor(self) -> dict[str, Value]:
        """The lock's fields as they are encoded."""
        return {
            "lock": self.kind,
            "salt": self.salt,
            "ops": self.effort.ops,
            "memory": self.effort.memory,
        }


Lock = RecoveryLock | PassphraseLock


@attrs.frozen
class Header:
    """What a backup says of itself before it is opened. `parts` are names and sizes, in the order written."""

    at: Instant
    account: AccountId
    parts: tuple[tuple[str, int], ...]
    lock: Lock

    @property
    def size(self) -> int:
        """The plain bytes of all parts."""
        return sum(size for _, size in self.parts)

    def encode(self) -> bytes:
        """The beginning of the file, up to the commitment."""
        parts: list[Value] = [[name, size] for name, size in self.parts]
        common: dict[str, Value] = {"v": VERSION, "at": self.at, "account": self.account, "parts": parts}
        header = encode({**common, **self.lock.to_cbor()})
        return MAGIC + len(header).to_bytes(4, "big") + header


_COMMON: Final = ("v", "at", "account", "parts", "lock")
_LOCKS: Final = {"recovery": ("to", "sealed"), "passphrase": ("salt", "ops", "memory")}


def header_length(head: bytes) -> int:
    """How many bytes of header follow the first `HEAD_BYTES` of a file.

    Raises RemoteProtocolError: malformed for what is no backup, too-large.
    """
    if len(head) != HEAD_BYTES or not head.startswith(MAGIC):
        raise RemoteProtocolError(RejectCode.MALFORMED, "not a backup of TaskFerry")
    length = int.from_bytes(head[len(MAGIC) :], "big")
    if length > HEADER_BYTES:
        raise RemoteProtocolError(RejectCode.TOO_LARGE, f"a header of {length} bytes, {HEADER_BYTES} allowed")
    return length


def read_header(opening: bytes) -> Header:
    """The header in the beginning of a file. Raises RemoteProtocolError: see spec/backup.md section 2."""
    length = header_length(opening[:HEAD_BYTES])
    if len(opening) != HEAD_BYTES + length:
        raise RemoteProtocolError(RejectCode.MALFORMED, "the file ends within its header")
    value = decode(opening[HEAD_BYTES:], limit=HEADER_BYTES)
    if MapReader.open(value, "", ("v",)).uint("v") != VERSION:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, "written by a newer TaskFerry", field="v")
    kind = MapReader.open(value, "", ("lock",)).text("lock", most=32)
    if kind not in _LOCKS:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "recovery or passphrase", field="lock")
    reader = MapReader(value, "", (*_COMMON, *_LOCKS[kind]))
    at, account = reader.time("at"), AccountId(reader.bytes("account", size=32))
    parts = reader.read("parts", _parts)
    if kind == "recovery":
        to = check_encryption_key(reader.bytes("to", size=KEY_BYTES), "to")
        return Header(at, account, parts, RecoveryLock(to, reader.bytes("sealed", size=SEALED_KEY_BYTES)))
    effort = Effort(
        reader.uint("ops", low=1, high=MOST_OPS),
        reader.uint("memory", low=LEAST_MEMORY, high=MOST_MEMORY),
    )
    return Header(at, account, parts, PassphraseLock(reader.bytes("salt", size=SALT_BYTES), effort))


def _parts(value: Value, field: str) -> tuple[tuple[str, int], ...]:
    parts: list[tuple[str, int]] = []
    for item in as_array(value, field, least=1, most=PARTS):
        name, size = as_pair(item, field)
        text = as_text(name, field, least=1, most=32)
        if not text.isascii() or not text.isalpha() or not text.islower():
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "a part's name is of a-z", field=field)
        parts.append((text, as_uint(size, field, high=MOST_BYTES)))
    if len({name for name, _ in parts}) != len(parts):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "a part stands there twice", field=field)
    if sum(size for _, size in parts) > MOST_BYTES:
        raise RemoteProtocolError(RejectCode.TOO_LARGE, "more than a backup may hold", field=field)
    return tuple(parts)


def sealed_size(header: Header) -> int:
    """The bytes of the whole file."""
    chunks = max(1, -(-header.size // CHUNK_BYTES))
    return len(header.encode()) + COMMIT_BYTES + header.size + chunks * TAG_BYTES


# --- Keys ---------------------------------------------------------------------------------------------------


def backup_key(seed: bytes) -> EncryptionKey:
    """The X25519 pair that opens backups, from the seed of the recovery key. Its public half may be kept."""
    return EncryptionKey.from_secret(blake2b_256(key=seed, person="tf1 backup box"))


def lock_for_recovery(to: bytes, entropy: Entropy) -> tuple[RecoveryLock, bytes]:
    """A lock that only the recovery key behind `to` opens, and the fresh K behind it."""
    key = entropy(KEY_BYTES)
    return RecoveryLock(to, wrap_key(key, to, ephemeral=entropy(KEY_BYTES))), key


def lock_by_passphrase(passphrase: str, effort: Effort, entropy: Entropy) -> tuple[PassphraseLock, bytes]:
    """A lock that a passphrase opens, and the K behind it. Slow on purpose."""
    lock = PassphraseLock(entropy(SALT_BYTES), effort)
    return lock, key_by_passphrase(lock, passphrase)


def key_by_recovery(lock: RecoveryLock, seed: bytes) -> bytes:
    """K, by the seed of the recovery key. Raises RemoteProtocolError(bad-wrap) for another key's backup."""
    mine = backup_key(seed)
    if mine.public != lock.to:
        raise RemoteProtocolError(RejectCode.BAD_WRAP, "made for another recovery phrase", field="to")
    return unwrap_key(lock.sealed, mine)


def key_by_passphrase(lock: PassphraseLock, passphrase: str) -> bytes:
    """K, by a passphrase; a wrong one shows at the commitment. Slow on purpose."""
    return stretch(passphrase, salt=lock.salt, ops=lock.effort.ops, memory=lock.effort.memory)


def content_keys(opening: bytes, key: bytes) -> tuple[bytes, bytes]:
    """`(content key, commitment)` of K and of all that stands before the commitment."""
    bound = blake2b_256(key=key, person="", message=sha256(opening))
    return blake2b_256(key=bound, person="tf1 backup"), blake2b_256(key=bound, person="tf1 backup comm")


# --- The content --------------------------------------------------------------------------------------------


class Sealer:
    """Writes one backup: `opening` first, then what `seal` gives, then what `finish` gives."""

    def __init__(self, header: Header, key: bytes) -> None:
        opening = header.encode()
        self._key, commit = content_keys(opening, key)
        self.opening: Final = opening + commit
        self._left = header.size
        self._index = 0
        self._held = bytearray()

    def seal(self, plain: bytes) -> bytes:
        """The whole chunks that the parts' bytes, in order, have come to."""
        if len(plain) > self._left:
            raise LocalProtocolError("more bytes than the header says")
        self._left -= len(plain)
        self._held += plain
        out = bytearray()
        # The last chunk is held back until `finish`, which knows that it is the last.
        while len(self._held) > CHUNK_BYTES:
            out += self._chunk(bytes(self._held[:CHUNK_BYTES]), 0)
            del self._held[:CHUNK_BYTES]
        return bytes(out)

    def finish(self) -> bytes:
        """The last chunk."""
        if self._left:
            raise LocalProtocolError("fewer bytes than the header says")
        return self._chunk(bytes(self._held), 1)

    def _chunk(self, plain: bytes, final: int) -> bytes:
        sealed = seal_chunk(plain, key=self._key, index=self._index, final=final)
        self._index += 1
        return sealed


class Opener:
    """Reads one backup's content behind the commitment; believe nothing of it before `finish` returned.

    Raises RemoteProtocolError: bad-commit (a wrong passphrase, or an altered header), bad-ciphertext,
    malformed (cut off, or longer than it says).
    """

    def __init__(self, opening: bytes, commit: bytes, header: Header, key: bytes) -> None:
        self._key, expected = content_keys(opening, key)
        if commit != expected:
            raise RemoteProtocolError(RejectCode.BAD_COMMIT, "wrong passphrase, or an altered header")
        self._left = header.size
        self._index = 0
        self._held = bytearray()
        self._finished = False

    def feed(self, sealed: bytes) -> bytes:
        """The plain bytes of the chunks that these bytes of the file complete."""
        self._held += sealed
        out = bytearray()
        while not self._finished:
            final = self._left <= CHUNK_BYTES
            length = (self._left if final else CHUNK_BYTES) + TAG_BYTES
            if len(self._held) < length:
                return bytes(out)
            out += open_chunk(bytes(self._held[:length]), key=self._key, index=self._index, final=int(final))
            del self._held[:length]
            self._left -= length - TAG_BYTES
            self._index += 1
            self._finished = final
        if self._held:
            raise RemoteProtocolError(RejectCode.MALFORMED, "something stands behind the last chunk")
        return bytes(out)

    def finish(self) -> None:
        """Nothing if the last chunk was there."""
        if not self._finished:
            raise RemoteProtocolError(RejectCode.MALFORMED, "the file is cut off")
