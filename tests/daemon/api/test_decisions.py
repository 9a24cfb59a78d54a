"""What owners decide, and agents ask, by the local API: each answer as the document describes it."""

from __future__ import annotations

import pytest

from .house import until

ASK = {"from": "writer", "class": "shell", "what": "rm -rf build", "why": "to build afresh"}


async def gate(house):
    """Let each task of alice's wait."""
    pair = {"from": "writer", "to": "@alice/requester"}
    await house.bob.ok("POST", "/permissions", pair | {"human_gate": True})


async def held(house):
    """What waits for bob, as soon as something does."""

    async def there():
        return (await house.bob.ok("GET", "/gates"))["tasks"]

    return await until(there)


async def sent_task(house, title="Report"):
    """A task of alice's, by its id."""
    body = {"from": "requester", "to": "@bob/writer", "title": title, "description": "Secret brief"}
    return (await house.alice.ok("POST", "/tasks", body))["task_id"]


async def test_a_task_waits_is_released_and_another_is_turned_away(house):
    """The agent's inbox tells of it only that it is held; released it is there, turned away it never is."""
    await gate(house)
    writer = await house.bob.token("writer")
    task = await sent_task(house)
    (waiting,) = await held(house)
    assert (waiting["task_id"], waiting["brief_chars"], waiting["trust"]) == (task, 12, "unverified")
    shown = await house.bob.ok("GET", f"/gates/{task[:8]}")
    assert (shown["task"], shown["whole"]["brief"]) == (waiting, "Secret brief")
    assert (shown["whole"]["sha256"], shown["whole"]["connection"]["given"]["terms"]["human_gate"]) == (
        task,
        True,
    )
    inbox = await writer.ok("GET", "/inbox", agent_id="writer", wait=0)
    assert inbox["held"] == [{"peer": "@alice/requester", "count": 1}]
    for path in (f"/tasks/{task}", f"/tasks/{task}/log", f"/tasks/{task}/export", f"/messages/{task}"):
        answer = await writer.get(path)
        assert (answer.status, answer.error["code"]) == (404, "not-found")
    assert b"Secret" not in (await writer.get("/messages", agent="writer")).raw
    await house.bob.ok("POST", "/gates/release", {"id": task[:8]})
    item = await house.mail(writer, "writer", "task_request")
    assert (item["task_id"], item["auto_start"]) == (task, True)
    other = await sent_task(house, "Another")
    await held(house)
    declined = await house.bob.ok("POST", "/gates/decline", {"id": other, "reason": "Not this."})
    assert (declined["task_id"], declined["state"]) == (other, "declined")
    assert (await writer.get(f"/tasks/{other}")).status == 404
    assert (await house.bob.get("/gates")).json == {"tasks": []}
    again = await house.bob.post("/gates/release", {"id": other})
    assert (again.status, again.error["code"]) == (404, "not-found")


