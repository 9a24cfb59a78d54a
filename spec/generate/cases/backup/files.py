"""Backup files: opened by the recovery key's seed or a passphrase, cut, altered, and too demanding."""

from __future__ import annotations

from collections.abc import Iterator

from nacl import bindings as sodium

from spec.generate.kit import NOW, Box, Map, blake, enc, fixed, sha, tampered, wrap
from spec.generate.vector import ACCEPT, Json, Vector

AREA = "backup"
OPENING = "backup.md#2-opening-it"
CHUNKS = "backup.md#3-keys-and-chunks"
MAGIC = b"tfbackup"
CHUNK = 65_536
SEED = fixed("backup seed")
K = fixed("backup K")
SALT = fixed("backup salt", 16)
WORDS = "correct horse battery staple"
OTHER_WORDS = "correct horse battery stable"


def boxed(seed: bytes) -> tuple[bytes, bytes]:
    """The X25519 pair of a seed: private, public."""
    secret = blake(seed, "tf1 backup box")
    return secret, sodium.crypto_scalarmult_base(secret)


def argon(words: str, salt: bytes, ops: int, memory: int) -> bytes:
    """K of a passphrase."""
    return sodium.crypto_pwhash_alg(
        32, words.encode(), salt, ops, memory, sodium.crypto_pwhash_ALG_ARGON2ID13
    )


def header(parts: list[tuple[str, int]], **lock: object) -> Map:
    """The header's map, for a recovery key unless `lock` says otherwise."""
    _, public = boxed(SEED)
    usual = {"lock": "recovery", "to": public, "sealed": wrap(K, public, Box("backup ephemeral"))}
    members = {"v": 1, "at": NOW, "account": fixed("backup account"), "parts": [list(part) for part in parts]}
    return {**members, **(lock or usual)}  # type: ignore[dict-item]


def file(members: Map, content: bytes, key: bytes = K) -> bytes:
    """The whole file."""
    raw = enc(members)
    opening = MAGIC + len(raw).to_bytes(4, "big") + raw
    bound = blake(key, "", sha(opening))
    content_key = blake(bound, "tf1 backup")
    out = opening + blake(bound, "tf1 backup comm")
    chunks = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)] or [b""]
    for index, chunk in enumerate(chunks):
        nonce = bytes(19) + index.to_bytes(4, "big") + bytes((index == len(chunks) - 1,))
        out += sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(chunk, None, nonce, content_key)
    return out


def case(
    name: str, comment: str, data: bytes, expect: str, section: str = OPENING, **members: Json
) -> Vector:
    """One vector; `seed` opens it unless `passphrase` is given."""
    how: dict[str, Json] = members if "passphrase" in members else {"seed": SEED.hex(), **members}
    return Vector(
        AREA,
        name,
        {"spec": section, "comment": comment, "kind": "backup", **how, "input": data.hex(), "expect": expect},
    )


def vectors() -> Iterator[Vector]:
    """Good files first."""
    content = b"a store, and then the keys"
    parts = [("store", 20), ("keys", 6)]
    good = file(header(parts), content)
    plain = {"content": content.hex()}
    none = file(header([("store", 0)]), b"")
    yield case("recovery", "two parts in one chunk", good, ACCEPT, CHUNKS, **plain)
    yield case("empty", "no content: one chunk of nothing", none, ACCEPT, CHUNKS, content="")
    lock = {"lock": "passphrase", "salt": SALT, "ops": 1, "memory": 8_192}
    words = file(header(parts, **lock), content, argon(WORDS, SALT, 1, 8_192))
    yield case("passphrase", "Argon2id", words, ACCEPT, CHUNKS, passphrase=WORDS, **plain)
    yield case("passphrase_wrong", "another passphrase", words, "bad-commit", passphrase=OTHER_WORDS)
    yield case("seed_wrong", "another seed", good, "bad-wrap", seed=fixed("backup other").hex())
    yield case("chunk_flipped", "one bit of the last chunk", tampered(good), "bad-ciphertext", CHUNKS)
    yield case("header_flipped", "the time in the header", good.replace(enc(NOW), enc(NOW + 1)), "bad-commit")
    yield case("cut", "one byte is missing", good[:-1], "malformed")
    yield case("cut_in_header", "it ends in the header", good[:40], "malformed")
    yield case("longer", "one byte more", good + b"\0", "malformed")
    yield case("not_one", "no backup at all", b"PK\3\4" + good[4:], "malformed")
    huge = MAGIC + (4_097).to_bytes(4, "big") + bytes(4_097)
    yield case("header_too_large", "4,097 bytes of header", huge, "too-large")
    greedy, slow = {**lock, "memory": 2**30 + 1}, {**lock, "ops": 17}
    odd: dict[str, tuple[str, str, Map]] = {
        "newer": ("version 2", "unknown-version", {**header(parts), "v": 2, "more": 1}),
        "lock_unknown": ("a lock of another kind", "bad-value", header(parts, lock="key")),
        "memory_large": (
            "more memory than allowed",
            "bad-value",
            header(parts, **greedy),
        ),
        "ops_many": ("more passes than allowed", "bad-value", header(parts, **slow)),
        "part_twice": ("a part stands there twice", "bad-value", header([("store", 20), ("store", 6)])),
        "part_path": ("a name that is none", "bad-value", header([("../x", 20), ("keys", 6)])),
        "to_small_order": (
            "sealed for a point of small order",
            "bad-key",
            header(parts, lock="recovery", to=bytes(32), sealed=bytes(80)),
        ),
    }
    for name, (comment, expect, members) in odd.items():
        yield case(name, comment, file(members, content), expect)
