"""The parts of messages: closed, harmless by name, and in agreement with themselves."""

from __future__ import annotations

import pytest

from taskferry_protocol.messages import (
    ArtifactSubmit,
    Content,
    FilePart,
    JsonPart,
    TextMessage,
    TextPart,
    decode_content,
    encode_content,
    parts_size,
)

from .contents import CONV
from .samples import BLOB, FILE, H, refusal, written

PART_FAULTS: list[tuple[object, str, str]] = [
    ([], "wrong-type", ""),
    ({}, "missing-field", ".kind"),
    ({"kind": 1}, "wrong-type", ".kind"),
    ({"kind": "video"}, "bad-value", ".kind"),
    ({"kind": "text", "text": "a"}, "missing-field", ".name"),
    ({"kind": "text", "text": "a", "name": "", "more": 1}, "unknown-field", ".more"),
    ({"kind": "text", "text": "x" * 196_609, "name": ""}, "bad-value", ".text"),
    ({"kind": "text", "text": "", "name": "x" * 256}, "bad-value", ".name"),
    ({"kind": "json", "json": "", "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "NaN", "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "-Infinity", "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "{} {}", "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "01", "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "\ufeff1", "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": '"\n"', "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "[" * 101 + "]" * 101, "name": ""}, "bad-value", ".json"),
    ({"kind": "json", "json": "[" * 100_000, "name": ""}, "bad-value", ".json"),
    ({**FILE, "name": ""}, "bad-value", ".name"),
    ({**FILE, "name": ".."}, "bad-value", ".name"),
    ({**FILE, "name": "."}, "bad-value", ".name"),
    ({**FILE, "name": "/etc/passwd"}, "bad-value", ".name"),
    ({**FILE, "name": "a\\b"}, "bad-value", ".name"),
    ({**FILE, "name": "a\0b"}, "bad-value", ".name"),
    ({**FILE, "name": "a\x1b[2J"}, "bad-value", ".name"),
    ({**FILE, "name": "x" * 256}, "bad-value", ".name"),
    ({**FILE, "media": ""}, "bad-value", ".media"),
    ({**FILE, "media": "text/plaïn"}, "bad-value", ".media"),
    ({**FILE, "media": "x" * 128}, "bad-value", ".media"),
    ({**FILE, "size": 4}, "bad-value", ".size"),
    ({**FILE, "sha256": H}, "bad-value", ".sha256"),
    ({**FILE, "sha256": b""}, "bad-value", ".sha256"),
    ({**FILE, "data": "abc"}, "wrong-type", ".data"),
    ({**BLOB, "chunk": 1_023}, "bad-value", ".chunk"),
    ({**BLOB, "chunk": 1_048_577}, "bad-value", ".chunk"),
    ({**BLOB, "key": bytes(31)}, "bad-value", ".key"),
    ({**BLOB, "blob": bytes(31)}, "bad-value", ".blob"),
    ({**BLOB, "length": -1}, "bad-value", ".length"),
    ({**BLOB, "name": "../x"}, "bad-value", ".name"),
]


@pytest.mark.parametrize(("part", "code", "field"), PART_FAULTS)
def test_faulty_parts_are_refused(part: object, code: str, field: str) -> None:
    """Parts are closed, named harmlessly, and agree with themselves."""
    good = {"kind": "text", "text": "", "name": ""}
    assert refusal(written("message", {"text": "a", "parts": [good, part]})) == (
        code,
        f"body.parts[1]{field}",
    )


@pytest.mark.parametrize(
    "text", ["0", '"\\ud800"', "1" * 5_000, "1e999", "[" * 100 + "]" * 100, '"[[["', ' {"a":1,"a":2}\r\n']
)
def test_any_json_value_is_carried_as_text(text: str) -> None:
    """Big numbers, lone surrogates and names twice are JSON all the same, and nobody computes with them."""
    content = Content(TextMessage("see part", (JsonPart(text),)), CONV)
    assert decode_content(encode_content(content)) == content


def test_an_artifact_is_as_large_as_its_plain_bytes() -> None:
    """Text counts in UTF-8, files and blobs by what they stand for."""
    body = decode_content(written("artifact_submit", {"note": "", "parts": [BLOB, FILE], "answers": 0})).body
    assert isinstance(body, ArtifactSubmit)
    assert parts_size((*body.parts, TextPart("é"), JsonPart("{}"))) == 5_000_000 + 3 + 2 + 2
    assert FilePart.of("a.txt", "text/plain", b"abc") == body.parts[1]
