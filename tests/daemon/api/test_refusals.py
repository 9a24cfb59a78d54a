"""What cannot be meant is refused with a code and the field's name, and has no effect."""

from __future__ import annotations

import base64
import json

import pytest

SEND = {"from": "requester", "to": "@bob/writer", "text": "hello"}
TASK = {"from": "requester", "to": "@bob/writer", "title": "t", "description": "d"}

BAD_HANDLES = [
    "@bob/writer\n",
    "@Bob/writer",
    "@bob/wr\u0456ter",
    "@bob/" + "w" * 10_000,
    "@bob/",
    "bob/writer",
    "@bob//writer",
    "@bob/writer/x",
    "@b\u00f6b/writer",
    "@bob/writer\x00",
    " @bob/writer",
    "",
]


@pytest.mark.parametrize("handle", BAD_HANDLES, ids=lambda text: ascii(text)[:24])
async def test_a_handle_that_is_none_is_refused_by_its_field(lone, handle):
    """Newlines, capitals, look-alikes, endless and empty ones: 400 naming `to`, or `from`."""
    for path, body in (("/messages/send", SEND), ("/tasks", TASK), ("/connections/request", SEND)):
        body = {
            name: value for name, value in body.items() if path != "/connections/request" or name != "text"
        }
        for field in ("to", "from"):
            answer = await lone.post(path, body | {field: handle})
            assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "bad-value", field)
            assert len(answer.raw) < 500


@pytest.mark.parametrize(
    ("path", "change", "code", "field"),
    [
        ("/tasks", {"title": None}, "wrong-type", "title"),
        ("/tasks", {"title": 7}, "wrong-type", "title"),
        ("/tasks", {"title": "  "}, "bad-value", "title"),
        ("/tasks", {"title": "\u00e9" * 201}, "bad-value", "title"),
        ("/tasks", {"description": "x" * 65_537}, "bad-value", "description"),
        ("/tasks", {"requirements": "one"}, "wrong-type", "requirements"),
        ("/tasks", {"requirements": ["a", 1]}, "wrong-type", "requirements[1]"),
        ("/tasks", {"requirements": ["x"] * 33}, "bad-value", "requirements"),
        ("/tasks", {"requirements": ["x"] * 32, "expected_format": "f"}, "bad-value", "requirements"),
        ("/tasks", {"max_revisions": True}, "wrong-type", "max_revisions"),
        ("/tasks", {"max_revisions": 3.0}, "wrong-type", "max_revisions"),
        ("/tasks", {"max_revisions": -1}, "bad-value", "max_revisions"),
        ("/tasks", {"max_revisions": 1001}, "bad-value", "max_revisions"),
        ("/tasks", {"deadline": "tomorrow"}, "bad-value", "deadline"),
        ("/tasks", {"deadline": "2030-02-30T00:00:00Z"}, "bad-value", "deadline"),
        ("/tasks", {"deadline": "2030-01-01T00:00:00"}, "bad-value", "deadline"),
        ("/tasks", {"deadline": 1_900_000_000}, "wrong-type", "deadline"),
        ("/tasks", {"budget": 0}, "bad-value", "budget"),
        ("/tasks", {"fields": 1}, "unknown-field", "fields"),
        ("/tasks", {"files": [{"name": "a"}]}, "missing-field", "files[0].data_base64"),
        ("/tasks", {"files": [{"name": "a/b", "data_base64": ""}]}, "bad-value", "files[0].name"),
        ("/tasks", {"files": [{"name": "..", "data_base64": ""}]}, "bad-value", "files[0].name"),
        ("/tasks", {"files": [{"name": "a", "data_base64": "?"}]}, "bad-value", "files[0].data_base64"),
        ("/tasks", {"files": [{"name": "a", "data_base64": "", "x": 1}]}, "unknown-field", "files[0].x"),
        ("/tasks", {"files": [[]]}, "wrong-type", "files[0]"),
        ("/tasks", {"parts": [{"kind": "text"}]}, "bad-value", "parts[0].text"),
        ("/tasks", {"parts": [{"kind": "file", "data_base64": ""}]}, "bad-value", "parts[0].name"),
        ("/tasks", {"parts": [{"kind": "blob"}]}, "bad-value", "parts[0].kind"),
        ("/messages/send", {"text": ""}, "missing-field", "text"),
        ("/messages/send", {"payload": [1]}, "wrong-type", "payload"),
        ("/messages/send", {"type": "task_request"}, "bad-value", "type"),
        ("/messages/send", {"to": []}, "bad-value", "to"),
        ("/messages/send", {"to": ["@bob/writer", "x"]}, "bad-value", "to[1]"),
        ("/messages/send", {"payload": {"x": "y" * 200_000}}, "too-large", "payload"),
        ("/connections/request", {"text": None, "message": "x" * 1025}, "unknown-field", "text"),
        ("/connections/accept", {}, "unknown-field", "text"),
        ("/agents", {}, "unknown-field", "from"),
        ("/tokens", {}, "unknown-field", "from"),
    ],
)
async def test_a_wrong_value_is_named(lone, path, change, code, field):
    """Types, bounds, unknown and missing fields: the code and the field say what to mend."""
    answer = await lone.post(path, (TASK if path == "/tasks" else SEND) | change)
    assert answer.status == (413 if code == "too-large" else 400)
    assert (answer.error["code"], answer.error["field"]) == (code, field)


