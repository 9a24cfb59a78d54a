"""Signatures that lax verifiers take: torsion in key or R, and odd encodings of points of small order.

The classes are those of the Community Cryptography Test Vectors (c2sp.org/CCTV/ed25519): A or R of low order
or with a component of low order, their encodings not canonical, a residue that only a cofactored equation
forgives, and k hashed over another encoding. They are made here, over structures of this protocol, so what is
judged is the way that a stranger's signature goes. All are refused: the key by `bad-key`, the rest by
`bad-signature`.
"""

import itertools
from hashlib import sha512

import pytest
from nacl import bindings as sodium

from taskferry_protocol.crypto import Kind, verify
from taskferry_protocol.errors import RejectCode, RemoteProtocolError

from .test_signatures import ORDER, SMALL_ORDER, P, little

#: Every way to write a point of small order: canonical first, then y + p where it fits, and the sign of zero.
WRITTEN = {
    SMALL_ORDER[0]: [little(P + 1), little(1 + 2**255), little(P + 1 + 2**255)],
    SMALL_ORDER[1]: [little(P - 1 + 2**255)],
    SMALL_ORDER[2]: [little(P)],
    SMALL_ORDER[3]: [little(P + 2**255)],
}
IDENTITY = SMALL_ORDER[0]
SECRET = sodium.crypto_core_ed25519_scalar_reduce(b"a" * 64)
NONCE = sodium.crypto_core_ed25519_scalar_reduce(b"r" * 64)
PREFIX = b"\xd2\x84\x58\x26"
PROTECTED = b"\xa2\x01\x32\x04\x58\x20"


def point(scalar, torsion):
    """scalar * B + torsion, in its canonical encoding."""
    if scalar == bytes(32):
        return torsion
    base = sodium.crypto_scalarmult_ed25519_base_noclamp(scalar)
    return base if torsion == IDENTITY else sodium.crypto_core_ed25519_add(base, torsion)


def structure(a, key, r, nonce, hashed_key, hashed_nonce, payload):
    """A structure whose S solves the cofactored equation; k is hashed over the encodings that are named."""
    protected = PROTECTED + key
    aad = b"taskferry/1/card"
    message = b"".join(
        (b"\x84\x6aSignature1\x58\x26", protected, bytes((0x40 | len(aad),)), aad, b"\x44", payload)
    )
    digest = sha512(hashed_nonce + hashed_key + message).digest()
    k = sodium.crypto_core_ed25519_scalar_reduce(digest)
    s = sodium.crypto_core_ed25519_scalar_add(r, sodium.crypto_core_ed25519_scalar_mul(k, a))
    return b"".join((PREFIX, protected, b"\xa0\x44", payload, b"\x58\x40", nonce, s))


def refused(raw):
    """The code of the refusal, or None where the structure is taken."""
    try:
        verify(raw, Kind.CARD)
    except RemoteProtocolError as error:
        return error.code
    return None


def test_the_maker_is_right():
    """With no torsion anywhere the same recipe makes a good signature, so the refusals mean something."""
    key, nonce = point(SECRET, IDENTITY), point(NONCE, IDENTITY)
    raw = structure(SECRET, key, NONCE, nonce, key, nonce, b"0000")
    assert refused(raw) is None


@pytest.mark.parametrize(
    ("honest", "torsion"), [(True, n) for n in range(1, 8)] + [(False, n) for n in range(8)]
)
def test_no_torsion_in_the_key_is_taken(honest, torsion):
    """Whatever stands in R, and whichever payload makes the equation hold: the key is refused as such."""
    scalar = SECRET if honest else bytes(32)
    canonical = point(scalar, SMALL_ORDER[torsion])
    keys = [canonical, *(() if honest else WRITTEN.get(canonical, ()))]
    for key, r, other, number in itertools.product(keys, (NONCE, bytes(32)), SMALL_ORDER, range(8)):
        nonce = point(r, other)
        for hashed in {key, canonical}:
            raw = structure(scalar, key, r, nonce, hashed, nonce, b"%04d" % number)
            assert refused(raw) is RejectCode.BAD_KEY


@pytest.mark.parametrize("torsion", range(1, 8))
def test_no_torsion_in_r_is_taken(torsion):
    """An honest key, R with a part of small order: only a cofactored equation would forgive it."""
    key, nonce = point(SECRET, IDENTITY), point(NONCE, SMALL_ORDER[torsion])
    for number in range(8):
        raw = structure(SECRET, key, NONCE, nonce, key, nonce, b"%04d" % number)
        assert refused(raw) is RejectCode.BAD_SIGNATURE


@pytest.mark.parametrize("torsion", range(8))
def test_no_r_of_small_order_is_taken(torsion):
    """R that is nothing but torsion, in every encoding; for the identity the equation does hold."""
    key, canonical = point(SECRET, IDENTITY), SMALL_ORDER[torsion]
    for nonce in (canonical, *WRITTEN.get(canonical, ())):
        for hashed in {nonce, canonical}:
            raw = structure(SECRET, key, bytes(32), nonce, key, hashed, b"0000")
            assert refused(raw) is RejectCode.BAD_SIGNATURE


def test_s_is_below_the_order():
    """S plus any multiple of the group order that fits in 32 bytes is another writing of the same number."""
    key, nonce = point(SECRET, IDENTITY), point(NONCE, IDENTITY)
    raw = structure(SECRET, key, NONCE, nonce, key, nonce, b"0000")
    s = int.from_bytes(raw[-32:], "little")
    for times in range(1, 16):
        if s + times * ORDER < 2**256:
            assert refused(raw[:-32] + little(s + times * ORDER)) is RejectCode.BAD_SIGNATURE
