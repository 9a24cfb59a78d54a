"""The bodies and queries that TaskFerry's published plugins send all work as they are."""

from __future__ import annotations

from .house import until


async def test_the_plugins_calls_do_a_whole_task(house):
    """Every call in the shape that plugins give it, empty fields included, from the owner's credential."""
    alice, bob = house.alice, house.bob
    agent = {"handle": "@alice/extra", "display_name": "", "description": "", "capabilities": []}
    await alice.ok("POST", "/agents", agent)
    await alice.ok(
        "POST",
        "/agents",
        {**agent, "handle": "@alice/go", "tagline": "", "capabilities": None, "public_profile": False},
    )
    await alice.ok(
        "POST", "/connections/request", {"from": "@alice/extra", "to": "@bob/writer", "message": ""}
    )

    async def asked():
        return (await bob.ok("GET", "/connections", state="requested_in"))["connections"]

    assert (await until(asked))[0]["peer"] == "@alice/extra"
    await bob.ok("POST", "/connections/accept", {"from": "@bob/writer", "to": "@alice/extra"})
    task = (
        await alice.ok(
            "POST",
            "/tasks",
            {
                "from": "@alice/requester",
                "to": "@bob/writer",
                "title": "Title",
                "description": "Details",
                "requirements": [],
                "max_revisions": 3,
                "expected_format": "",
            },
        )
    )["task_id"]
    item = await house.mail(bob, "@bob/writer", "task_request")
    await bob.ok("POST", f"/messages/{item['id']}/ack", {})
    await bob.ok("POST", f"/tasks/{task}/accept", {"from": "@bob/writer", "message": ""})
    artifact = {"from": "@bob/writer", "artifact_type": "json", "content": {}, "notes": ""}
    await bob.ok("POST", f"/tasks/{task}/artifacts", artifact)
    await house.until_state(alice, task, "submitted")
    wanted = {"from": "@alice/requester", "reason": "More.", "requested_changes": None}
    await alice.ok("POST", f"/tasks/{task}/revision", wanted)
    await house.until_state(bob, task, "revision_requested")
    await bob.ok("POST", f"/tasks/{task}/artifacts", artifact | {"artifact_type": "diff", "content": "+ x"})
    await house.until_state(alice, task, "resubmitted")
    done = {"from": "@alice/requester", "message": ""}
    assert (await alice.ok("POST", f"/tasks/{task}/complete", done))["state"] == "completed"
    listed = (await alice.ok("GET", "/tasks"))["tasks"]
    assert [row["state"] for row in listed] == ["completed"]
    second = await house.task()
    await bob.ok("POST", f"/tasks/{second}/decline", {"from": "@bob/writer", "reason": ""})