async def test_what_only_the_daemon_knows_to_be_wrong_is_named_as_well(house):
    """A title of two lines, a deadline that has passed, no conversation: refused with the field."""
    for path, change, field in (
        ("/tasks", {"title": "two\nlines"}, "title"),
        ("/tasks", {"deadline": "2001-01-01T00:00:00Z"}, "deadline"),
        ("/messages/send", {"conversation": "zz"}, "conversation"),
    ):
        answer = await house.alice.post(path, (TASK if path == "/tasks" else SEND) | change)
        assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "bad-value", field)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"\xff\xfe{}", "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b"{} {}", "malformed"),
        (b'{"text": NaN}', "malformed"),
        (b'{"text": Infinity}', "malformed"),
        (b'{"payload": {"x": 1e999}}', "malformed"),
        (b'{"payload": {"x": 9223372036854775808}}', "malformed"),
        (b'{"payload": {"x": ' + b"9" * 100_000 + b"}}", "malformed"),
        (b'{"from": "requester", "from": "writer"}', "malformed"),
        (b'{"payload": {"a": {"b": 1, "b": 2}}}', "malformed"),
        (b'{"text": "\\ud800"}', "malformed"),
        (b'{"payload": {"\\udc00": 1}}', "malformed"),
        (b'{"payload": ' + b'{"x":' * 32 + b"1" + b"}" * 33, "too-deep"),
        (b'{"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too-deep"),
        (b"[]", "wrong-type"),
        (b"null", "wrong-type"),
        (b'"text"', "wrong-type"),
    ],
    ids=lambda value: value[:32].decode("latin-1") if isinstance(value, bytes) else value,
)
async def test_json_that_could_mean_two_things_is_refused(lone, raw, code):
    """Broken, doubled, infinite, too deep or half-encoded JSON never reaches the daemon."""
    answer = await lone.call("POST", "/messages/send", raw)
    assert (answer.status, answer.error["code"]) == (400, code)


async def test_json_at_the_bounds_passes(house):
    """The deepest nesting, the largest integers and any character are taken as they are."""
    deep: object = 1
    for _ in range(30):
        deep = {"x": deep}
    payload = {"deep": deep, "big": [2**63 - 1, -(2**63), 0.1], "text": "\U0001f6a2 \u202e"}
    sent = await house.alice.ok("POST", "/messages/send", SEND | {"payload": payload})
    item = await house.mail(house.bob, "writer", "message")
    assert item["id"] == sent["message_id"]
    assert json.loads(item["payload"]["parts"][0]["json"]) == payload


async def test_bodies_are_limited_before_they_are_read(house):
    """1 MiB of JSON, more only where files go, and 400 KiB of decoded files: 413 beyond."""
    large = json.dumps(SEND | {"payload": {"x": "y" * 1_048_576}}).encode()
    answer = await house.alice.call("POST", "/messages/send", large)
    assert (answer.status, answer.error["code"]) == (413, "too-large")
    claimed = await house.alice.call("POST", "/tasks", b"{}", {"Content-Length": "900000000"})
    assert (claimed.status, claimed.error["code"]) == (413, "too-large")
    files = [{"name": f"{n}.bin", "data_base64": base64.b64encode(bytes(205_000)).decode()} for n in range(2)]
    answer = await house.alice.post("/tasks", TASK | {"files": files})
    assert (answer.status, answer.error["code"], answer.error["field"]) == (413, "too-large", "files")
    one = [{"name": "1.bin", "data_base64": base64.b64encode(bytes(300_000)).decode()}]
    answer = await house.alice.post("/tasks", TASK | {"files": one})
    assert answer.status in (403, 413)
    assert answer.error["code"] in ("too-large", "not-permitted")


