"""What the API is for: a handoff from set-up to the verified export, as agents do it."""

from __future__ import annotations

import base64
import json

from taskferry_protocol.handoff import verify_handoff

from .house import until

RELAY = "https://relay.example"


async def test_a_task_goes_its_whole_way_over_the_api(house):
    """Request with a file, accept, progress, submit, revise, submit, complete, export: both ends agree."""
    alice, bob = await house.alice.token("requester"), await house.bob.token("writer")
    made = await alice.ok(
        "POST",
        "/tasks",
        {
            "from": "@alice/requester",
            "to": "@bob/writer",
            "title": "Report on README",
            "description": "Outline it.",
            "requirements": ["outline"],
            "expected_format": "JSON",
            "max_revisions": 2,
            "deadline": "2099-01-01T00:00:00Z",
            "budget": 100,
            "files": [
                {
                    "name": "README.md",
                    "media": "text/markdown",
                    "data_base64": base64.b64encode(b"# Hi").decode(),
                }
            ],
        },
    )
    task = made["task_id"]
    assert made["state"] in ("created", "sent")
    item = await house.mail(bob, "@bob/writer", "task_request")
    assert (item["from"], item["to"], item["task_id"]) == ("@alice/requester", "@bob/writer", task)
    assert base64.b64decode(item["payload"]["parts"][0]["data"]) == b"# Hi"
    assert item["payload"]["requirements"] == ["outline", "Expected format: JSON"]
    assert (await bob.ok("POST", f"/messages/{item['id'][:12]}/ack", {}))["state"] == "processed"

    accepted = await bob.ok(
        "POST", f"/tasks/{task[:10]}/accept", {"from": "@bob/writer", "message": "On it."}
    )
    assert accepted["state"] == "accepted"
    await bob.ok("POST", f"/tasks/{task}/progress", {"message": "half", "percent": 50})
    first = await bob.ok(
        "POST",
        f"/tasks/{task}/artifacts",
        {"from": "writer", "artifact_type": "json", "content": {"a": [1, 2.5]}, "notes": "draft"},
    )
    assert (first["version"], first["state"]) == (1, "submitted")
    seen = await house.until_state(alice, task, "submitted")
    assert json.loads(seen["versions"][0]["parts"][0]["json"]) == {"a": [1, 2.5]}
    assert set(seen["actions"]) >= {"complete", "revise"}
    asked = {"reason": "Too short.", "requested_changes": ["Add links"], "hash": seen["versions"][0]["hash"]}
    await alice.ok("POST", f"/tasks/{task}/revision", asked)
    revision = await house.mail(bob, "writer", "revision_request")
    assert revision["payload"]["reasons"] == ["Too short.", "Add links"]
    await bob.ok(
        "POST",
        f"/tasks/{task}/artifacts",
        {
            "from": "writer",
            "artifact_type": "markdown",
            "content": "# Report\n",
            "files": [{"name": "r.md", "data_base64": base64.b64encode(b"<b>x</b>").decode()}],
        },
    )
    newest = (await house.until_state(alice, task, "resubmitted"))["versions"][-1]
    done = {"version": newest["version"], "hash": newest["hash"], "message": "Thanks."}
    assert (await alice.ok("POST", f"/tasks/{task}/complete", done))["state"] == "completed"
    mine, theirs = await alice.ok("GET", f"/tasks/{task}"), await house.until_state(bob, task, "completed")
    assert [v["hash"] for v in mine["versions"]] == [v["hash"] for v in theirs["versions"]]
    assert mine["revision_requests"][0]["reasons"] == ["Too short.", "Add links"]

    log = await alice.ok("GET", f"/tasks/{task}/log")
    assert log["events"][0]["prev"] is None
    assert {event["side"] for event in log["events"]} == {"requester", "worker"}
    assert (log["cursor"], log["more"], mine["events_cursor"], mine["versions_cursor"]) == ("", False, "", "")
    last = await alice.ok("GET", f"/tasks/{task}/log", limit=1)
    assert (len(last["events"]), last["more"]) == (1, True)
    rest = await alice.ok("GET", f"/tasks/{task}/log", cursor=last["cursor"])
    assert [one["hash"] for one in [*rest["events"], *last["events"]]] == [e["hash"] for e in log["events"]]
    newest = await alice.ok("GET", f"/tasks/{task}/versions", limit=1)
    first = await alice.ok("GET", f"/tasks/{task}/versions", limit=1, cursor=newest["cursor"])
    assert [one["hash"] for page in (first, newest) for one in page["versions"]] == [
        one["hash"] for one in mine["versions"]
    ]
    assert (first["more"], first["revision_requests"]) == (False, mine["revision_requests"])
    assert (await alice.get(f"/tasks/{task}/log", cursor="nothing")).error["code"] == "bad-value"
    export = await alice.get(f"/tasks/{task}/export")
    assert export.headers["content-disposition"].startswith('attachment; filename="task-')
    assert verify_handoff(export.raw).view.state == "completed"
    listed = await alice.ok("GET", "/tasks", agent="requester", role="requester", state="completed")
    assert [row["task_id"] for row in listed["tasks"]] == [task]
    assert listed["tasks"][0]["versions"] == 2


