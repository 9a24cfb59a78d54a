"""An agent's token reaches its own agents' work, and neither the owner's powers nor others' handles."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.alarms import OTHER_HISTORY, PUT_OUT, RUNS_TWICE, raise_alarm
from taskferry_apps.daemon.draft import Draft

from .house import DOCUMENT, check

OWNERS = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "owner" in operation.get("description", "")
]


@pytest.mark.parametrize(("method", "path"), OWNERS, ids=lambda text: text)
async def test_an_agent_token_cannot_do_what_is_the_owners(lone, method, path):
    """Set-up, agents, approvals, permissions, credentials, account and quarantine answer owner-only."""
    program = await lone.token("requester")
    place = path.replace("{id}", "0123456789abcdef")
    answer = await program.call(method, place, b"{}" if method == "POST" else None)
    assert (answer.status, answer.error["code"]) == (403, "owner-only")


def test_what_is_the_owners_is_what_was_promised():
    """The list of owner's paths is complete: approvals, permissions, keys and set-up are all on it."""
    assert set(OWNERS) == {
        ("POST", "/setup"),
        ("POST", "/backup"),
        ("POST", "/manage/passphrase"),
        ("POST", "/manage/unlock"),
        ("POST", "/manage/lock"),
        ("POST", "/recovery"),
        ("POST", "/recovery/check"),
        ("POST", "/recovery/phrase"),
        ("GET", "/account"),
        ("GET", "/quarantine"),
        ("POST", "/agents"),
        ("PATCH", "/agents/{agent}"),
        ("DELETE", "/agents/{agent}"),
        ("POST", "/connections/accept"),
        ("POST", "/connections/decline"),
        ("POST", "/connections/revoke"),
        ("POST", "/connections/block"),
        ("GET", "/breakers"),
        ("POST", "/breakers"),
        ("GET", "/permissions"),
        ("POST", "/permissions"),
        ("GET", "/audit"),
        ("GET", "/audit/export"),
        ("GET", "/audit/verify"),
        ("GET", "/doctor"),
        ("GET", "/peers"),
        ("GET", "/peers/show"),
        ("POST", "/peers/verify"),
        ("POST", "/peers/trust"),
        ("POST", "/peers/unverify"),
        ("POST", "/peers/keep"),
        ("POST", "/peers/accept-change"),
        ("POST", "/connections/unblock"),
        ("GET", "/gates"),
        ("GET", "/gates/{id}"),
        ("POST", "/gates/release"),
        ("POST", "/gates/decline"),
        ("GET", "/rules"),
        ("POST", "/rules"),
        ("DELETE", "/rules/{id}"),
        ("POST", "/approvals/{id}/approve"),
        ("POST", "/approvals/{id}/deny"),
        ("POST", "/modes"),
        ("POST", "/policies"),
        ("POST", "/telling"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
        ("DELETE", "/tokens/{id}"),
        ("POST", "/browser/sign-in"),
        ("DELETE", "/browser/sessions"),
        ("GET", "/invites"),
        ("POST", "/invites"),
        ("DELETE", "/invites/{id}"),
        ("POST", "/links"),
        ("GET", "/links/{id}"),
        ("POST", "/links/{id}/connect"),
        ("DELETE", "/links/{id}"),
        ("GET", "/stops"),
        ("POST", "/stops/release"),
        ("GET", "/alarms"),
        ("POST", "/alarms/dismiss"),
        ("POST", "/stops/drop"),
        ("GET", "/devices"),
        ("GET", "/devices/link"),
        ("POST", "/devices/link"),
        ("DELETE", "/devices/link"),
        ("POST", "/devices/approve"),
        ("POST", "/devices/confirm"),
        ("POST", "/devices/rotate"),
        ("POST", "/devices/{id}/rename"),
        ("POST", "/devices/{id}/revoke"),
        ("GET", "/wakes"),
        ("POST", "/wakes"),
        ("DELETE", "/wakes/{id}"),
        ("POST", "/wakes/{id}/test"),
    }


async def test_an_agent_token_speaks_for_nobody_else(house):
    """As another agent it can neither send nor read nor act nor follow; nor does it learn of tasks."""
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    task = await house.task()
    other, writer = await house.bob.token("other"), await house.bob.token("writer")
    item = await house.mail(writer, "writer", "task_request")
    for name in ("writer", "@bob/writer"):
        for answer in (
            await other.post("/messages/send", {"from": name, "to": "@alice/requester", "text": "x"}),
            await other.post("/tasks", {"from": name, "to": "@alice/requester", "title": "x"}),
            await other.post("/connections/request", {"from": name, "to": "@alice/second"}),
            await other.get("/inbox", agent_id=name),
            await other.get("/messages", agent=name),
            await other.get("/connections", agent=name),
            await other.get("/tasks", agent=name),
        ):
            assert (answer.status, answer.error["code"]) == (403, "not-yours")
        assert (await other.get("/events", agent=name)).status == 404
        assert (await other.post(f"/tasks/{task}/accept", {"from": name})).status in (403, 404)
    for answer in (
        await other.get(f"/tasks/{task}"),
        await other.get(f"/tasks/{task}/log"),
        await other.get(f"/tasks/{task}/export"),
        await other.get(f"/tasks/{task}/artifacts/0/0"),
        await other.post(f"/tasks/{task}/accept", {}),
        await other.get(f"/messages/{item['id']}"),
        await other.get(f"/messages/{item['id'][:8]}"),
        await other.post(f"/messages/{item['id']}/ack", {}),
    ):
        assert (answer.status, answer.error["code"]) == (404, "not-found")
    assert (await other.ok("GET", "/tasks"))["tasks"] == []
    assert [one["name"] for one in (await other.ok("GET", "/agents"))["agents"]] == ["other"]
    assert (await other.ok("GET", "/connections"))["connections"] == []
    assert (await other.ok("GET", "/inbox"))["messages"] == []
    assert (await other.ok("GET", "/messages"))["messages"] == []
    assert (await house.until_state(writer, task, "sent"))["actions"] != []


async def test_an_agent_token_hears_nothing_of_what_the_owner_decides_about_others(house):
    """What waits for the owner, and whose identity is in question, is told to the owner alone."""
    await house.alice.ok("POST", "/agents", {"handle": "other"})
    requester, other = await house.alice.token("requester"), await house.alice.token("other")
    said = {"from": "requester", "to": "@bob/writer", "text": "the same words"}
    statuses = [(await requester.post("/messages/send", said)).status for _ in range(12)]
    assert statuses[-1] == 429
    told = await house.alice.ok("GET", "/health")
    waiting = dict.fromkeys(("questions", "requests", "tasks", "identities", "alarms", "quarantined"), 0)
    assert (told["stopped"], told["waiting"]) == (1, {**waiting, "stopped": 1})
    told = await other.ok("GET", "/health")
    assert (told["stopped"], told["waiting"], told["changed_peers"]) == (0, None, [])


async def test_an_agent_token_is_told_of_no_alarm_but_of_the_machine(house):
    """What a peer of another agent did is the owner's; that nothing leaves here any more is everybody's."""
    about_peers = "The owner of @carol has taken the account back with its recovery key."
    core = house.alice.daemon._core
    async with core.lock:
        draft = Draft(core)
        for text in (about_peers, RUNS_TWICE, OTHER_HISTORY, PUT_OUT):
            await raise_alarm(draft, text)
        await draft.commit()
    requester = await house.alice.token("requester")
    told = await requester.ok("GET", "/health")
    assert told["alarms"] == [RUNS_TWICE, OTHER_HISTORY, PUT_OUT]
    assert (await house.alice.ok("GET", "/health"))["alarms"] == [about_peers, *told["alarms"]]


async def test_every_refusal_has_the_one_shape(house):
    """The error object of a refusal is what the document says, with a next step."""
    error = (await house.bob.post("/tasks", {"from": "writer"})).json
    check(error, {"$ref": "#/components/schemas/Error"})
    assert error["error"]["next"]
