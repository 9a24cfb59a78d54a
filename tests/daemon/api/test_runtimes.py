"""Binding over the local API: what programs send and read, and whose they are."""

from __future__ import annotations

import pytest

NOBODY = "0" * 32


async def bound(api, agent="writer", **more):
    """A program that is bound."""
    return await api.ok("POST", "/runtimes", {"agent": agent, "program": "claude-code", **more})


async def test_a_program_binds_works_and_leaves(house):
    """From binding to leaving, each step answers as it is described, and the fence travels with the item."""
    writer = await house.bob.token("writer")
    made = await bound(writer, key="session 1")
    me = made["runtime"]
    assert (me["name"], me["status"], made["again"]) == ("claude-code", "idle", False)
    assert made["heartbeat_s"] * 3 == made["lease_s"] == 90
    task = await house.task()
    found = await writer.ok("GET", "/inbox", agent="writer", unprocessed="true", wait=10, runtime=me["id"])
    (item,) = [item for item in found["messages"] if item["task_id"] == task]
    lease = item["lease"]
    assert (lease["runtime"], lease["fence"]) == (me["id"], 1)
    beat = await writer.ok("POST", f"/runtimes/{me['id']}/heartbeat", {"status": "busy"})
    assert beat["runtime"]["status"] == "busy"
    hold = {"runtime": me["id"], "fence": lease["fence"]}
    await writer.ok("POST", f"/messages/{item['id']}/ack", hold)
    await writer.ok("POST", f"/tasks/{task}/accept", {"message": "yes", **hold})
    await writer.ok("POST", f"/runtimes/{me['id']}/release", {"message": item["id"], "fence": lease["fence"]})
    late = await writer.post(f"/tasks/{task}/progress", {"percent": 5, **hold})
    assert (late.status, late.error["code"]) == (409, "taken-over")
    await writer.ok("DELETE", f"/runtimes/{me['id']}")
    (row,) = (await writer.ok("GET", "/runtimes", agent="writer"))["runtimes"]
    assert row["status"] == "offline"
    back = await bound(writer, key="session 1")
    assert (back["runtime"]["id"], back["again"]) == (me["id"], True)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/runtimes/{id}/heartbeat", {"status": "idle"}),
        ("POST", "/runtimes/{id}/release", {"message": "0123456789"}),
        ("POST", "/runtimes/{id}/take", {"message": "{message}"}),
        ("DELETE", "/runtimes/{id}", None),
        ("GET", "/inbox?agent=requester&runtime={id}", None),
        ("POST", "/messages/{message}/ack", {"runtime": "{id}"}),
    ],
)
async def test_another_agents_token_reaches_no_program(house, method, path, body):
    """Whoever may not act as the agent learns of none of its programs, and ends, renews or uses none."""
    me = (await bound(await house.bob.token("writer")))["runtime"]
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    stranger = await house.bob.token("other")
    await house.alice.ok("POST", "/messages/send", {"from": "requester", "to": "@bob/writer", "text": "hi"})
    message = (await house.mail(house.bob, "writer", "message"))["id"]
    place = path.replace("{id}", me["id"]).replace("{message}", message).replace("=requester", "=other")
    if body is not None:
        filled = {"{id}": me["id"], "{message}": message}
        body = {name: filled.get(value, value) for name, value in body.items()}
    if method == "GET":
        route, _, query = place.partition("?")
        answer = await stranger.get(route, **dict(pair.split("=") for pair in query.split("&")))
    elif method == "DELETE":
        answer = await stranger.call("DELETE", place)
    else:
        answer = await stranger.post(place, body)
    assert answer.status == 404
    assert me["name"] not in answer.raw.decode()
    (row,) = (await house.bob.ok("GET", "/runtimes"))["runtimes"]
    assert row["status"] == "idle"


async def test_another_agents_token_binds_and_lists_nothing(house):
    """Binding and listing are for one's own agents; the owner sees all, and may end any."""
    me = (await bound(await house.bob.token("writer")))["runtime"]
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    stranger = await house.bob.token("other")
    refused = await stranger.post("/runtimes", {"agent": "writer", "program": "x"})
    assert (refused.status, refused.error["code"]) == (403, "not-yours")
    assert (await stranger.get("/runtimes", agent="writer")).status == 403
    assert (await stranger.ok("GET", "/runtimes"))["runtimes"] == []
    assert (await stranger.ok("GET", "/whoami"))["runtimes"] == []
    assert [row["id"] for row in (await house.bob.ok("GET", "/runtimes"))["runtimes"]] == [me["id"]]
    await house.bob.ok("DELETE", f"/runtimes/{me['id']}")


