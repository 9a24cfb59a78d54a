"""The same request under the same key takes effect once, whoever repeats it and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from taskferry_apps.daemon.api.repeats import Repeats
from taskferry_apps.daemon.port import Caller
from taskferry_protocol.records import PutAnswer
from taskferry_stores.errors import StoreFailed, StoreFull, StoreUnavailable

from .house import Answer

SEND = {"from": "requester", "to": "@bob/writer", "text": "once"}
KEY = {"Idempotency-Key": "3f9c01ab-7"}


async def sent_count(house) -> int:
    """How many messages Alice has sent."""
    listed = await house.alice.ok("GET", "/messages", agent="requester", limit=200)
    return sum(item["type"] == "message" for item in listed["messages"])


async def test_a_repeated_request_has_its_first_answer_and_no_second_effect(house):
    """Once, again, spaced otherwise, and ten at a time: one message, one answer."""
    first = await house.alice.post("/messages/send", SEND, KEY)
    assert first.status == 200
    again = await house.alice.post("/messages/send", SEND, KEY)
    other_spacing = b'{ "text":"once" , "to":"@bob/writer","from":"requester" }'
    spaced = await house.alice.call("POST", "/messages/send", other_spacing, KEY)
    assert first.raw == again.raw == spaced.raw
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(
            await house.alice.post("/messages/send", SEND | {"text": "crowd"}, {"Idempotency-Key": "c"})
        )

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
    assert len({answer.raw for answer in answers}) == 1
    assert await sent_count(house) == 2


async def test_another_request_under_a_used_key_is_a_conflict(house):
    """Another body or path under the key: 409, and no effect; another caller's key is another key."""
    await house.alice.post("/messages/send", SEND, KEY)
    for path, body in (("/messages/send", SEND | {"text": "twice"}), ("/agents", {"handle": "x"})):
        answer = await house.alice.post(path, body, KEY)
        assert (answer.status, answer.error["code"]) == (409, "conflict")
    program = await house.alice.token("requester")
    assert (await program.post("/messages/send", SEND | {"text": "mine"}, KEY)).status == 200
    assert await sent_count(house) == 2


async def test_a_refusal_is_not_kept(house):
    """What was refused may be mended and tried again under the same key."""
    unknown = {"from": "requester", "to": "@nobody/there", "text": "x"}
    assert (await house.alice.post("/messages/send", unknown, KEY)).status == 404
    assert (await house.alice.post("/messages/send", SEND, KEY)).status == 200


async def test_a_key_must_be_a_key_and_secrets_are_never_kept(house):
    """Empty, spaced, endless and non-ASCII keys are refused, and so is any key where a secret is answered."""
    for key in ("", "a b", "k" * 129, "\u00e9"):
        answer = await house.alice.post("/messages/send", SEND, {"Idempotency-Key": key})
        assert (answer.status, answer.error["field"]) == (400, "Idempotency-Key")
    for path, body in (("/tokens", {"agents": ["requester"]}), ("/setup", {"owner": "x", "relay": "ws://x"})):
        answer = await house.alice.post(path, body, KEY)
        assert (answer.status, answer.error["field"]) == (400, "Idempotency-Key")


async def test_a_client_that_goes_away_finds_its_answer_later(house):
    """Cancelled between the effect and the keeping of its answer, the request still has both."""
    repeats, caller, acted = Repeats(house.alice.daemon), Caller(None), []
    with trio.CancelScope() as gone:

        async def act() -> bytes:
            acted.append(1)
            gone.cancel()
            await trio.lowlevel.checkpoint()
            return b"{}"

        await repeats.once(caller, "key", b"digest", act)
        await trio.lowlevel.checkpoint()
    assert gone.cancelled_caught
    assert await repeats.once(caller, "key", b"digest", act) == b"{}"
    assert acted == [1]


@contextmanager
def killed_before_the_answer_is_kept(house) -> Iterator[None]:
    """The daemon dies after the effect is committed and before its answer is."""
    daemon = house.alice.daemon

    async def die(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("killed")

    daemon.remember = die
    try:
        yield
    finally:
        del daemon.remember


@pytest.mark.parametrize("error", [StoreFull, StoreFailed, StoreUnavailable])
async def test_what_is_done_is_told_though_its_answer_cannot_be_kept(house, error):
    """With a full disk right after the effect nobody is told that nothing was stored, and it is there."""
    store, commit = house.alice.daemon._core.store, house.alice.daemon._core.store.commit

    async def full(changes):
        if len(changes) == 1 and isinstance(changes[0], PutAnswer):
            raise error("no space is left")
        return await commit(changes)

    store.commit = full
    first = await house.alice.post("/messages/send", SEND, KEY)
    store.commit = commit
    assert first.status == 200
    assert (await house.alice.post("/messages/send", SEND, KEY)).json["message_id"] == first.json[
        "message_id"
    ]
    assert await sent_count(house) == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_a_kill_between_effect_and_answer_repeats_nothing(house, times):
    """The effect names its message under the key in its own commit, so that who asks again finds it."""
    for _ in range(times):
        with killed_before_the_answer_is_kept(house):
            assert (await house.alice.post("/messages/send", SEND, KEY)).status >= 500
    listed = await house.alice.ok("GET", "/messages", agent="requester", limit=200)
    first = next(item for item in listed["messages"] if item["type"] == "message")
    answer = await house.alice.post("/messages/send", SEND, KEY)
    assert answer.json["message_id"] == first["id"]
    assert (await house.alice.post("/messages/send", SEND, KEY)).raw == answer.raw
    assert await sent_count(house) == 1


async def test_a_task_and_what_is_done_on_it_survive_the_same_kill(house):
    """One task and one cancellation, however often the two requests come."""
    new = {"from": "requester", "to": "@bob/writer", "title": "Report"}
    with killed_before_the_answer_is_kept(house):
        assert (await house.alice.post("/tasks", new, KEY)).status >= 500
    made = await house.alice.post("/tasks", new, KEY)
    assert made.status == 200
    task = made.json["task_id"]
    assert [row["task_id"] for row in (await house.alice.ok("GET", "/tasks"))["tasks"]] == [task]
    other = {"Idempotency-Key": "cancel"}
    with killed_before_the_answer_is_kept(house):
        assert (await house.alice.post(f"/tasks/{task}/cancel", {}, other)).status >= 500
    done = await house.alice.post(f"/tasks/{task}/cancel", {}, other)
    assert (done.status, done.json["state"]) == (200, "cancelled")


async def test_after_a_kill_another_request_under_the_key_is_a_conflict(house):
    """What was done under the key is known, though its answer is not."""
    with killed_before_the_answer_is_kept(house):
        await house.alice.post("/messages/send", SEND, KEY)
    answer = await house.alice.post("/messages/send", SEND | {"text": "twice"}, KEY)
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert await sent_count(house) == 1
