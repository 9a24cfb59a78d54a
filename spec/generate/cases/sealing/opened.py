"""Opening: every fault that an envelope can hide behind a good signature, in the order of the checks."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import Box, Value, commitment, enc, encrypt, fixed, padded, tampered, wrap
from spec.generate.parcels import (
    CODER,
    DESKTOP,
    HELLO,
    NONCE,
    PHONE,
    Built,
    K,
    content,
    envelope,
    header,
    sealed,
    wraps,
)
from spec.generate.vector import ACCEPT, Json, Vector, vector

SECTION = "envelope.md#5-opening"
FORMER = Box("bob desktop former enc")
NEITHER = Box("somebody else's enc")


def case(
    name: str, comment: str, expect: str, built: Built, wrapped: list[Value], *mine: Box, decoded: Json = None
) -> Vector:
    """One parcel to be opened with some keys."""
    return vector(
        "sealing",
        f"open_{name}",
        "open",
        SECTION,
        comment,
        expect,
        input=enc([built.raw, wrapped]).hex(),
        keys=[box.pair() for box in (mine or (DESKTOP.enc,))],
        decoded=decoded,
    )


def padding(name: str, comment: str, plain: bytes, expect: str = "bad-padding") -> Vector:
    """A content padded in its own way."""
    built = sealed(plain=plain)
    return case(name, comment, expect, built, wraps([DESKTOP.enc]))


def vectors() -> Iterator[Vector]:
    """Good openings, then each fault."""
    inside = enc(HELLO)
    built = sealed()
    both = wraps([DESKTOP.enc, PHONE.enc])
    good: Json = {"content": inside.hex(), "key": K.hex()}
    yield case("first_wrap", "a parcel with two wraps", ACCEPT, built, both, decoded=good)
    yield case("second_wrap", "the other device's wrap", ACCEPT, built, both, PHONE.enc, decoded=good)
    former = wraps([FORMER])
    yield case(
        "former_key", "sealed for a former key", ACCEPT, built, former, DESKTOP.enc, FORMER, decoded=good
    )
    big = content("message", {"text": "x" * 40_000, "parts": []})
    large = sealed(inside=big)
    yield case(
        "large",
        "a content of 40,000 bytes",
        ACCEPT,
        large,
        wraps([DESKTOP.enc]),
        decoded={"content": enc(big).hex(), "key": K.hex()},
    )
    yield case("no_wrap", "no wrap for any of my keys", "no-wrap", built, both, NEITHER)
    key = DESKTOP.enc.public
    good_wrap = wrap(K, key, Box("ephemeral"))
    spoilt: list[Value] = [[key, tampered(good_wrap)]]
    yield case("wrap_bit", "one bit of the sealed key changed", "bad-wrap", built, spoilt)
    other: list[Value] = [[key, wrap(K, NEITHER.public, Box("ephemeral"))]]
    yield case("wrap_for_other", "a wrap for another key under mine", "bad-wrap", built, other)
    zero: list[Value] = [[key, bytes(32) + good_wrap[32:]]]
    yield case("wrap_zero_epk", "an ephemeral key of small order", "bad-wrap", built, zero)
    wrong_k = wraps([DESKTOP.enc], fixed("another K"))
    yield case("wrong_key", "the wrap holds another K", "bad-commit", built, wrong_k)
    two_faced = sealed({**header(), "commit": commitment(fixed("another K"))})
    yield case(
        "commit_of_other_key",
        "the header commits to another K",
        "bad-commit",
        two_faced,
        wraps([DESKTOP.enc]),
    )
    mine = wraps([DESKTOP.enc])
    broken = envelope(built.h, tampered(built.ct, 40))
    yield case("ciphertext_bit", "one bit of the ciphertext changed", "bad-ciphertext", broken, mine)
    broken = envelope(built.h, tampered(built.ct))
    yield case("tag_bit", "one bit of the tag changed", "bad-ciphertext", broken, mine)
    broken = envelope(header("another id"), built.ct)
    yield case("other_header", "the ciphertext moved under another header", "bad-ciphertext", broken, mine)
    broken = envelope(built.h, encrypt(K, NONCE, padded(inside), b""))
    yield case("no_associated", "sealed without associated data", "bad-ciphertext", broken, mine)
    broken = envelope(built.h, encrypt(K, fixed("other nonce", 24), padded(inside), built.h))
    yield case("other_nonce", "sealed with another nonce", "bad-ciphertext", broken, mine)

    length = len(inside).to_bytes(4, "big")
    assert 4 + len(inside) < 256
    yield padding("padding_not_zero", "the last byte of the padding is 1", padded(inside)[:-1] + b"\x01")
    yield padding(
        "padding_first_not_zero",
        "the first byte of the padding is 1",
        (length + inside + b"\x01").ljust(256, b"\0"),
    )
    yield padding(
        "length_too_long", "a length beyond what is there", b"\x00\x00\x01\x00" + padded(inside)[4:]
    )
    yield padding("length_huge", "a length of 2^32 - 1", b"\xff" * 4 + padded(inside)[4:])
    yield padding("too_much", "512 bytes where 256 are prescribed", (length + inside).ljust(512, b"\0"))
    yield padding("one_more", "257 bytes where 256 are prescribed", (length + inside).ljust(257, b"\0"))
    longer = enc(content("message", {"text": "y" * 300, "parts": []}))
    bare = len(longer).to_bytes(4, "big") + longer
    assert len(bare) != len(padded(longer))
    yield padding("too_little", "no padding after a content above the floor", bare)
    power = bare.ljust(512, b"\0")
    assert len(power) != len(padded(longer))
    yield padding("power_of_two", "padded to a power of two", power)

    faults = (
        ("content_malformed", "the content lacks its last byte", "malformed", inside[:-1]),
        ("content_empty", "no content at all", "malformed", b""),
        ("content_trailing", "a byte after the content", "malformed", inside + b"\x00"),
    )
    for name, comment, code, raw in faults:
        yield case(name, comment, code, sealed(inside=raw), mine)
    mismatches = (
        ("task", HELLO, "a message under class task"),
        ("receipt", HELLO, "a message under class receipt"),
        (
            "message",
            content("receipt", {"items": [[fixed("h"), "applied", None]]}),
            "a receipt under class message",
        ),
    )
    for cls, inner, comment in mismatches:
        built = sealed(header(class_=cls, to=CODER), inner)
        yield case(f"class_{cls}", comment, "class-mismatch", built, mine)