async def test_an_agent_asks_waits_and_uses_and_only_the_owner_answers(lone):
    """The whole of it by HTTP, with every refusal in its one shape."""
    writer = await lone.token("requester")
    ask = ASK | {"from": "requester"}
    asked = (await writer.ok("POST", "/approvals", ask))["approval"]
    assert (asked["state"], asked["class"], asked["agent"]) == ("asked", "shell", "@alice/requester")
    path = f"/approvals/{asked['id']}"
    for act in ("approve", "deny"):
        answer = await writer.post(f"{path}/{act}", {"answer": "the owner says yes"})
        assert (answer.status, answer.error["code"]) == (403, "owner-only")
    deed = {"class": "shell", "what": "rm -rf build"}
    assert (await writer.post(f"{path}/use", deed)).error["code"] == "not-approved"
    answered = (await lone.ok("POST", f"{path}/approve", {"answer": "Go on."}))["approval"]
    assert (answered["state"], answered["by"]) == ("approved", "owner")
    assert (await writer.ok("GET", path, wait=30))["approval"]["answer"] == "Go on."
    other = await writer.post(f"{path}/use", deed | {"what": "rm -rf /"})
    assert (other.status, other.error["code"]) == (409, "not-what-was-asked")
    assert (await writer.ok("POST", f"{path}/use", deed))["approval"]["state"] == "used"
    assert (await writer.post(f"{path}/use", deed)).error["state"] == "used"
    listed = (await writer.ok("GET", "/approvals", state="used"))["approvals"]
    assert [one["id"] for one in listed] == [asked["id"]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"class": "anything"}, "bad-value"),
        ({"what": ""}, "bad-value"),
        ({"what": "x" * 2_049}, "bad-value"),
        ({"why": "x" * 1_025}, "bad-value"),
        ({"expires_in": 86_401}, "bad-value"),
        ({"state": "approved"}, "unknown-field"),
        ({"by": "owner"}, "unknown-field"),
        ({"from": "owner"}, "not-yours"),
        ({"task_id": "0" * 64}, "not-found"),
    ],
)
async def test_a_question_says_what_it_is_and_nothing_more(lone, change, code):
    """No field of a question answers it, and none is without a bound."""
    program = await lone.token("requester")
    answer = await program.post("/approvals", ASK | {"from": "requester"} | change)
    assert answer.error["code"] == code
    assert (await lone.ok("GET", "/approvals"))["approvals"] == []


async def test_rules_are_made_listed_and_removed(house):
    """A rule shows the account that it is bound to, and what it waits for."""
    body = {
        "accept": "@alice/*",
        "agent": "writer",
        "tasks_per_day": 2,
        "permissions": {"rate_per_minute": 9},
    }
    made = (await house.bob.ok("POST", "/rules", body))["rule"]
    account = (await house.alice.ok("GET", "/account"))["account"]
    assert (made["account"], made["permissions"]["rate_per_minute"]) == (account, 9)
    assert "verified" in made["waits_for"]
    assert [one["id"] for one in (await house.bob.ok("GET", "/rules"))["rules"]] == [made["id"]]
    removed = await house.bob.call("DELETE", f"/rules/{made['id'][:8]}")
    assert removed.json["rule"]["waits_for"] == "nothing: it was removed"
    assert (await house.bob.ok("GET", "/rules"))["rules"] == []
    for accept in ("*", "@alice", "@*/x", "@alice/**"):
        assert (await house.bob.post("/rules", {"accept": accept})).error["field"] == "accept"


async def test_modes_bind_agents_and_their_refusals_name_the_question(house):
    """Guarded: the id to wait for is in the answer, and the same again goes through once it is approved."""
    program = await house.alice.token("requester")
    guarded = (await house.alice.ok("POST", "/modes", {"agent": "requester", "mode": "guarded"}))["mode"]
    assert guarded["mode"] == "guarded"
    body = {"from": "requester", "to": "@bob/writer", "title": "Check this"}
    refused = await program.post("/tasks", body)
    assert (refused.status, refused.error["code"]) == (403, "approval-needed")
    approval = refused.error["approval"]
    await house.alice.ok("POST", f"/approvals/{approval}/approve", {})
    assert (await program.post("/tasks", body)).status == 200
    assert (await program.post("/tasks", body)).error["code"] == "approval-needed"
    await house.alice.ok("POST", "/policies", {"agent": "requester", "class": "shell", "policy": "never"})
    (mode,) = (await program.ok("GET", "/modes"))["modes"]
    assert (mode["mode"], mode["policies"]["shell"]) == ("guarded", "never")
    await house.alice.ok("POST", "/modes", {"agent": "requester", "mode": "read-only"})
    told = {"from": "requester", "to": "@bob/writer", "text": "hello"}
    assert (await program.post("/messages/send", told)).error["code"] == "read-only"
    await house.alice.ok("POST", "/messages/send", told)
