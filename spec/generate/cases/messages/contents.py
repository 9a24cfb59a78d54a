"""Contents by type: accepted, with unknown fields kept, and refused field by field."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.cases.messages.bodies import PARTS, SUBMISSION, TASK, TYPES, Type
from spec.generate.identity import lacking
from spec.generate.kit import Map, Value, enc, fixed, sha
from spec.generate.parcels import content
from spec.generate.vector import ACCEPT, Json, Vector

AREA = "messages"
SECTION = "messages.md"


def linked(kind: Type, body: Value) -> Map:
    """A content of a type, with a link where one belongs."""
    if not kind.linked:
        return content(kind.name, body)
    if kind.name == "task_request":
        link: Map = {"task": None, "n": 0, "prev": None, "seen": [0, None]}
    else:
        link = {"task": TASK, "n": 2, "prev": fixed("event before"), "seen": [1, SUBMISSION]}
    return content(kind.name, body, link=link)


def readable(value: Value) -> Json:
    """A content for readers: bytes in hex, long ones shortened."""
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 64 else f"{value[:8].hex()}… ({len(value)} bytes)"
    if isinstance(value, str):
        return value if len(value) <= 200 else f"{value[:8]}… ({len(value.encode())} bytes)"
    if isinstance(value, dict):
        return {key: readable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [readable(member) for member in value[:8]]
    assert value is None or isinstance(value, bool | int)
    return value


def case(name: str, comment: str, expect: str, cls: str, inside: Map | bytes) -> Vector:
    """One content under one class."""
    raw = inside if isinstance(inside, bytes) else enc(inside)
    members: dict[str, Json] = {"spec": SECTION, "comment": comment, "kind": "message", "class": cls}
    members |= {"input": raw.hex(), "expect": expect}
    if expect == ACCEPT and isinstance(inside, dict):
        members["decoded"] = readable(inside)
    return Vector(AREA, name, members)


def other_type(value: Value) -> Value:
    """A value of another CBOR type than this one, and than null."""
    return 7 if isinstance(value, str | bytes | list | dict) or value is None else "seven"


def of_type(kind: Type) -> Iterator[Vector]:
    """Everything about one type."""

    def body(name: str, comment: str, expect: str, members: Map) -> Vector:
        return case(f"{kind.name}_{name}", comment, expect, kind.cls, linked(kind, members))

    yield body("good", f"a good {kind.name}", ACCEPT, kind.body)
    yield body(
        "unknown_kept", "a field of a later minor version survives", ACCEPT, {**kind.body, "mood": [1, "b"]}
    )
    for name, comment, fields in kind.edges:
        yield body(name, comment, ACCEPT, {**kind.body, **fields})
    for key, value in kind.body.items():
        yield body(f"without_{key}", f"no `{key}`", "missing-field", lacking(kind.body, key))
        yield body(
            f"{key}_type", f"`{key}` of another type", "wrong-type", {**kind.body, key: other_type(value)}
        )
    for name, comment, code, fields in kind.wrong:
        yield body(name, comment, code, {**kind.body, **fields})
    yield case(
        f"{kind.name}_body_list",
        "a body that is a list",
        "wrong-type",
        kind.cls,
        {**linked(kind, []), "body": []},
    )
    elsewhere = "receipt" if kind.cls != "receipt" else "message"
    yield case(
        f"{kind.name}_under_{elsewhere}",
        "under a class that is not its own",
        "class-mismatch",
        elsewhere,
        linked(kind, kind.body),
    )
    if kind.linked:
        bare = lacking(linked(kind, kind.body), "link")
        yield case(
            f"{kind.name}_without_link", "a task event without a link", "missing-field", kind.cls, bare
        )


def outer() -> Iterator[Vector]:
    """The content map around the body."""
    good = content("message", {"text": "hello", "parts": []})

    def wrong(name: str, comment: str, code: str, **fields: Value) -> Vector:
        return case(f"content_{name}", comment, code, "message", {**good, **fields})

    for key in good:
        yield case(f"content_without_{key}", f"no `{key}`", "missing-field", "message", lacking(good, key))
    yield wrong("unknown_kept", "an unknown key in the content survives", ACCEPT, later=[1, {"x": b"y"}])
    yield wrong("minor_7", "a later minor version is read", ACCEPT, minor=7)
    yield wrong("reply", "a reply to an envelope", ACCEPT, reply=fixed("answered"))
    yield wrong("hop_16", "the last hop", ACCEPT, hop=16, cause=[fixed(f"cause {n}") for n in range(8)])
    yield wrong("type_unknown", "a type that is not known", "unknown-type", type="task_teleport")
    yield wrong("type_upper", "types are compared byte for byte", "unknown-type", type="Message")
    yield wrong("type_number", "a number as type", "wrong-type", type=1)
    yield wrong("minor_negative", "a negative minor version", "bad-value", minor=-1)
    yield wrong("minor_true", "true is not 1", "wrong-type", minor=True)
    yield wrong("conv_short", "a conversation of 15 bytes", "bad-value", conv=bytes(15))
    yield wrong("conv_text", "a conversation as a text", "wrong-type", conv="conversation")
    yield wrong("hop_17", "one hop too many", "bad-value", hop=17)
    yield wrong("cause_9", "nine causes", "too-many", cause=[fixed(f"cause {n}") for n in range(9)])
    yield wrong("cause_short", "a cause of 31 bytes", "bad-value", cause=[bytes(31)])
    yield wrong("cause_map", "causes as a map", "wrong-type", cause={})
    yield wrong("reply_short", "a reply to a hash of 31 bytes", "bad-value", reply=bytes(31))
    yield wrong("reply_null", "a reply, where present, is a hash", "wrong-type", reply=None)
    yield case("content_list", "a content that is a list", "wrong-type", "message", enc([1]))
    deep: Value = []
    for _ in range(11):
        deep = [deep]
    yield wrong("too_deep", "an unknown field may not nest without limit either", "too-deep", later=deep)
    yield case(
        "content_float", "a float in an unknown field", "forbidden-item", "message", _spliced(b"\xf9\x3c\x00")
    )
    yield case(
        "content_wide",
        "an integer too wide in an unknown field",
        "not-canonical",
        "message",
        _spliced(b"\x18\x01"),
    )
    yield case(
        "content_tagged", "a tag in an unknown field", "forbidden-item", "message", _spliced(b"\xc1\x01")
    )


def _spliced(item: bytes) -> bytes:
    """A good content whose last key is unknown and has this value."""
    raw = enc(content("message", {"text": "hello", "parts": []}, zzzzzz=0))
    assert raw.endswith(b"\x66zzzzzz\x00")
    return raw[:-1] + item


def parts() -> Iterator[Vector]:
    """The parts, which are closed."""

    def with_part(name: str, comment: str, expect: str, part: Value) -> Vector:
        inside = content("message", {"text": "see", "parts": [part]})
        return case(f"part_{name}", comment, expect, "message", inside)

    for part in PARTS:
        assert isinstance(part, dict)
        kind = str(part["kind"])
        yield with_part(f"{kind}_good", f"a good {kind} part", ACCEPT, part)
        yield with_part(f"{kind}_more", "parts have no room for more", "unknown-field", {**part, "mood": 1})
        for key, value in part.items():
            yield with_part(f"{kind}_without_{key}", f"no `{key}`", "missing-field", lacking(part, key))
            wrong = {**part, key: other_type(value)}
            yield with_part(f"{kind}_{key}_type", f"`{key}` of another type", "wrong-type", wrong)
    text, json, file, blob = (dict(part) for part in PARTS if isinstance(part, dict))
    faults: list[tuple[str, str, Map]] = [
        ("kind_unknown", "a kind that is not known", {**text, "kind": "video"}),
        ("text_long", "a text of 196,609 bytes", {**text, "text": "t" * 196_609}),
        ("text_name_long", "a name of 256 bytes", {**text, "name": "n" * 256}),
        ("json_empty", "no JSON at all", {**json, "json": ""}),
        ("json_cut", "JSON that breaks off", {**json, "json": '{"a": '}),
        ("json_two", "two JSON values", {**json, "json": "1 2"}),
        ("json_nan", "NaN is not JSON", {**json, "json": "NaN"}),
        ("json_single_quotes", "single quotes are not JSON", {**json, "json": "{'a': 1}"}),
        ("json_trailing_comma", "a comma too many", {**json, "json": "[1,]"}),
        ("json_mark", "a byte order mark before the value", {**json, "json": "\ufeff{}"}),
        ("json_depth_101", "arrays nested 101 deep", {**json, "json": "[" * 101 + "]" * 101}),
        ("file_name_empty", "no file name", {**file, "name": ""}),
        ("file_name_slash", "a path in place of a name", {**file, "name": "../parser.py"}),
        ("file_name_backslash", "a path of another system", {**file, "name": "a\\b"}),
        ("file_name_nul", "NUL in a name", {**file, "name": "a\0b"}),
        ("file_name_control", "a control character in a name", {**file, "name": "a\rb"}),
        ("file_name_dot", "the folder itself", {**file, "name": "."}),
        ("file_name_dots", "the folder above", {**file, "name": ".."}),
        ("file_media_empty", "no media type", {**file, "media": ""}),
        ("file_media_long", "a media type of 128 bytes", {**file, "media": "m" * 128}),
        ("file_media_unicode", "a media type that is not ASCII", {**file, "media": "text/ünicode"}),
        ("file_size", "a size that is not the data's", {**file, "size": 18}),
        ("file_hash", "a hash that is not the data's", {**file, "sha256": fixed("other data")}),
        ("blob_key_short", "a key of 16 bytes", {**blob, "key": bytes(16)}),
        ("blob_chunk_1023", "chunks too small", {**blob, "chunk": 1_023}),
        ("blob_chunk_large", "chunks too large", {**blob, "chunk": 1_048_577}),
        ("blob_name_slash", "a path in place of a name", {**blob, "name": "/etc/passwd"}),
    ]
    for name, comment, part in faults:
        yield with_part(name, comment, "bad-value", part)
    yield with_part("text_inside", "a part that is a text", "wrong-type", "see")
    deep = "[" * 100 + "]" * 100
    yield with_part("json_depth_100", "arrays nested 100 deep", ACCEPT, {**json, "json": deep})
    brackets = {**json, "json": '"' + "[" * 200 + '"'}
    yield with_part("json_brackets_in_string", "brackets in a string nest nothing", ACCEPT, brackets)
    yield with_part("json_scalar", "a bare number is JSON", ACCEPT, {**json, "json": " 12e3 "})
    yield with_part(
        "file_empty", "an empty file", ACCEPT, {**file, "size": 0, "sha256": sha(b""), "data": b""}
    )
    yield with_part("file_dotted", "a hidden file is a file", ACCEPT, {**file, "name": ".profile"})


def vectors() -> Iterator[Vector]:
    """All types, the map around them, parts."""
    for kind in TYPES:
        yield from of_type(kind)
    yield from outer()
    yield from parts()
