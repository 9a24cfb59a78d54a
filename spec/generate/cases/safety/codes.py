"""The safety code of two accounts: the same whoever computes it, and none of an account with itself."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import blake, fixed
from spec.generate.parcels import ADA, BOB
from spec.generate.vector import ACCEPT, Json, Vector, vector

LOW, HIGH = bytes(32), b"\xff" * 32


def code(one: bytes, other: bytes) -> str:
    """Sixty digits in groups of five."""
    first, second = sorted((one, other))
    number = int.from_bytes(blake(first + second, "tf1 safety"), "big") % 10**60
    digits = str(number).zfill(60)
    return " ".join(digits[at : at + 5] for at in range(0, 60, 5))


def beginning_with_zero() -> tuple[bytes, bytes]:
    """Two accounts whose code begins with a zero, which is written."""
    for number in range(1_000):
        pair = fixed(f"safety {number}"), ADA.account
        if code(*pair).startswith("0"):
            return pair
    raise LookupError("one in ten begins with zero")


def case(name: str, comment: str, expect: str, one: bytes, other: bytes) -> Vector:
    """Two accounts, in the order in which one side has them."""
    shown: dict[str, Json] = {"decoded": {"code": code(one, other)}} if expect == ACCEPT else {}
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
    yield case("same", "an account has no code with itself", "bad-value", ADA.account, ADA.account)
    yield case("short", "an id of 31 bytes", "bad-value", ADA.account[:31], BOB.account)
