"""A backup file opens with its secret, whole and unchanged, or not at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.backups import (
    CHUNK_BYTES,
    COMMIT_BYTES,
    HEAD_BYTES,
    Header,
    Opener,
    PassphraseLock,
    RecoveryLock,
    Sealer,
    backup_key,
    header_length,
    key_by_passphrase,
    key_by_recovery,
    lock_by_passphrase,
    lock_for_recovery,
    read_header,
    sealed_size,
)
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.passphrases import Effort

SEED = b"s" * 32
ENTROPY = random.Random(1).randbytes
CHEAP = Effort(1, 8_192)


def made(content: bytes, passphrase: str = "") -> bytes:
    """A backup of two parts."""
    size = len(content) // 3
    parts = (("store", len(content) - size), ("keys", size))
    lock: RecoveryLock | PassphraseLock
    if passphrase:
        lock, key = lock_by_passphrase(passphrase, CHEAP, ENTROPY)
    else:
        lock, key = lock_for_recovery(backup_key(SEED).public, ENTROPY)
    header = Header(Instant(1), AccountId(b"a" * 32), parts, lock)
    sealer = Sealer(header, key)
    file = sealer.opening + sealer.seal(content) + sealer.finish()
    assert len(file) == sealed_size(header)
    return file


def opened(file: bytes, seed: bytes = SEED, passphrase: str = "", piece: int = 100_000) -> bytes:
    """The content of a backup, read in pieces."""
    length = HEAD_BYTES + header_length(file[:HEAD_BYTES])
    opening, commit = file[:length], file[length : length + COMMIT_BYTES]
    header = read_header(opening)
    if isinstance(header.lock, RecoveryLock):
        key = key_by_recovery(header.lock, seed)
    else:
        key = key_by_passphrase(header.lock, passphrase)
    opener = Opener(opening, commit, header, key)
    start = length + COMMIT_BYTES
    plain = b"".join(opener.feed(file[at : at + piece]) for at in range(start, len(file), piece))
    opener.finish()
    return plain


def code(file: bytes, **how) -> str:
    """The code with which a file is refused."""
    with pytest.raises(RemoteProtocolError) as failure:
        opened(file, **how)
    return failure.value.code.value


SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_backed_up_comes_back(size: int):
    """At every border of chunks, read in pieces of any size."""
    content = random.Random(size).randbytes(size)
    file = made(content)
    for piece in (1_000, CHUNK_BYTES + 16, 10**6):
        assert opened(file, piece=piece) == content


def test_a_passphrase_opens_its_backup_and_no_other_does():
    """A wrong one is told from damage by the commitment."""
    file = made(b"content", "correct horse battery")
    assert opened(file, passphrase="correct horse battery") == b"content"
    assert code(file, passphrase="correct horse batterz") == "bad-commit"


def test_another_phrase_is_told_so():
    """Before anything is decrypted."""
    assert code(made(b"content"), seed=b"t" * 32) == "bad-wrap"


@given(st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_is_refused(at: int, bit: int):
    """Wherever it is: header, commitment or content."""
    file = bytearray(made(b"content" * 30))
    file[at % len(file)] ^= 1 << bit
    assert code(bytes(file))


@pytest.mark.parametrize("size", [10, CHUNK_BYTES, 3 * CHUNK_BYTES])
def test_a_cut_or_lengthened_file_is_refused(size: int):
    """At a chunk's border too; and chunks cannot change places."""
    file = made(random.Random(1).randbytes(size))
    for end in {len(file) - 1, len(file) - CHUNK_BYTES - 16, len(file) // 2, 5, 0} - {-1}:
        assert code(file[: max(end, 0)]) in {"malformed", "bad-ciphertext"}
    assert code(file + b"\0") == "malformed"
    assert code(file + file[-100:]) == "malformed"
    if size > 2 * CHUNK_BYTES:
        start, chunk = len(file) - sealed_length(size), CHUNK_BYTES + 16
        first, second = file[start : start + chunk], file[start + chunk : start + 2 * chunk]
        swapped = file[:start] + second + first + file[start + 2 * chunk :]
        assert code(swapped) == "bad-ciphertext"
        assert code(file[:start] + file[start + chunk :]) == "bad-ciphertext"


def sealed_length(size: int) -> int:
    """The bytes of all chunks."""
    return size + 16 * max(1, -(-size // CHUNK_BYTES))


def test_a_huge_header_is_not_read():
    """The length is judged before anything is held."""
    with pytest.raises(RemoteProtocolError) as failure:
        header_length(b"tfbackup" + (2**32 - 1).to_bytes(4, "big"))
    assert failure.value.code == "too-large"
    for head in (b"", b"tfbackup", b"notaback" + bytes(4), b"PK\3\4" + bytes(8)):
        with pytest.raises(RemoteProtocolError) as failure:
            header_length(head)
        assert failure.value.code == "malformed"


def test_a_file_demands_no_memory_without_bounds():
    """Argon2id's parameters stand in the file, and a hostile file could ask for all there is."""
    for effort in (Effort(1, 2**40), Effort(10**6, 8_192), Effort(0, 8_192), Effort(1, 0)):
        header = Header(Instant(1), AccountId(b"a" * 32), (("store", 1),), PassphraseLock(bytes(16), effort))
        with pytest.raises(RemoteProtocolError) as failure:
            read_header(header.encode())
        assert failure.value.code == "bad-value"


def test_a_sealer_holds_to_its_header():
    """More or fewer bytes than were announced are the writer's mistake."""
    lock, key = lock_for_recovery(backup_key(SEED).public, ENTROPY)
    sealer = Sealer(Header(Instant(1), AccountId(b"a" * 32), (("store", 5),), lock), key)
    with pytest.raises(LocalProtocolError):
        sealer.seal(b"123456")
    sealer.seal(b"1234")
    with pytest.raises(LocalProtocolError):
        sealer.finish()
