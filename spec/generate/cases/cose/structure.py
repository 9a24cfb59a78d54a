"""The signed structure, byte for byte, and the kinds that keep signatures in their place."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import Signer, assemble, enc, head, protected, sign, tampered, to_be_signed
from spec.generate.vector import ACCEPT, Vector, vector

AREA = "cose"
SECTION = "taskferry.md#3-signatures"
KINDS = (
    "envelope",
    "statement",
    "self-statement",
    "device-consent",
    "recovery-consent",
    "card",
    "connection-request",
    "connection-accept",
    "connection-end",
    "grant",
    "invite",
    "auth",
)
KEY = Signer("cose key")
OTHER = Signer("cose other key")
PAYLOAD = enc({"hello": "ferry"})
KIND = "card"


def built(
    *,
    tag: bytes = b"\xd2",
    array: bytes = b"\x84",
    header: bytes | None = None,
    header_item: bytes | None = None,
    unprotected: bytes = b"\xa0",
    payload_item: bytes | None = None,
    signature_item: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """A structure put together from its items, any of them replaced; the signature fits the header."""
    inside = protected(KEY.public) if header is None else header
    signature = KEY.raw_signature(to_be_signed(KIND, inside, PAYLOAD))
    return b"".join(
        (
            tag,
            array,
            enc(inside) if header_item is None else header_item,
            unprotected,
            enc(PAYLOAD) if payload_item is None else payload_item,
            enc(signature) if signature_item is None else signature_item,
            tail,
        )
    )


def bad_cose() -> Iterator[tuple[str, str, bytes]]:
    """Structures that are another than the one there is."""
    key = KEY.public
    signature = KEY.raw_signature(to_be_signed(KIND, protected(key), PAYLOAD))
    yield "untagged", "without tag 18", built(tag=b"")
    yield "tag_98", "tagged as COSE_Sign", built(tag=b"\xd8\x62")
    yield "tag_wide", "tag 18 in a head that is not the shortest", built(tag=b"\xd9\x00\x12")
    yield "tag_twice", "tag 18 twice", built(tag=b"\xd2\xd2")
    yield "array_of_five", "an array of five", built(array=b"\x85", tail=b"\x00")
    yield (
        "array_of_three",
        "an array of three, the signature missing",
        built(array=b"\x83", signature_item=b""),
    )
    yield "array_indefinite", "an array without a length", built(array=b"\x9f", tail=b"\xff")
    yield "array_wide", "the array's length not in the shortest head", built(array=head(4, 4, 1))
    yield "header_empty", "an empty protected header", built(header=b"")
    yield (
        "header_eddsa",
        "the algorithm EdDSA (-8) in place of Ed25519",
        built(header=b"\xa2\x01\x27\x04" + enc(key)),
    )
    yield "header_no_key", "no key in the protected header", built(header=b"\xa1\x01\x32")
    yield "header_no_algorithm", "no algorithm in the protected header", built(header=b"\xa1\x04" + enc(key))
    yield (
        "header_order",
        "the header's labels in the wrong order",
        built(header=b"\xa2\x04" + enc(key) + b"\x01\x32"),
    )
    yield (
        "header_more",
        "a third entry in the protected header",
        built(header=b"\xa3\x01\x32\x03\x00\x04" + enc(key)),
    )
    yield "header_key_short", "a key of 31 bytes", built(header=b"\xa2\x01\x32\x04" + enc(key[:31]))
    yield "header_key_long", "a key of 33 bytes", built(header=b"\xa2\x01\x32\x04" + enc(key + b"\0"))
    yield "header_key_text", "the key as a text", built(header=b"\xa2\x01\x32\x04" + enc("k" * 32))
    yield (
        "header_as_map",
        "the protected header as a map, not a byte string",
        built(header_item=protected(key)),
    )
    yield (
        "header_length_wide",
        "the header's length too wide",
        built(header_item=head(2, 38, 2) + protected(key)),
    )
    yield "unprotected_entry", "an entry in the unprotected map", built(unprotected=b"\xa1\x04\x41a")
    yield "unprotected_array", "an array in place of the unprotected map", built(unprotected=b"\x80")
    yield "unprotected_wide", "the empty map in a head too wide", built(unprotected=b"\xb8\x00")
    yield "payload_null", "a detached payload", built(payload_item=b"\xf6")
    yield "payload_text", "the payload as a text", built(payload_item=enc(PAYLOAD.hex()))
    yield (
        "payload_wide",
        "the payload's length too wide",
        built(payload_item=head(2, len(PAYLOAD), 2) + PAYLOAD),
    )
    yield "signature_short", "a signature of 63 bytes", built(signature_item=enc(signature[:63]))
    yield "signature_long", "a signature of 65 bytes", built(signature_item=enc(signature + b"\0"))
    yield (
        "signature_length_wide",
        "the signature's length too wide",
        built(signature_item=head(2, 64, 2) + signature),
    )
    yield "trailing", "a byte after the structure", built(tail=b"\x00")
    yield "truncated", "the last byte missing", built()[:-1]
    yield "nothing", "no bytes at all", b""
    yield "a_map", "a map where a signed structure is expected", enc({"v": 1})


def vectors() -> Iterator[Vector]:
    """Every kind accepted, the structure's faults, signatures lifted or spoilt."""
    good = sign(KEY, KIND, PAYLOAD)
    for kind in KINDS:
        name = "kind_" + kind.replace("-", "_")
        comment = f"a signature of kind {kind}"
        data = sign(KEY, kind, PAYLOAD)
        decoded = {"key": KEY.public.hex(), "payload": PAYLOAD.hex()}
        yield vector(
            AREA, name, "cose", SECTION, comment, ACCEPT, purpose=kind, input=data.hex(), decoded=decoded
        )
    for index, kind in enumerate(KINDS):
        lifted = KINDS[index - 1]
        name = f"lifted_to_{kind.replace('-', '_')}"
        comment = f"a good signature of kind {lifted}, offered as {kind}"
        data = sign(KEY, lifted, PAYLOAD)
        yield vector(AREA, name, "cose", SECTION, comment, "bad-signature", purpose=kind, input=data.hex())
    for name, comment, data in bad_cose():
        yield vector(AREA, name, "cose", SECTION, comment, "bad-cose", purpose=KIND, input=data.hex())
    payload = sign(KEY, KIND, b"")
    comment = "an empty payload is a payload"
    yield vector(AREA, "payload_empty", "cose", SECTION, comment, ACCEPT, purpose=KIND, input=payload.hex())
    header = protected(KEY.public)
    bare = assemble(header, PAYLOAD, KEY.raw_signature(PAYLOAD))
    empty_aad = assemble(header, PAYLOAD, KEY.raw_signature(enc(["Signature1", header, b"", PAYLOAD])))
    refused = (
        ("signature_by_other_key", "well formed, signed by another key", sign(KEY, KIND, PAYLOAD, by=OTHER)),
        ("signature_bit", "one bit of R changed", tampered(good, -64)),
        ("signature_s_bit", "one bit of S changed", tampered(good, -32)),
        ("payload_bit", "one bit of the payload changed after signing", tampered(good, -70)),
        ("signature_over_payload_only", "the bare payload signed, no Sig_structure", bare),
        ("signature_without_kind", "an empty external_aad", empty_aad),
        ("signature_zero", "64 zero bytes", assemble(header, PAYLOAD, bytes(64))),
    )
    for name, comment, data in refused:
        yield vector(AREA, name, "cose", SECTION, comment, "bad-signature", purpose=KIND, input=data.hex())
    comment = "exactly as long as the limit that applies"
    yield vector(
        AREA, "limit_met", "cose", SECTION, comment, ACCEPT, purpose=KIND, limit=len(good), input=good.hex()
    )
    comment = "one byte longer than the limit that applies"
    limit = len(good) - 1
    yield vector(
        AREA,
        "limit_passed",
        "cose",
        SECTION,
        comment,
        "too-large",
        purpose=KIND,
        limit=limit,
        input=good.hex(),
    )
