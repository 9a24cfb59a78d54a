"""The safety code of two accounts: the same whoever computes it, and none of an account with itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from spec.generate.kit import blake, fixed
from spec.generate.parcels import ADA, BOB
from spec.generate.vector import ACCEPT, Json, Vector, vector

WORDS = (Path(__file__).resolve().parents[3] / "words.txt").read_text("utf-8").split()
LOW, HIGH = bytes(32), b"\xff" * 32


def digest(one: bytes, other: bytes) -> bytes:
    """What both forms are made of."""
    first, second = sorted((one, other))
    return blake(first + second, "tf1 safety")


def words(one: bytes, other: bytes) -> list[str]:
    """The first 24 bytes, each as the word of its number."""
    return [WORDS[byte] for byte in digest(one, other)[:24]]


def code(one: bytes, other: bytes) -> str:
    """Sixty digits in groups of five."""
    digits = str(int.from_bytes(digest(one, other), "big") % 10**60).zfill(60)
    return " ".join(digits[at : at + 5] for at in range(0, 60, 5))


def saying_twice() -> tuple[bytes, bytes]:
    """Two accounts whose words say the same one twice in a row, which is written twice."""
    for number in range(1_000):
        pair = fixed(f"safety twice {number}"), BOB.account
        said = words(*pair)
        if any(a == b for a, b in pairwise(said)):
            return pair
    raise LookupError("one in twelve does")


def beginning_with_zero() -> tuple[bytes, bytes]:
    """Two accounts whose code begins with a zero, which is written."""
    for number in range(1_000):
        pair = fixed(f"safety {number}"), ADA.account
        if code(*pair).startswith("0"):
            return pair
    raise LookupError("one in ten begins with zero")


def case(name: str, comment: str, expect: str, one: bytes, other: bytes) -> Vector:
    """Two accounts, in the order in which one side has them."""
    shown: dict[str, Json] = {}
    if expect == ACCEPT:
        shown["decoded"] = {"code": code(one, other), "words": list(words(one, other))}
    return vector(
        "safety",
        name,
        "safety-code",
        "identity.md#10-the-safety-code",
        comment,
        expect,
        accounts=[one.hex(), other.hex()],
        now_ms=None,
        **shown,
    )


def vectors() -> Iterator[Vector]:
    """All of this family."""
    yield case("seen_by_ada", "mine first", ACCEPT, ADA.account, BOB.account)
    yield case("seen_by_bob", "the same code from the other side", ACCEPT, BOB.account, ADA.account)
    yield case("edges", "the lowest and the highest id", ACCEPT, LOW, HIGH)
    yield case("leading_zero", "a code that begins with zero keeps it", ACCEPT, *beginning_with_zero())
    yield case("word_twice", "a word that comes twice in a row is said twice", ACCEPT, *saying_twice())
    yield case("same", "an account has no code with itself", "bad-value", ADA.account, ADA.account)
    yield case("short", "an id of 31 bytes", "bad-value", ADA.account[:31], BOB.account)
