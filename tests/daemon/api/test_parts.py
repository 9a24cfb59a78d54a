"""What agents attach becomes parts, and parts are shown without what they hold of files."""

from __future__ import annotations

import base64
import json

import pytest

from taskferry_apps.daemon.api.parts import artifact_part, part_object
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import BlobPart, FilePart, JsonPart, TextPart


@pytest.mark.parametrize(
    ("kind", "content", "name", "part"),
    [
        ("", "text", "", TextPart("text")),
        ("", {"b": 1, "a": 2}, "", JsonPart('{"b":1,"a":2}')),
        ("json", "text", "n", JsonPart('"text"', "n")),
        ("text", "", "", TextPart("")),
        ("markdown", "# x", "x.md", TextPart("# x", "x.md")),
        ("diff", "+x", "", TextPart("+x")),
        ("markdown", ["x"], "", JsonPart('["x"]')),
        ("file", "eHg=", "x.bin", FilePart.of("x.bin", "application/octet-stream", b"xx")),
    ],
)
def test_content_becomes_the_part_that_its_type_says(kind, content, name, part):
    """Types of text, JSON of any value in its own order, and files in base64."""
    assert artifact_part(kind, content, name) == part


@pytest.mark.parametrize(
    ("kind", "content", "name", "code", "field"),
    [
        ("file", ["x"], "x", "wrong-type", "content"),
        ("file", "eHg=", "", "bad-value", "name"),
        ("file", "eHg=", "../x", "bad-value", "name"),
        ("file", "eHg=", "..", "bad-value", "name"),
        ("file", "nonsense!", "x", "bad-value", "content"),
        ("file", base64.b64encode(bytes(409_601)).decode(), "x", "too-large", "content"),
        ("text", "x" * 196_609, "", "too-large", "content"),
        ("json", "x" * 196_607, "", "too-large", "content"),
    ],
    ids=lambda value: str(value)[:16],
)
def test_content_that_is_no_such_part_is_refused_by_its_field(kind, content, name, code, field):
    """Wrong types, names that are paths, and what no envelope takes."""
    with pytest.raises(DaemonRefusal) as refused:
        artifact_part(kind, content, name)
    assert (refused.value.code, refused.value.detail["field"]) == (code, field)


def test_a_blob_is_shown_without_its_key():
    """Of a blob people see name, type, size and hash; what opens it stays inside."""
    blob = BlobPart("a.bin", "x/y", 9, Hash(bytes(32)), Hash(bytes(32)), b"k" * 32, 25, 1024)
    shown = part_object(3, blob)
    assert shown == {
        "kind": "blob",
        "part": 3,
        "name": "a.bin",
        "size": 9,
        "media": "x/y",
        "sha256": "00" * 32,
    }


async def test_parts_travel_in_their_order_before_the_files(house):
    """Text, JSON and file parts arrive as given, then the files, each with its number for the download."""
    encoded = base64.b64encode(b"bytes").decode()
    parts = [
        {"kind": "json", "json": [1], "name": "one"},
        {"kind": "text", "text": "two"},
        {"kind": "file", "name": "three.bin", "media": "x/y", "data_base64": encoded},
    ]
    task = await house.task(parts=parts, files=[{"name": "four.txt", "data_base64": encoded}])
    shown = (await house.bob.ok("GET", f"/tasks/{task}"))["parts"]
    assert [(part["part"], part["kind"], part["name"]) for part in shown] == [
        (0, "json", "one"),
        (1, "text", ""),
        (2, "file", "three.bin"),
        (3, "file", "four.txt"),
    ]
    assert json.loads(shown[0]["json"]) == [1]
    assert (await house.bob.get(f"/tasks/{task}/artifacts/0/3")).raw == b"bytes"
    many = [{"name": f"{n}", "data_base64": ""} for n in range(32)]
    refused = await house.alice.post(
        "/tasks", {"from": "requester", "to": "@bob/writer", "title": "t", "parts": parts, "files": many}
    )
    assert (refused.status, refused.error["field"]) == (400, "files")
