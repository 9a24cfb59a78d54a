"""What the generic decoder takes and what it refuses, one fault each."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import Raw, enc, head
from spec.generate.vector import ACCEPT, Json, Vector, vector

AREA = "cbor"
SECTION = "taskferry.md#2-encoding"


def nest(depth: int) -> bytes:
    """`depth` arrays, one in the other, the innermost empty."""
    return b"\x81" * (depth - 1) + b"\x80"


def nest_maps(depth: int) -> bytes:
    """`depth` maps, one in the other, the innermost empty."""
    return b"\xa1\x61k" * (depth - 1) + b"\xa0"


GOOD: list[tuple[str, str, bytes, Json]] = [
    ("zero", "the smallest unsigned integer", enc(0), 0),
    ("uint_23", "the largest integer in the head itself", enc(23), 23),
    ("uint_24", "the smallest integer with an argument of one byte", enc(24), 24),
    ("uint_256", "the smallest integer with an argument of two bytes", enc(256), 256),
    ("uint_65536", "the smallest integer with an argument of four bytes", enc(65536), 65536),
    ("uint_largest", "the largest unsigned integer", enc(2**64 - 1), str(2**64 - 1)),
    ("negative_one", "the first negative integer", enc(-1), -1),
    ("negative_largest", "the most negative integer of 64 bits", enc(-(2**64)), str(-(2**64))),
    ("bytes_empty", "an empty byte string", enc(b""), {"hex": ""}),
    ("bytes_300", "a byte string whose length takes two bytes", enc(b"\x07" * 300), {"hex": "07" * 300}),
    ("text_empty", "an empty text", enc(""), ""),
    ("text_unicode", "text of several scripts", enc("Fähre 渡し ⛴ 𝄞"), "Fähre 渡し ⛴ 𝄞"),
    ("text_mark", "a byte order mark is a character like others here", enc("\ufeffa"), "\ufeffa"),
    ("text_nul", "NUL is a character like others here", enc("a\0b"), "a\0b"),
    ("simple_values", "the three simple values", enc([False, True, None]), [False, True, None]),
    ("array_empty", "an empty array", enc([]), []),
    ("map_empty", "an empty map", enc({}), {}),
    (
        "map_sorted_by_encoding",
        "keys are sorted by their encoding, so a shorter one comes first",
        enc({"b": 1, "aa": 2, "": 3}),
        {"": 3, "b": 1, "aa": 2},
    ),
    (
        "map_sorted_long_keys",
        "a key of 24 bytes sorts after one of 23",
        enc({"a" * 24: 1, "z" * 23: 2}),
        {"z" * 23: 2, "a" * 24: 1},
    ),
    ("depth_12", "twelve arrays deep is allowed", nest(12), None),
    ("depth_12_maps", "twelve maps deep is allowed", nest_maps(12), None),
    ("scalar_in_depth_12", "a number inside the twelfth array adds no depth", b"\x81" * 12 + b"\x00", None),
]

MALFORMED: list[tuple[str, str, bytes]] = [
    ("empty_input", "no item at all", b""),
    ("truncated_head", "the argument of the head is missing", b"\x18"),
    ("truncated_bytes", "a byte string with fewer bytes than it says", b"\x43\x01\x02"),
    ("truncated_text", "a text with fewer bytes than it says", b"\x63ab"),
    ("truncated_array", "an array with fewer elements than it says", b"\x82\x01"),
    ("truncated_map", "a map whose last value is missing", b"\xa1\x61a"),
    ("huge_array", "an array that claims 2^32 elements and has none", b"\x9a\xff\xff\xff\xff"),
    ("huge_bytes", "a byte string that claims 2^63 bytes", b"\x5b\x80" + bytes(7)),
    ("trailing_byte", "a whole item and one byte more", b"\x00\x00"),
    ("trailing_item", "two items", b"\x80\xa0"),
    ("reserved_28", "additional information 28 is reserved", b"\x1c"),
    ("reserved_29", "additional information 29 is reserved", b"\x5d"),
    ("reserved_30", "additional information 30 is reserved", b"\x9e"),
    ("break_alone", "a break with nothing to end", b"\xff"),
    ("indefinite_uint", "an integer cannot be indefinite", b"\x1f"),
    ("simple_two_bytes_low", "a simple value below 32 in two bytes is ill-formed", b"\xf8\x18"),
    ("utf8_lone_continuation", "a text that starts in the middle of a character", b"\x61\x80"),
    ("utf8_overlong", "an overlong encoding of a slash", b"\x62\xc0\xaf"),
    ("utf8_surrogate", "a surrogate half in UTF-8", b"\x63\xed\xa0\x80"),
    ("utf8_beyond", "a character beyond U+10FFFF", b"\x64\xf4\x90\x80\x80"),
    ("utf8_truncated", "a text that ends in the middle of a character", b"\x62\xe2\x82"),
    ("utf8_bad_key", "an ill-formed text as a key", b"\xa1\x61\xff\x00"),
]

FORBIDDEN: list[tuple[str, str, bytes]] = [
    ("float_half", "a half-precision float", b"\xf9\x3c\x00"),
    ("float_single", "a single-precision float", b"\xfa\x3f\x80\x00\x00"),
    ("float_double", "a double-precision float", b"\xfb\x3f\xf1" + b"\x99" * 5 + b"\x9a"),
    ("float_nan", "not a number", b"\xf9\x7e\x00"),
    ("float_in_map", "a float as a value in a map", b"\xa1\x61a\xf9\x3c\x00"),
    ("undefined", "undefined", b"\xf7"),
    ("simple_0", "an unassigned simple value", b"\xe0"),
    ("simple_19", "an unassigned simple value", b"\xf3"),
    ("simple_255", "an unassigned simple value in two bytes", b"\xf8\xff"),
    ("tag_date", "tag 0, a date as text", b"\xc0" + enc("2024-01-01T00:00:00Z")),
    ("tag_epoch", "tag 1, a date as a number", b"\xc1\x00"),
    ("tag_bignum", "tag 2, an integer beyond 64 bits", b"\xc2" + enc(b"\x01" + bytes(8))),
    ("tag_negative_bignum", "tag 3, an integer beyond 64 bits", b"\xc3" + enc(b"\x01" + bytes(8))),
    ("tag_decimal", "tag 4, a decimal fraction", b"\xc4\x82\x01\x01"),
    ("tag_18", "a COSE tag where no COSE structure is expected", b"\xd2\x80"),
    ("tag_shared", "tag 28, a value to be shared", b"\xd8\x1c\x80"),
    ("tag_regex", "tag 35, a regular expression", b"\xd8\x23" + enc("(a+)+")),
    ("tag_self_described", "tag 55799, which says only that this is CBOR", b"\xd9\xd9\xf7\x00"),
    ("tag_inside", "a tag on an element of an array", b"\x81\xc1\x00"),
    ("key_integer", "an integer as a key", b"\xa1\x01\x02"),
    ("key_bytes", "a byte string as a key", b"\xa1\x41a\x02"),
    ("key_null", "null as a key", b"\xa1\xf6\x02"),
    ("key_array", "an array as a key", b"\xa1\x80\x02"),
]

NOT_CANONICAL: list[tuple[str, str, bytes]] = [
    ("uint_wide_1", "0 in an argument of one byte", head(0, 0, 1)),
    ("uint_wide_2", "255 in an argument of two bytes", head(0, 255, 2)),
    ("uint_wide_4", "65,535 in an argument of four bytes", head(0, 65535, 4)),
    ("uint_wide_8", "2^32 - 1 in an argument of eight bytes", head(0, 2**32 - 1, 8)),
    ("negative_wide", "-1 in an argument of one byte", head(1, 0, 1)),
    ("bytes_length_wide", "a byte string whose length is too wide", head(2, 1, 1) + b"a"),
    ("text_length_wide", "a text whose length is too wide", head(3, 1, 2) + b"a"),
    ("array_length_wide", "an array whose length is too wide", head(4, 0, 1)),
    ("map_length_wide", "a map whose length is too wide", head(5, 0, 1)),
    ("key_length_wide", "a key whose length is too wide", b"\xa1" + head(3, 1, 1) + b"a\x00"),
    ("indefinite_bytes", "a byte string in pieces", b"\x5f\x41a\xff"),
    ("indefinite_text", "a text in pieces", b"\x7f\x61a\xff"),
    ("indefinite_array", "an array without a length", b"\x9f\x01\xff"),
    ("indefinite_map", "a map without a length", b"\xbf\x61a\x01\xff"),
    ("keys_unsorted", "two keys in the wrong order", b"\xa2\x61b\x01\x61a\x02"),
    ("keys_length_order", "the longer key first", b"\xa2\x62aa\x01\x61b\x02"),
    ("key_twice", "one key twice with different values", b"\xa2\x61a\x01\x61a\x02"),
    ("key_twice_same_value", "one key twice with the same value", b"\xa2\x61a\x01\x61a\x01"),
    ("inner_map_unsorted", "unsorted keys in a map inside an array", b"\x81\xa2\x61b\x01\x61a\x02"),
]


def vectors() -> Iterator[Vector]:
    """All of them."""
    for name, comment, data, decoded in GOOD:
        yield vector(AREA, name, "cbor", SECTION, comment, ACCEPT, input=data.hex(), decoded=decoded)
    refused = (("malformed", MALFORMED), ("forbidden-item", FORBIDDEN), ("not-canonical", NOT_CANONICAL))
    for code, family in refused:
        for name, comment, data in family:
            yield vector(AREA, name, "cbor", SECTION, comment, code, input=data.hex())
    deep = (
        ("depth_13", "thirteen arrays deep", nest(13)),
        ("depth_13_maps", "thirteen maps deep", nest_maps(13)),
        ("depth_13_inside", "the thirteenth level beside other elements", enc([1, Raw(nest(12)), 2])),
        ("depth_5000", "a stack of five thousand arrays", nest(5000)),
    )
    for name, comment, data in deep:
        yield vector(AREA, name, "cbor", SECTION, comment, "too-deep", input=data.hex())
    many = head(4, 32_768) + b"\x00" * 32_768
    yield vector(AREA, "items_32769", "cbor", SECTION, "one item too many", "too-many", input=many.hex())
    data = enc(b"\x00" * 30)
    comment = "exactly as long as the limit that applies"
    yield vector(AREA, "limit_met", "cbor", SECTION, comment, ACCEPT, limit=len(data), input=data.hex())
    comment = "one byte longer than the limit that applies"
    too_long = len(data) - 1
    yield vector(
        AREA, "limit_passed", "cbor", SECTION, comment, "too-large", limit=too_long, input=data.hex()
    )
