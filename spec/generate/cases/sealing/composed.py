"""Sealing to exact bytes: padding sizes, derived keys, wraps, the cipher, the whole parcel."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import (
    Box,
    blake,
    commitment,
    content_key,
    enc,
    encrypt,
    fixed,
    padded,
    padme,
    wrap,
)
from spec.generate.parcels import DESKTOP, HELLO, NONCE, PHONE, K, header, parcel, sealed
from spec.generate.vector import ACCEPT, Vector, vector

AREA = "sealing"
SECTION = "envelope.md#4-suite-1"

# Worked by hand: E = floor(log2 L), S = floor(log2 E) + 1, the E - S low bits cleared upwards.
BY_HAND = {256: 256, 257: 272, 300: 304, 1000: 1024, 1024: 1024, 1025: 1088, 65536: 65536, 65537: 67584}


def sizes() -> Iterator[Vector]:
    """Padding."""
    for length, result in BY_HAND.items():
        assert padme(length) == result, (length, padme(length))
    lengths = sorted(
        {0, 1, 251, 252, 253, 254, 268, 269, 296, 500, 1020, 1021, 4092, 4093, 65532, 65533, 100_000, 196_608}
        | {2**n - 4 + d for n in range(9, 18) for d in (-1, 0, 1)}
    )
    table = [[length, len(padded(bytes(length)))] for length in lengths]
    comment = "pairs of the content's length and the length of `plain`"
    yield vector(AREA, "padding_sizes", "padding", SECTION, comment, ACCEPT, pairs=table)


def vectors() -> Iterator[Vector]:
    """All of them."""
    yield from sizes()
    for number in range(3):
        key = fixed(f"K {number}")
        yield vector(
            AREA,
            f"derived_{number}",
            "derive",
            SECTION,
            "content key and commit of a K",
            ACCEPT,
            input=key.hex(),
            decoded={"content_key": content_key(key).hex(), "commit": commitment(key).hex()},
        )
    for name, ephemeral, recipient in (
        ("first", Box("ephemeral 1"), DESKTOP.enc),
        ("second", Box("ephemeral 2"), DESKTOP.enc),
        ("other_key", Box("ephemeral 1"), PHONE.enc),
    ):
        yield vector(
            AREA,
            f"wrap_{name}",
            "wrap",
            SECTION,
            "K wrapped with a given ephemeral key, in the layout of crypto_box_seal",
            ACCEPT,
            key=K.hex(),
            recipient=recipient.pair(),
            ephemeral_secret=ephemeral.secret.hex(),
            decoded={"sealed": wrap(K, recipient.public, ephemeral).hex()},
        )
    for name, data in (
        ("empty", b""),
        ("one_byte", b"\x00"),
        ("floor", b"f" * 252),
        ("past_floor", b"p" * 253),
        ("kilobyte", b"k" * 1000),
    ):
        h = enc(header(name))
        yield vector(
            AREA,
            f"cipher_{name}",
            "cipher",
            SECTION,
            f"the ciphertext of {len(data)} bytes of content",
            ACCEPT,
            key=K.hex(),
            nonce=NONCE.hex(),
            h=h.hex(),
            content=data.hex(),
            decoded={"ct": encrypt(K, NONCE, padded(data), h).hex()},
        )
    built = sealed()
    yield vector(
        AREA,
        "whole_parcel",
        "seal",
        SECTION,
        "everything at once: a content, sealed, signed and wrapped for two devices",
        ACCEPT,
        key=K.hex(),
        nonce=NONCE.hex(),
        seed=fixed("ed25519 ada laptop id").hex(),
        h=built.h.hex(),
        content=enc(HELLO).hex(),
        recipients=[
            [one.public.hex(), Box(f"ephemeral {one.public.hex()}").secret.hex()]
            for one in sorted((DESKTOP.enc, PHONE.enc), key=lambda box: box.public)
        ],
        decoded={
            "envelope": built.raw.hex(),
            "hash": built.hash.hex(),
            "parcel": enc(parcel(built)).hex(),
        },
    )
    secret, request = fixed("invite secret", 16), fixed("connection request hash")
    mac = blake(secret + bytes(16), "tf1 invite", request)
    yield vector(
        "connections",
        "invite_mac",
        "invite-mac",
        "identity.md#8-invites",
        "what binds a request to the secret of an invite",
        ACCEPT,
        secret=secret.hex(),
        request=request.hex(),
        decoded={"mac": mac.hex()},
    )