async def test_whoami_tells_each_caller_who_it_is(house):
    """An agent's credential hears its label and its agents; the owner's, all of them."""
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    writer = await house.bob.token("writer")
    mine = await writer.ok("GET", "/whoami")
    assert (mine["owner"], mine["credential"], mine["label"]) == ("@bob", "agent", "test")
    assert mine["agents"] == ["@bob/writer"]
    assert mine["relay"]["connected"]
    owner = await house.bob.ok("GET", "/whoami")
    assert (owner["credential"], owner["label"]) == ("owner", "")
    assert owner["agents"] == ["@bob/other", "@bob/writer"]
    assert (await writer.holding(None).get("/whoami")).status == 401


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"program": "x"}, "missing-field"),
        ({"agent": "writer", "program": " "}, "bad-value"),
        ({"agent": "writer", "program": "x" * 65}, "bad-value"),
        ({"agent": "writer", "program": "x", "lease_s": 1}, "bad-value"),
        ({"agent": "writer", "program": "x", "lease_s": 10**6}, "bad-value"),
        ({"agent": "writer", "program": "x", "key": 7}, "wrong-type"),
    ],
)
async def test_what_cannot_be_bound_is_refused(house, body, code):
    """Each refusal has its code, and nothing is bound."""
    answer = await house.bob.post("/runtimes", body)
    assert (answer.status, answer.error["code"]) == (400, code)
    assert (await house.bob.ok("GET", "/runtimes"))["runtimes"] == []


async def test_ids_that_nobody_has_are_unknown(house):
    """A runtime that was never bound, or a fence without one, is refused clearly."""
    answer = await house.bob.get("/inbox", agent="writer", runtime=NOBODY)
    assert (answer.status, answer.error["code"]) == (404, "unknown-runtime")
    assert "POST /runtimes" in answer.error["next"]
    await house.alice.ok("POST", "/messages/send", {"from": "requester", "to": "@bob/writer", "text": "hi"})
    message = (await house.mail(house.bob, "writer", "message"))["id"]
    alone = await house.bob.post(f"/messages/{message}/ack", {"fence": 1})
    assert (alone.status, alone.error["field"]) == (400, "runtime")
    never = (await bound(house.bob))["runtime"]["id"]
    guessed = await house.bob.post(f"/messages/{message}/ack", {"runtime": never, "fence": 1})
    assert (guessed.status, guessed.error["code"]) == (409, "taken-over")


async def test_a_program_looks_without_taking_and_takes_one_task_by_its_id(house):
    """Looking leaves all to the others; what is taken, the others neither see nor have until it is left."""
    writer = await house.bob.token("writer")
    one, two = [(await bound(writer))["runtime"]["id"] for _ in range(2)]
    task = await house.task()

    async def seen(runtime):
        found = await writer.ok(
            "GET", "/inbox", agent="writer", unprocessed="true", runtime=runtime, take="false"
        )
        return [item.get("lease") for item in found["messages"] if item["task_id"] == task]

    await house.mail(house.bob, "writer", "task_request")
    assert [await seen(one), await seen(two)] == [[None], [None]]
    nobody = await writer.post(f"/runtimes/{two}/take", {"message": task, "only_left": True})
    assert (nobody.status, nobody.error["code"]) == (409, "conflict")
    lease = (await writer.ok("POST", f"/runtimes/{one}/take", {"message": task}))["lease"]
    assert (lease["runtime"], lease["fence"]) == (one, 1)
    assert (await writer.ok("POST", f"/runtimes/{one}/take", {"message": task}))["lease"]["fence"] == 1
    assert [len(await seen(one)), await seen(two)] == [1, []]
    late = await writer.post(f"/runtimes/{two}/take", {"message": task})
    assert (late.status, late.error["code"]) == (409, "taken-over")
    assert 0 < late.error["retry_after"] <= 90
    await writer.ok("DELETE", f"/runtimes/{one}?forget=true")
    left = await writer.ok("POST", f"/runtimes/{two}/take", {"message": task, "only_left": True})
    assert left["lease"]["fence"] == 2
    assert [row["id"] for row in (await writer.ok("GET", "/runtimes"))["runtimes"]] == [two]


async def test_the_same_step_under_a_key_is_the_same_under_a_new_lease(house):
    """A program that is bound again asks once more for what it has done, and is told that it is done."""
    writer = await house.bob.token("writer")
    task = await house.task()
    await house.mail(house.bob, "writer", "task_request")
    answers = []
    for _ in range(2):
        me = (await bound(writer, key="k"))["runtime"]["id"]
        lease = (await writer.ok("POST", f"/runtimes/{me}/take", {"message": task}))["lease"]
        hold = {"runtime": me, "fence": lease["fence"]}
        answers.append(await writer.post(f"/tasks/{task}/accept", hold, {"Idempotency-Key": "accept"}))
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].raw == answers[1].raw