async def test_ids_may_be_shortened_as_long_as_they_are_plain(house):
    """Eight digits are enough; fewer, other characters, or none that is known are told apart."""
    task = await house.task()
    assert (await house.alice.ok("GET", f"/tasks/{task[:8].upper()}"))["task_id"] == task
    for wrong in (task[:7], "zzzzzzzz", task + "0", "%0a" + task[:10], "........"):
        answer = await house.alice.get(f"/tasks/{wrong}")
        assert (answer.status, answer.error["code"]) == (400, "bad-value"), wrong
        assert answer.error["field"] == "id"
    unknown = ("0" if task[0] != "0" else "1") * 64
    for path in (
        f"/tasks/{unknown}",
        f"/tasks/{unknown[:8]}",
        f"/messages/{unknown}",
        f"/tasks/{unknown}/log",
    ):
        assert (await house.alice.get(path)).status == 404
    assert (await house.alice.get("/tasks/a/b/c/d")).error["code"] == "not-found"


async def test_what_a_task_does_not_allow_says_what_it_does(house):
    """409 not-possible carries the state and the actions that are possible now."""
    task = await house.task()
    early = await house.bob.post(f"/tasks/{task}/artifacts", {"content": "too early"})
    assert (early.status, early.error["code"], early.error["state"]) == (409, "not-possible", "sent")
    assert set(early.error["actions"]) == {"accept", "decline"}
    wrong_side = await house.alice.post(f"/tasks/{task}/accept", {})
    assert (wrong_side.status, wrong_side.error["actions"]) == (409, ["cancel"])
    await house.bob.ok("POST", f"/tasks/{task}/decline", {"from": "", "reason": "No time."})
    await house.until_state(house.alice, task, "declined")
    late = await house.alice.post(f"/tasks/{task}/cancel", {"reason": "never mind"})
    assert (late.status, late.error["state"], late.error["actions"]) == (409, "declined", [])


async def test_the_other_ends_of_a_task_are_reached_too(house):
    """Cancel by the requester and fail by the worker end a task with their reasons."""
    first, second = await house.task(), await house.task()
    assert (await house.alice.ok("POST", f"/tasks/{first}/cancel", {"reason": "r"}))["state"] == "cancelled"
    await house.bob.ok("POST", f"/tasks/{second}/accept", {})
    assert (await house.bob.ok("POST", f"/tasks/{second}/fail", {"reason": "broken"}))["state"] == "failed"
    for body, field in (
        ({}, "content"),
        ({"artifact_type": "file", "name": "x", "content": {"a": 1}}, "content"),
        ({"artifact_type": "file", "content": "eA=="}, "name"),
    ):
        answer = await house.bob.post(f"/tasks/{second}/artifacts", body)
        assert (answer.status, answer.error["field"]) == (400, field)
    assert (await house.alice.post(f"/tasks/{second}/revision", {})).error["field"] == "reason"
    wrong = await house.alice.post(f"/tasks/{second}/complete", {"hash": "xyz"})
    assert (wrong.status, wrong.error["field"]) == (400, "hash")
    over = await house.bob.post(f"/tasks/{first}/progress", {"percent": 101})
    assert (over.status, over.error["field"]) == (400, "percent")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/inbox", {"agent_id": "@alice/requester", "agent": "requester"}, "agent_id"),
        ("/inbox", {"agent": "requester", "wait": "61"}, "wait"),
        ("/inbox", {"agent": "requester", "wait": "-1"}, "wait"),
        ("/inbox", {"agent": "requester", "wait": "\u0663"}, "wait"),
        ("/inbox", {"agent": "requester", "unprocessed": "maybe"}, "unprocessed"),
        ("/inbox", {"agent": "requester", "limit": "0"}, "limit"),
        ("/inbox", {"agent": "requester", "cursor": "nonsense"}, "cursor"),
        ("/inbox", {"agent": "Writer"}, "agent"),
        ("/inbox", {"agents": "requester"}, "agents"),
        ("/tasks", {"state": "sleeping"}, "state"),
        ("/tasks", {"role": "boss"}, "role"),
        ("/tasks", {"cursor": "1-2-3"}, "cursor"),
        ("/connections", {"state": "open"}, "state"),
        ("/messages", {"limit": "1e3"}, "limit"),
        ("/events", {"after": "x"}, "after"),
        ("/quarantine", {"cursor": "x"}, "cursor"),
    ],
)
async def test_a_wrong_query_is_named(lone, path, query, field):
    """Queries are read as strictly as bodies."""
    answer = await lone.get(path, **query)
    assert (answer.status, answer.error["field"]) == (400, field)
    twice = await lone.get("/tasks?limit=1&limit=2")
    assert (twice.status, twice.error["field"]) == (400, "limit")
