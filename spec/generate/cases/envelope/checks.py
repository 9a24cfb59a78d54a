"""An envelope before any key is used to open it, and the parcel around it."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.identity import lacking
from spec.generate.kit import DAY, MINUTE, NOW, Map, Signer, Value, enc, fixed, sign, tampered, uuid7
from spec.generate.parcels import ADA, BOB, CODER, LAPTOP, PHONE, envelope, header, parcel, sealed
from spec.generate.vector import ACCEPT, Vector, vector

AREA = "envelope"
SECTION = "envelope.md#3-the-header-h"
GOOD = sealed()
CT = GOOD.ct


def case(name: str, comment: str, expect: str, raw: bytes, now: int = NOW) -> Vector:
    """One envelope."""
    return vector(AREA, name, "envelope", SECTION, comment, expect, now_ms=now, input=raw.hex())


def headers() -> Iterator[tuple[str, str, str, Map]]:
    """Headers with one fault each; the ciphertext does not matter yet."""
    good = header()

    def wrong(name: str, comment: str, code: str, **other: Value) -> tuple[str, str, str, Map]:
        return name, comment, code, header(**other)

    for key in good:
        yield f"without_{key}", f"no `{key}`", "missing-field", lacking(good, key)
    yield wrong("more", "a key that is not known", "unknown-field", priority=1)
    yield wrong("version_0", "version 0", "unknown-version", v=0)
    yield wrong("version_2", "a version from the future", "unknown-version", v=2)
    yield wrong("version_text", "the version as a text", "wrong-type", v="1")
    yield wrong("version_true", "true is not 1", "wrong-type", v=True)
    yield wrong("class_unknown", "a class that is not known", "bad-value", class_="gossip")
    yield wrong("class_number", "a number as class", "wrong-type", class_=4)
    yield wrong("id_short", "an id of 15 bytes", "bad-value", id=uuid7(NOW, "x")[:15])
    yield wrong("id_version_4", "a UUIDv4 as id", "bad-value", id=_uuid(6, 0x40))
    yield wrong("id_variant", "the variant bits of another layout", "bad-value", id=_uuid(8, 0xC0))
    yield wrong(
        "from_name_upper", "a capital letter in the sender's name", "bad-value", from_=[ADA.account, "Lead"]
    )
    yield wrong("from_name_empty", "no agent name in class message", "bad-value", from_=[ADA.account, ""])
    yield wrong("to_name_empty", "no agent name for the recipient", "bad-value", to=[BOB.account, ""])
    yield wrong("to_name_33", "a name of 33 characters", "bad-value", to=[BOB.account, "c" * 33])
    yield wrong("to_channel_nameless", "a channel without a name", "bad-value", to=[BOB.account, "#"])
    yield wrong("to_account_short", "an account id of 31 bytes", "bad-value", to=[bytes(31), "coder"])
    yield wrong("to_text", "a handle in place of an agent reference", "wrong-type", to="@bob/coder")
    yield wrong("to_three", "three elements in an agent reference", "bad-value", to=[*CODER, 1])
    yield wrong("account_class_named", "an agent name in class account", "bad-value", class_="account")
    team: list[Value] = [fixed("team"), "#general"]
    yield wrong(
        "account_class_channel",
        "a channel in class account",
        "bad-value",
        class_="account",
        from_=[ADA.account, ""],
        to=team,
    )
    one: list[Value] = [ADA.account, f"~{PHONE.id.public.hex()}"]
    yield wrong("to_device", "one device of an account in class message", "bad-value", to=one)
    apart: list[tuple[str, str, Value]] = [
        ("device_of_other", "one device of another account", [BOB.account, one[1]]),
        ("device_short", "a device id of 31 bytes", [ADA.account, f"~{PHONE.id.public[1:].hex()}"]),
        ("device_upper", "a device id in capitals", [ADA.account, f"~{PHONE.id.public.hex().upper()}"]),
        ("device_bare", "a device id without its mark", [ADA.account, PHONE.id.public.hex()]),
    ]
    for name, comment, to in apart:
        own: list[Value] = [ADA.account, ""]
        yield wrong(f"account_class_{name}", comment, "bad-value", class_="account", from_=own, to=to)
    own = [ADA.account, ""]
    comment = "one device as the sender in class account"
    yield wrong("account_class_from_device", comment, "bad-value", class_="account", from_=one, to=own)
    yield wrong("seq_0", "sequence number 0", "bad-value", seq=0)
    yield wrong("seq_negative", "a negative sequence number", "bad-value", seq=-1)
    yield wrong("log_length_text", "a log length that is a text", "wrong-type", log=["3", bytes(32)])
    yield wrong("log_head_short", "a head of 31 bytes", "bad-value", log=[3, bytes(31)])
    yield wrong("to_log_null", "no position of the recipient's log", "wrong-type", to_log=None)
    yield wrong("suite_2", "a suite that is not known", "unknown-suite", suite=2)
    yield wrong("nonce_short", "a nonce of 12 bytes", "bad-value", nonce=bytes(12))
    yield wrong("commit_long", "a commit of 33 bytes", "bad-value", commit=bytes(33))
    yield wrong(
        "created_2_53", "a creation time of 2^53", "bad-value", created_at=2**53, expires_at=2**53 + 1
    )
    yield wrong("expires_same", "it expires when it is created", "bad-time", expires_at=NOW)
    yield wrong(
        "expires_before",
        "it expires before it is created",
        "bad-time",
        created_at=NOW + 2,
        expires_at=NOW + 1,
    )
    yield wrong(
        "expires_late", "a lifetime of 30 days and a millisecond", "bad-time", expires_at=NOW + 30 * DAY + 1
    )
    yield wrong(
        "created_ahead",
        "created five minutes and a millisecond from now",
        "bad-time",
        created_at=NOW + 5 * MINUTE + 1,
    )
    yield wrong("expired", "it expires in this millisecond", "expired", created_at=NOW - 1000, expires_at=NOW)


def _uuid(at: int, bits: int) -> bytes:
    raw = bytearray(uuid7(NOW, "x"))
    raw[at] = bits | raw[at] & 0x0F
    return bytes(raw)


def accepted() -> Iterator[tuple[str, str, Map]]:
    """Headers at the edges of what is allowed."""
    yield "plain", "an ordinary envelope", header()
    for cls in ("artifact", "connection", "receipt", "task"):
        yield f"class_{cls}", f"class {cls}", header(class_=cls)
    own: dict[str, Value] = {"from_": [ADA.account, ""], "to": [BOB.account, ""]}
    yield "class_account", "class account, whose agents have no name", header(class_="account", **own)
    alone: dict[str, Value] = {
        "from_": [ADA.account, ""],
        "to": [ADA.account, f"~{PHONE.id.public.hex()}"],
        "to_log": ADA.position(),
    }
    yield "class_account_device", "for one device of the sender's account", header(class_="account", **alone)
    yield "lifetime_30_days", "the longest lifetime", header(expires_at=NOW + 30 * DAY)
    yield "lifetime_1_ms", "the shortest lifetime", header(expires_at=NOW + 1)
    ahead = header(created_at=NOW + 5 * MINUTE, expires_at=NOW + DAY)
    yield "created_ahead_5_minutes", "a clock that is five minutes ahead", ahead
    yield "names_longest", "names of 32 characters", header(to=[BOB.account, "c" * 32])
    yield "names_all_characters", "every kind of character a name may have", header(to=[BOB.account, "0a_-9"])
    channel = header(to=[fixed("team"), "#general"])
    yield "to_channel", "a channel is well formed, though no relay carries it yet", channel
    yield "seq_largest", "the largest sequence number", header(seq=2**64 - 1)


def payloads() -> Iterator[tuple[str, str, str, bytes]]:
    """Faults around the header."""
    h = GOOD.h

    def signed(name: str, comment: str, code: str, payload: Value | bytes) -> tuple[str, str, str, bytes]:
        return name, comment, code, sign(LAPTOP.id, "envelope", payload)

    yield signed("payload_three", "a payload of three elements", "bad-value", [h, CT, b""])
    yield signed("payload_map", "a payload that is a map", "wrong-type", {"h": h, "ct": CT})
    yield signed("payload_h_map", "the header as a map, not a byte string", "wrong-type", [header(), CT])
    yield signed("payload_ct_text", "the ciphertext as a text", "wrong-type", [h, "sealed"])
    yield signed("payload_trailing", "a byte after the payload", "malformed", enc([h, CT]) + b"\0")
    yield signed("h_list", "a header that is a list", "wrong-type", [enc([1, 2]), CT])
    yield signed("h_cut", "a header without its last byte", "malformed", [h[:-1], CT])
    yield signed("h_trailing", "a byte after the header", "malformed", [h + b"\0", CT])
    yield signed("h_float", "a float in the header", "forbidden-item", [_with(h, b"\xf9\x3c\x00"), CT])
    yield signed("h_wide", "a header with an integer too wide", "not-canonical", [_with(h, b"\x18\x01"), CT])
    yield signed("ct_271", "a ciphertext one byte below the least", "bad-value", [h, CT[:271]])
    yield signed("ct_empty", "no ciphertext", "bad-value", [h, b""])
    yield "signature", "one bit of the signature changed", "bad-signature", tampered(GOOD.raw)
    yield (
        "signature_by_other_key",
        "well formed, wrong signer",
        "bad-signature",
        sign(LAPTOP.id, "envelope", [h, CT], by=LAPTOP.manage),
    )
    yield "signature_wrong_kind", "signed as a card", "bad-signature", sign(LAPTOP.id, "card", [h, CT])
    yield "untagged", "no tag", "bad-cose", GOOD.raw[1:]
    yield "trailing", "a byte after the envelope", "bad-cose", GOOD.raw + b"\0"
    yield "too_large", "one byte above 262,144", "too-large", _sized(262_145)


def _with(h: bytes, item: bytes) -> bytes:
    """The header with the value of `v` written another way; `v` is the first of the shortest keys."""
    assert h[1:4] == b"\x61v\x01"
    return h[:3] + item + h[4:]


def _sized(size: int) -> bytes:
    """An envelope of exactly `size` bytes, its ciphertext meaningless."""
    spare = size - len(envelope(GOOD.h, bytes(200_000)).raw)
    built = envelope(GOOD.h, bytes(200_000 + spare)).raw
    assert len(built) == size
    return built


def parcels() -> Iterator[tuple[str, str, str, Value]]:
    """The pair of envelope and wraps."""
    raw, wrapped = parcel(GOOD)
    assert isinstance(wrapped, list)
    first = wrapped[0]
    assert isinstance(first, list)
    yield "good", "two wraps", ACCEPT, [raw, wrapped]
    yield "one_wrap", "one wrap", ACCEPT, [raw, wrapped[:1]]
    many: list[Value] = [[number.to_bytes(32, "big"), bytes(80)] for number in range(65)]
    yield "wraps_64", "sixty-four wraps", ACCEPT, [raw, many[:64]]
    yield "wraps_65", "sixty-five wraps", "too-many", [raw, many]
    yield "wraps_none", "no wraps", "bad-value", [raw, []]
    yield "wraps_unsorted", "wraps in the wrong order", "not-canonical", [raw, list(reversed(wrapped))]
    yield "wrap_twice", "one key twice", "not-canonical", [raw, [first, first]]
    yield "wrap_key_short", "a key of 31 bytes", "bad-value", [raw, [[bytes(31), bytes(80)]]]
    yield "wrap_sealed_short", "a wrapped key of 79 bytes", "bad-value", [raw, [[bytes(32), bytes(79)]]]
    yield "wrap_three", "a wrap of three elements", "bad-value", [raw, [[*first, 1]]]
    yield "wrap_bytes", "a wrap that is no pair", "wrong-type", [raw, [b"wrap"]]
    yield "wraps_map", "wraps as a map", "wrong-type", [raw, {}]
    yield "envelope_text", "the envelope as a text", "wrong-type", ["envelope", wrapped]
    yield "three", "a parcel of three", "bad-value", [raw, wrapped, 1]
    yield "only_envelope", "a bare byte string", "wrong-type", raw


def vectors() -> Iterator[Vector]:
    """All of them."""
    for name, comment, members in accepted():
        yield case(f"good_{name}", comment, ACCEPT, envelope(members, CT).raw)
    yield case("largest", "exactly 262,144 bytes", ACCEPT, _sized(262_144))
    yield case("ct_272", "the least ciphertext", ACCEPT, envelope(GOOD.h, CT[:272]).raw)
    yield case("last_millisecond", "one millisecond before it expires", ACCEPT, GOOD.raw, NOW + 7 * DAY - 1)
    for name, comment, code, members in headers():
        yield case(f"header_{name}", comment, code, envelope(members, CT).raw)
    for name, comment, code, raw in payloads():
        yield case(name, comment, code, raw)
    small = Signer("x")
    small.public = b"\x01" + bytes(31)
    yield case("key_small_order", "a device key of small order", "bad-key", envelope(GOOD.h, CT, small).raw)
    for name, comment, code, value in parcels():
        yield vector(
            AREA,
            f"parcel_{name}",
            "parcel",
            "envelope.md#1-the-parcel",
            comment,
            code,
            input=enc(value).hex(),
        )
