"""Many messages in one request: each is sent, refused and repeated as if it had come by itself."""

from __future__ import annotations

import trio

from taskferry_apps.daemon.bounds import BOUNDS
from taskferry_protocol.records import PutAnswer

from .test_repeats import sent_count

PATH = "/messages/batch"


def one(text: str, **more: object) -> dict[str, object]:
    """One message from alice's agent to bob's."""
    return {"from": "requester", "to": "@bob/writer", "text": text, **more}


async def send(house, *messages, who=None, **headers):
    """Send these in one request."""
    return await (who or house.alice).post(PATH, {"messages": list(messages)}, headers)


async def test_what_became_of_each_stands_in_its_place(house):
    """Good ones are sent, one to nobody and one from nobody are refused, and none keeps another back."""
    answer = await send(
        house,
        one("first"),
        one("x", to="@nobody/there"),
        one("second", payload={"a": 1}),
        one("x", **{"from": "stranger"}),
        one("x", conversation="no"),
    )
    assert (answer.status, answer.json["sent"], answer.json["failed"]) == (200, 2, 3)
    results = answer.json["results"]
    assert [result["ok"] for result in results] == [True, False, True, False, False]
    assert [results[at]["error"]["code"] for at in (1, 3, 4)] == ["unknown-account", "not-found", "bad-value"]
    assert results[0]["delivery"]["rung"] == "queued"
    shown = await house.alice.ok("GET", f"/messages/{results[2]['message_id']}")
    assert shown["payload"]["text"] == "second"
    assert await sent_count(house) == 2


async def test_what_cannot_be_read_is_refused_whole(house):
    """A field too many, no message, no words, one too many: the field is named, and nothing is sent."""
    for messages, field in (
        ([one("x", wrong=1)], "messages[0].wrong"),
        ([one("x"), one("")], "messages[1].text"),
        ([one("x"), one("y", payload=3)], "messages[1].payload"),
        ([], "messages"),
        ([one("x")] * (BOUNDS.messages_at_once + 1), "messages"),
        ([one("x", key="a b")], "messages[0].key"),
        ([one("x", to=["@bob/writer"])], "messages[0].to"),
    ):
        answer = await send(house, *messages)
        assert (answer.status, answer.error["field"]) == (400, field)
    assert await sent_count(house) == 0


async def test_a_key_of_its_own_sends_a_message_once(house):
    """Again, in other company, and six times at once: one message, and the others are sent beside it."""
    first = (await send(house, one("once", key="k1"))).json["results"][0]
    again = (await send(house, one("beside"), one("once", key="k1"))).json["results"]
    assert again[1]["message_id"] == first["message_id"]
    ids: list[str] = []

    async def ask(number: int) -> None:
        answer = await send(house, one("crowd", key="k2"), one(f"alone {number}", key=f"own {number}"[:3]))
        ids.append(answer.json["results"][0]["message_id"])

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(ask, number)
    assert len(set(ids)) == 1


async def test_another_message_under_a_used_key_is_a_conflict_of_its_own(house):
    """The one is refused, the others are sent; the same key twice in a request is refused the second time."""
    await send(house, one("once", key="k1"))
    answer = await send(house, one("twice", key="k1"), one("beside"), one("a", key="k2"), one("a", key="k2"))
    results = answer.json["results"]
    assert [result["ok"] for result in results] == [False, True, True, False]
    assert [results[at]["error"]["code"] for at in (0, 3)] == ["conflict", "bad-value"]
    assert await sent_count(house) == 3


async def test_a_key_for_all_is_one_for_each(house):
    """A whole request sent again sends nothing again; what was refused then may go now."""
    key = {"Idempotency-Key": "whole"}
    messages = [one("first"), one("x", to="@nobody/there"), one("second")]
    first = (await send(house, *messages, **key)).json
    again = (await send(house, *messages, **key)).json
    ids = [[result.get("message_id") for result in answer["results"]] for answer in (first, again)]
    assert ids[0] == ids[1]
    assert await sent_count(house) == 2
    mended = await send(house, messages[0], one("mended"), messages[2], **key)
    assert mended.json["sent"] == 3
    assert await sent_count(house) == 3


async def test_keys_of_single_messages_and_of_many_are_apart(house):
    """A key that a single request used is no other request's, whatever step it is called."""
    await house.alice.post("/messages/send", one("single"), {"Idempotency-Key": "k1"})
    assert (await send(house, one("many", key="k1"))).json["sent"] == 1
    assert (await house.alice.post("/messages/send", one("other"), {"Idempotency-Key": "k1"})).status == 409
    assert await sent_count(house) == 2


async def test_what_is_recorded_of_a_message_is_recorded_in_its_commit(house):
    """Killed right after the commit, before anything was answered, the daemon finds each message again."""
    store, commits = house.alice.daemon._core.store, []
    commit = store.commit

    async def noted(changes):
        commits.append(list(changes))
        return await commit(changes)

    store.commit = noted
    await send(house, one("first", key="k1"), one("plain"), one("second", key="k2"))
    store.commit = commit
    (sent,) = [changes for changes in commits if any(isinstance(one, PutAnswer) for one in changes)]
    assert sum(isinstance(change, PutAnswer) for change in sent) == 2


async def test_an_agents_credential_sends_for_its_agents_alone(house):
    """Another agent's message in the same request is refused, and the rest goes."""
    await house.alice.ok("POST", "/agents", {"handle": "second"})
    program = await house.alice.token("requester")
    answer = await send(house, one("mine"), one("theirs", **{"from": "second"}), who=program)
    assert [result["ok"] for result in answer.json["results"]] == [True, False]
    assert answer.json["results"][1]["error"]["code"] == "not-yours"


async def test_no_batch_gets_past_a_breaker(house):
    """The same words many times over: as many go as one by one, and the rest is told why not."""
    answer = await send(house, *[one("thank you") for _ in range(20)])
    refused = [result["error"]["code"] for result in answer.json["results"] if not result["ok"]]
    assert set(refused) == {"same-words"}
    alone = await house.alice.post("/messages/send", one("thank you"))
    assert alone.error["code"] == "same-words"
    assert await sent_count(house) == answer.json["sent"]