async def test_files_come_back_as_downloads_that_no_browser_shows(house):
    """Of a part the bytes are given, as an attachment of no type, in a sandbox, under a harmless name."""
    files = [
        {"name": 'a "b"é.html', "media": "text/html", "data_base64": base64.b64encode(b"<script>").decode()}
    ]
    task = await house.task(files=files)
    answer = await house.bob.get(f"/tasks/{task}/artifacts/0/0")
    assert answer.raw == b"<script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]
    disposition = answer.headers["content-disposition"]
    assert disposition == "attachment; filename=\"a__b__.html\"; filename*=UTF-8''a%20%22b%22%C3%A9.html"
    assert (await house.bob.get(f"/tasks/{task}/artifacts/0/1")).error["code"] == "not-found"
    assert (await house.bob.get(f"/tasks/{task}/artifacts/x/1")).error["field"] == "version"


async def test_tasks_and_messages_are_searched(house):
    """Lists take words, give what one message has all of, and say where to go on."""
    task = await house.task(title="Quarterly figures")
    alice = house.alice
    found = await alice.ok("GET", "/tasks", search="figures quarterl", limit=1)
    assert [row["task_id"] for row in found["tasks"]] == [task]
    assert (found["cursor"], found["more"], found["cut"]) == ("", False, False)
    assert (await alice.ok("GET", "/tasks", search="figures nowhere"))["tasks"] == []
    assert (await alice.ok("GET", "/tasks", search="figures", state="completed"))["tasks"] == []
    assert (await alice.ok("GET", "/tasks", search='" OR ('))["tasks"] == []
    (message,) = (await alice.ok("GET", "/messages", search="quarterly"))["messages"]
    assert message["task_id"] == task
    assert (await alice.get("/tasks", search="figures", cursor="nowhere")).error["field"] == "cursor"


async def test_messages_go_both_ways_and_are_answered(house):
    """A message with JSON arrives once, its answer belongs to its conversation, its ladder is told."""
    body = {"from": "requester", "to": ["@bob/writer"], "payload": {"n": 1}}
    sent = await house.alice.ok("POST", "/messages/send", body)
    item = await house.mail(house.bob, "writer", "message")
    assert item["id"] == sent["message_id"] == sent["message_ids"][0]
    assert json.loads(item["payload"]["parts"][0]["json"]) == {"n": 1}
    reply = {"from": "writer", "to": "@alice/requester", "text": "fine", "reply_to": item["id"][:8]}
    answered = await house.bob.ok("POST", "/messages/send", reply)
    assert answered["conversation"] == sent["conversation"]
    await house.mail(house.alice, "requester", "message")

    async def delivered():
        shown = await house.alice.ok("GET", f"/messages/{sent['message_id']}")
        return shown if shown["delivery"]["rung"] not in ("queued", "relayed") else None

    assert {step["rung"] for step in (await until(delivered))["delivery"]["history"]} >= {
        "queued",
        "delivered",
    }
    assert len((await house.alice.ok("GET", "/messages", limit=1))["messages"]) == 1
    listed = await house.alice.ok("GET", "/messages", agent="requester")
    assert {item["direction"] for item in listed["messages"]} == {"in", "out"}


async def test_a_message_to_many_tells_who_was_not_reached(house):
    """One of two recipients is unknown: the other has it, and the answer names who is missing and why."""
    body = {"from": "requester", "to": ["@bob/writer", "@nobody/there"], "text": "hello"}
    sent = await house.alice.ok("POST", "/messages/send", body)
    assert len(sent["message_ids"]) == 1
    assert sent["failed"][0]["to"] == "@nobody/there"
    assert sent["failed"][0]["error"]["code"] == "unknown-account"
    alone = await house.alice.post("/messages/send", body | {"to": "@nobody/there"})
    assert (alone.status, alone.error["field"]) == (404, "to")


