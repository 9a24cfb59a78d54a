"""Acceptable keys and signatures: points of small order, other encodings, S out of range."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from nacl import bindings as sodium

from spec.generate.kit import Box, Signer, assemble, enc, protected, sign, to_be_signed
from spec.generate.vector import ACCEPT, Vector, vector

AREA = "ed25519"
SECTION = "taskferry.md#3-signatures"
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
KEY = Signer("ed25519 acceptance")
MESSAGE = enc("carried")

# The eight points of small order (RFC 7748 section 7 speaks of their u-coordinates), canonically encoded.
ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7
SMALL_ORDER = {
    "identity": 1,
    "order_2": P - 1,
    "order_4": 0,
    "order_4_sign": 1 << 255,
    "order_8_a": ORDER_8_Y,
    "order_8_a_sign": ORDER_8_Y | 1 << 255,
    "order_8_b": P - ORDER_8_Y,
    "order_8_b_sign": P - ORDER_8_Y | 1 << 255,
}
OTHER_ENCODINGS = {
    "identity_plus_p": P + 1,
    "identity_sign": 1 | 1 << 255,
    "zero_plus_p": P,
    "order_2_sign": P - 1 | 1 << 255,
    "y_3_plus_p": P + 3,
    "all_ones": 2**256 - 1,
}
X_SMALL_ORDER = {
    "zero": 0,
    "one": 1,
    "order_8_a": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "order_8_b": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
    "minus_one": P - 1,
}


def little(number: int) -> bytes:
    """32 bytes, the least first."""
    return number.to_bytes(32, "little")


def mixed_order() -> bytes:
    """A point outside the prime-order subgroup: a good key plus the point of order two."""
    return sodium.crypto_core_ed25519_add(KEY.public, little(P - 1))


def not_on_curve() -> bytes:
    """The lowest y that belongs to no point of the curve: x^2 = (y^2 - 1) / (d y^2 + 1) has no root."""
    d = -121665 * pow(121666, -1, P) % P
    for y in range(2, 100):
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        if pow(x2, (P - 1) // 2, P) == P - 1:
            return little(y)
    raise AssertionError("one in two is none")


def high_s(structure: bytes) -> bytes:
    """The same signature with S + L: the equation holds, the encoding is not the canonical one."""
    s = int.from_bytes(structure[-32:], "little") + L
    return structure[:-32] + little(s)


def small_r() -> bytes:
    """A signature with R the identity, made from the secret scalar so that the equation holds."""
    digest = hashlib.sha512(KEY.seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    header = protected(KEY.public)
    r = little(1)
    message = to_be_signed("card", header, MESSAGE)
    k = int.from_bytes(hashlib.sha512(r + KEY.public + message).digest(), "little") % L
    return assemble(header, MESSAGE, r + little(k * scalar % L))


def key_vectors() -> Iterator[tuple[str, str, bytes, str]]:
    """Ed25519 public keys."""
    yield "key_good", "an ordinary key", KEY.public, ACCEPT
    yield "key_base_point", "the base point itself", little(4 * pow(5, -1, P) % P), ACCEPT
    for name, number in SMALL_ORDER.items():
        yield f"key_{name}", "a point of small order", little(number), "bad-key"
    for name, number in OTHER_ENCODINGS.items():
        yield f"key_{name}", "an encoding that is not canonical", little(number), "bad-key"
    yield "key_mixed_order", "a good key plus the point of order two", mixed_order(), "bad-key"
    yield "key_not_on_curve", "a y to which no point belongs", not_on_curve(), "bad-key"


def box_vectors() -> Iterator[tuple[str, str, bytes, str]]:
    """X25519 public keys."""
    yield "x25519_good", "an ordinary key", Box("ed25519 acceptance").public, ACCEPT
    yield "x25519_base_point", "the base point", little(9), ACCEPT
    for name, number in X_SMALL_ORDER.items():
        yield f"x25519_{name}", "its product with every scalar is zero", little(number), "bad-key"
    yield "x25519_p", "zero, encoded as 2^255 - 19", little(P), "bad-key"
    yield "x25519_p_plus_9", "the base point, encoded with 2^255 - 19 added", little(P + 9), "bad-key"
    yield "x25519_high_bit", "the base point with bit 255 set", little(9 | 1 << 255), "bad-key"


def vectors() -> Iterator[Vector]:
    """Keys, then signatures."""
    for name, comment, key, expect in key_vectors():
        yield vector(AREA, name, "ed25519-key", SECTION, comment, expect, input=key.hex())
    for name, comment, key, expect in box_vectors():
        yield vector(AREA, name, "x25519-key", SECTION, comment, expect, input=key.hex())
    good = sign(KEY, "card", MESSAGE)
    forged = assemble(protected(little(1)), MESSAGE, little(1) + bytes(32))
    structures = (
        ("signature_good", "an ordinary signature", good, ACCEPT),
        ("signature_s_plus_l", "S with the group order added", high_s(good), "bad-signature"),
        ("signature_s_is_l", "S is the group order", good[:-32] + little(L), "bad-signature"),
        ("signature_r_identity", "R is the identity, and the equation holds", small_r(), "bad-signature"),
        (
            "signature_r_not_canonical",
            "R is the identity in another encoding",
            good[:-64] + little(P + 1) + good[-32:],
            "bad-signature",
        ),
        (
            "signature_for_every_message",
            "the fixed signature that verifies for every message under the identity as a key",
            forged,
            "bad-key",
        ),
    )
    for name, comment, data, expect in structures:
        yield vector(AREA, name, "cose", SECTION, comment, expect, purpose="card", input=data.hex())
