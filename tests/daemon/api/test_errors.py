"""Every error comes out in the one shape, and none tells more than it should."""

from __future__ import annotations

import errno
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import NotFound, RequestEntityTooLarge, RequestTimeout, UnprocessableEntity

from taskferry_apps.daemon.api.body import canonical, compact, parse_json
from taskferry_apps.daemon.api.errors import error_object, refusal_for
from taskferry_apps.daemon.api.kinds import time_text
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Instant
from taskferry_stores.port import ConflictKind, StoreClosed, StoreConflict, StoreFailed, StoreFull

from .house import DOCUMENT, check


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DaemonRefusal("x", "m", "n", status=418), 418, "x"),
        (DaemonRefusal("too-large", "m"), 413, "too-large"),
        (RemoteProtocolError(RejectCode.BAD_VALUE, "no", field="f"), 400, "bad-value"),
        (StoreFull("full"), 503, "storage"),
        (StoreFailed("fsync"), 503, "storage"),
        (OSError(errno.ENOSPC, "a secret", "/a secret/path"), 503, "storage"),
        (OSError(errno.EIO, "a secret"), 503, "storage"),
        (ConnectionResetError(errno.ECONNRESET, "a secret"), 500, "internal"),
        (StoreConflict(ConflictKind.REVISION, "moved"), 409, "conflict"),
        (NotFound(), 404, "not-found"),
        (RequestEntityTooLarge(), 413, "too-large"),
        (RequestTimeout(), 408, "timeout"),
        (UnprocessableEntity(), 422, "malformed"),
        (KeyError("a secret"), 500, "internal"),
        (ExceptionGroup("g", [KeyError("a secret")]), 500, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_has_a_status_a_code_and_the_one_shape(error, status, code, capfd):
    """Refusals, protocol, storage, HTTP and unforeseen errors: mapped once, without inner texts."""
    refused = refusal_for(error)
    assert (refused.status, refused.code) == (status, code)
    told = error_object(refused)
    check(told, {"$ref": "#/components/schemas/Error"})
    assert "a secret" not in str(told)
    assert "a secret" not in "".join(capfd.readouterr())


def test_only_a_store_that_knows_says_that_nothing_was_stored():
    """A full disk takes nothing; what a disk was writing when it failed may be there afterwards."""
    assert "nothing of this was stored" in refusal_for(StoreFull("full")).message
    assert "nothing" not in refusal_for(StoreFailed("fsync")).message


@pytest.mark.parametrize("error", [StoreFull("full"), StoreFailed("fsync"), StoreClosed("closed")])
def test_where_a_part_lasts_nobody_is_told_that_nothing_does(error):
    """What came before the write that failed is there: whoever asked is to look before asking again."""
    refused = refusal_for(error, partly=True)
    assert (refused.status, refused.code) == (503, "storage")
    assert "nothing" not in refused.message
    assert "look" in refused.next_step


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_refusal(raw):
    """Reading a body never fails in another way, and what passed can be written again."""
    try:
        value = parse_json(raw)
    except DaemonRefusal:
        return
    assert parse_json(compact(value)) == value


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: "\\ud" not in str(ascii(value)).lower())


@given(_VALUES)
def test_a_value_is_read_as_it_was_written(value):
    """What `compact` writes is what `parse_json` reads; equal values have equal canonical bytes."""
    assert parse_json(compact(value)) == value
    assert canonical(value) == canonical(parse_json(compact(value)))


def test_times_beyond_the_calendar_are_still_told():
    """A peer may name any time below 2^53 ms: it is shown as the last one that RFC 3339 can write."""
    assert time_text(Instant(0)) == "1970-01-01T00:00:00.000Z"
    assert time_text(Instant(1_700_000_000_123)) == "2023-11-14T22:13:20.123Z"
    assert time_text(Instant(2**53 - 1)) == "9999-12-31T23:59:59.999Z"


_STRANGE: list[Any] = [
    0,
    -1,
    2**53,
    1.5,
    True,
    "",
    " ",
    "x" * 70_000,
    "\x00\x1b[2J\u202e",
    "../../etc/passwd",
    "ws://[",
    [],
    [None],
    [[]],
    {},
    {"a": {"b": None}},
    math.pi,
]

POSTS = sorted(
    path for path, operations in DOCUMENT["paths"].items() if "post" in operations and path != "/setup"
)


async def test_no_value_in_any_field_makes_the_daemon_fail(house):
    """Every field of every body takes every strange value: a refusal or an answer, never a 500."""
    task = await house.task()
    for path in POSTS:
        schema = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        usual = {
            "from": "requester",
            "to": "@bob/writer",
            "title": "t",
            "handle": "h",
            "agents": ["requester"],
        }
        base = {name: value for name, value in usual.items() if name in schema["properties"]}
        for field in schema["properties"]:
            for value in _STRANGE:
                answer = await house.alice.post(path.replace("{id}", task), base | {field: value})
                assert answer.status < 500, (path, field, value, answer.raw)
                assert len(answer.raw) < 5_000, (path, field, value)


async def test_whoever_is_too_fast_is_told_when_to_come_again(lone, monkeypatch):
    """429 has Retry-After in whole seconds and the exact figure in the body."""

    async def refuse(caller):
        raise DaemonRefusal("rate-limited", "Too fast.", "Wait.", status=429, detail={"retry_after": 2.4})

    monkeypatch.setattr(lone.daemon, "agents", refuse)
    answer = await lone.get("/agents")
    assert (answer.status, answer.headers["retry-after"], answer.error["retry_after"]) == (429, "2", 2.4)


async def test_no_set_up_with_strange_values_makes_the_daemon_fail(fresh):
    """Owner, relay and label are checked before anything is made."""
    for url in (
        "http://relay.example",
        "ws://192.168.1.2:80",
        "https://",
        "https://user:pass@relay.example",
        "https://relay.example?x=1",
        "https://relay.example#x",
        "https://relay.example:99999",
        "https://relay.example/\n",
        "file:///etc/passwd",
    ):
        answer = await fresh.post("/setup", {"owner": "carol", "relay": url})
        assert (answer.status, answer.error["field"]) == (400, "relay"), url
    for field in ("owner", "relay", "device_label"):
        for value in _STRANGE:
            body = {"owner": "carol", "relay": "ftp://nowhere", "device_label": ""} | {field: value}
            answer = await fresh.post("/setup", body)
            assert answer.status == 400, (field, value, answer.raw)
    assert (await fresh.ok("GET", "/health"))["set_up"] is False