async def test_an_owner_sets_up_makes_agents_and_decides_on_connections(fresh):
    """Before set-up everything else says so; afterwards account, agents, credentials and requests work."""
    assert (await fresh.get("/agents")).error["code"] == "not-set-up"
    assert (await fresh.get("/events")).status == 503
    assert (await fresh.ok("GET", "/health"))["set_up"] is False
    made = await fresh.ok("POST", "/setup", {"owner": "@carol", "relay": RELAY, "device_label": "laptop"})
    assert made["name_claimed"] is True
    assert made["recovery_key"]
    health = await fresh.ok("GET", "/health")
    assert (health["handle_owner"], health["relay"]["connected"]) == ("carol", True)
    assert (await fresh.post("/setup", {"owner": "dora", "relay": RELAY})).status == 409
    agent = {
        "handle": "@carol/helper",
        "display_name": "Helper",
        "description": "Helps.",
        "tagline": "help",
        "capabilities": ["help"],
        "public_profile": True,
    }
    assert (await fresh.ok("POST", "/agents", agent))["agent"]["public"] is True
    again = (await fresh.ok("POST", "/agents", {"handle": "helper"}))["agent"]
    assert again == (await fresh.ok("POST", "/agents", agent))["agent"]
    other = agent | {"tagline": "other", "new": True}
    assert (await fresh.post("/agents", other)).error["code"] == "conflict"
    assert (await fresh.post("/agents", {"handle": "@dora/helper"})).error["field"] == "handle"
    assert [a["handle"] for a in (await fresh.ok("GET", "/agents"))["agents"]] == ["@carol/helper"]
    assert list((await fresh.ok("GET", "/account"))["agents"]) == ["helper"]
    token = await fresh.ok("POST", "/tokens", {"agents": ["helper"], "label": "codex"})
    program = fresh.holding(token["token"])
    assert (await program.get("/agents")).status == 200
    listed = (await fresh.ok("GET", "/tokens"))["tokens"]
    assert [(one["id"], one["label"]) for one in listed] == [(token["id"], "codex")]
    revoked = await fresh.call("DELETE", f"/tokens/{token['id']}")
    assert revoked.json["revoked_at"] is not None
    assert (await program.get("/agents")).status == 401
    assert (await fresh.ok("GET", "/quarantine", limit=10)) == {"items": [], "cursor": "", "more": False}


async def test_an_owner_changes_what_a_peer_may_send(house):
    """A new version is signed, the peer learns of it, and what it forbids is refused with 403."""
    (connection,) = (await house.alice.ok("GET", "/connections", state="accepted"))["connections"]
    named = {"from": "requester", "to": "@bob/writer"}
    changed = await house.bob.ok(
        "POST", "/permissions", {"from": "writer", "to": "@alice/requester", "classes": ["message"]}
    )
    assert changed["connection"]["given"]["classes"] == ["message"]
    by_id = await house.alice.ok("GET", "/permissions", id=connection["id"][:9])
    by_name = await house.alice.ok("GET", "/permissions", **named)
    assert by_id["connection"]["id"] == by_name["connection"]["id"] == connection["id"]

    async def learned():
        now = await house.alice.ok("GET", "/permissions", **named)
        return now["connection"]["received"]["classes"] == ["message"]

    await until(learned)
    refused = await house.alice.post("/tasks", named | {"title": "t"})
    assert (refused.status, refused.error["code"]) == (403, "not-permitted")
    assert (await house.alice.get("/permissions", id="0" * 64)).status == 404
    assert (await house.alice.get("/permissions")).error["code"] == "missing-field"


async def test_who_is_allowed_none_a_minute_is_refused_at_once(house):
    """What no relay would ever carry does not wait here without a word."""
    named = {"from": "requester", "to": "@bob/writer"}
    await house.bob.ok(
        "POST", "/permissions", {"from": "writer", "to": "@alice/requester", "rate_per_minute": 0}
    )

    async def learned():
        now = await house.alice.ok("GET", "/permissions", **named)
        return now["connection"]["received"]["rate_per_minute"] == 0

    await until(learned)
    refused = await house.alice.post("/messages/send", named | {"text": "hello"})
    assert (refused.status, refused.error["code"]) == (403, "not-permitted")


async def test_connections_are_asked_for_declined_accepted_and_ended(house):
    """A second agent asks, is declined, asks again, is accepted with less, and is blocked at last."""
    await house.alice.ok("POST", "/agents", {"handle": "second"})
    ask = {"from": "second", "to": "@bob/writer", "message": "May I?"}

    async def asked():
        found = await house.bob.ok("GET", "/connections", state="requested_in", agent="writer")
        return found["connections"]

    step = await house.alice.ok("POST", "/connections/request", ask)
    assert step["state"] == "requested_out"
    (request,) = await until(asked)
    assert (request["note"], request["trust"]) == ("May I?", "unverified")
    at_once = {"id": request["id"][:8], "reason": "No.", "again": "2020-01-01T00:00:00Z"}
    declined = await house.bob.ok("POST", "/connections/decline", at_once)
    assert declined["state"] == "ended"

    async def ended():
        found = (await house.alice.ok("GET", "/connections", state="ended"))["connections"]
        return [one for one in found if one["end_kind"] == "declined"]

    await until(ended)
    await house.alice.ok("POST", "/connections/request", ask)
    await until(asked)
    pair = {"from": "@bob/writer", "to": "@alice/second"}
    accepted = await house.bob.ok(
        "POST",
        "/connections/accept",
        pair | {"permissions": {"rate_per_minute": 5, "until": "2099-01-01T00:00:00Z"}},
    )
    assert (accepted["state"], len(accepted["message_id"])) == ("accepted", 64)
    (given,) = [
        one["given"]
        for one in (await house.bob.ok("GET", "/connections", state="accepted"))["connections"]
        if one["peer"] == "@alice/second"
    ]
    assert (given["rate_per_minute"], given["until"]) == (5, "2099-01-01T00:00:00.000Z")
    assert (await house.bob.ok("POST", "/connections/block", pair))["state"] == "ended"
    assert (await house.bob.post("/connections/revoke", pair)).status in (404, 409)
