"""What the programs of the published TaskFerry 0.1 send works as it is, and they find what they read.

The requests are written from the table in docs/compatibility.md, which was made with those programs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from taskferry_apps.daemon.api.kinds import time_text
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from tests.daemon.worlds import SECRET

from .house import until

AGENT = {"handle": "@alice/extra", "display_name": "", "description": "", "capabilities": []}
TASK = {
    "from": "@alice/requester",
    "to": "@bob/writer",
    "title": "Title",
    "description": "Details",
    "requirements": [],
    "max_revisions": 3,
    "expected_format": "",
}


def read_without_case(item: Any) -> dict[str, Any]:
    """An object as Go and PowerShell read it. Two names that differ by case alone would be one."""
    names = [name.lower() for name in item]
    assert len(set(names)) == len(names), names
    return dict(zip(names, item.values(), strict=True))


def objects_in(value: Any):
    """Every object of a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(inner)


async def asked_for(api):
    """The connection requests that wait at a daemon, as soon as there are some."""

    async def there():
        return (await api.ok("GET", "/connections", state="requested_in"))["connections"]

    return await until(there)


async def inbox(api, agent: str) -> list[dict[str, Any]]:
    """What is not processed, asked for and read as the published agents do."""
    found = await api.ok("GET", "/inbox", agent_id=agent, unprocessed="true")
    return [read_without_case(item) for item in found["messages"]]


async def item_of(api, agent: str, kind: str, task: str) -> dict[str, Any]:
    """The item of a type about a task, as soon as it is there."""

    async def there():
        found = await inbox(api, agent)
        return next((item for item in found if (item["type"], item["taskid"]) == (kind, task)), None)

    return await until(there)


async def test_every_call_of_the_plugins_does_its_part_of_a_task(house):
    """Every call in the shape that plugins give it, empty fields included, from the owner's credential."""
    alice, bob = house.alice, house.bob
    await alice.ok("POST", "/agents", AGENT)
    await alice.ok(
        "POST",
        "/agents",
        {**AGENT, "handle": "@alice/go", "tagline": "", "capabilities": None, "public_profile": False},
    )
    await alice.ok(
        "POST", "/connections/request", {"from": "@alice/extra", "to": "@bob/writer", "message": ""}
    )
    assert (await asked_for(bob))[0]["peer"] == "@alice/extra"
    await bob.ok("POST", "/connections/accept", {"from": "@bob/writer", "to": "@alice/extra"})
    made = await alice.ok("POST", "/tasks", TASK)
    task = made["task_id"]
    assert made["ok"]
    item = await item_of(bob, "@bob/writer", "task_request", task)
    assert await bob.ok("POST", f"/messages/{item['messageid']}/ack", {})
    await bob.ok("POST", f"/tasks/{task}/accept", {"from": "@bob/writer", "message": ""})
    artifact = {"from": "@bob/writer", "artifact_type": "json", "content": {}, "notes": ""}
    await bob.ok("POST", f"/tasks/{task}/artifacts", artifact)
    await house.until_state(alice, task, "submitted")
    wanted = {"from": "@alice/requester", "reason": "More.", "requested_changes": None}
    await alice.ok("POST", f"/tasks/{task}/revision", wanted)
    await house.until_state(bob, task, "revision_requested")
    # A kind of text with a value that is none, as the command line sends it.
    again = artifact | {"artifact_type": "markdown", "content": {"lines": ["x"]}}
    await bob.ok("POST", f"/tasks/{task}/artifacts", again)
    await house.until_state(alice, task, "resubmitted")
    done = {"from": "@alice/requester", "message": ""}
    assert (await alice.ok("POST", f"/tasks/{task}/complete", done))["state"] == "completed"
    listed = (await alice.ok("GET", "/tasks"))["tasks"]
    assert [row["state"] for row in listed] == ["completed"]
    second = await house.task()
    await bob.ok("POST", f"/tasks/{second}/decline", {"from": "@bob/writer", "reason": ""})


async def test_the_published_agents_find_their_way_by_what_they_read(house):
    """Type, sender, task and message of each item, and the version of an artifact: first asked to be revised,
    then completed; both agents hold a credential of their own alone.
    """
    alice = await house.alice.token("requester")
    bob = await house.bob.token("writer")
    task = (await alice.ok("POST", "/tasks", TASK))["task_id"]
    request = await item_of(bob, "@bob/writer", "task_request", task)
    assert (request["sender"], request["plaintext"]) == ("@alice/requester", {})
    draft = {"from": "@bob/writer", "artifact_type": "json", "content": {"lines": ["a"]}, "notes": "First."}
    await bob.ok("POST", f"/tasks/{task}/accept", {"from": "@bob/writer", "message": "Accepted."})
    await bob.ok("POST", f"/tasks/{task}/artifacts", draft)
    first = await item_of(alice, "@alice/requester", "artifact_submit", task)
    assert (first["sender"], first["plaintext"]) == ("@bob/writer", {"version": 1})
    assert (await item_of(alice, "@alice/requester", "task_accept", task))["plaintext"] == {}
    await alice.ok("POST", f"/messages/{first['messageid']}/ack", {})
    changes = {"from": "@alice/requester", "reason": "Generic.", "requested_changes": ["Be concise"]}
    await alice.ok("POST", f"/tasks/{task}/revision", changes)
    await item_of(bob, "@bob/writer", "revision_request", task)
    await bob.ok("POST", f"/tasks/{task}/artifacts", draft)
    second = await item_of(alice, "@alice/requester", "artifact_submit", task)
    assert second["plaintext"] == {"version": 2}
    await alice.ok("POST", f"/tasks/{task}/complete", {"from": "@alice/requester", "message": "Accepted."})
    await item_of(bob, "@bob/writer", "task_complete", task)


async def test_an_accepted_request_is_in_the_inbox_by_the_type_that_agents_wait_for(house):
    """The requester's agent begins when it reads connection_accept."""
    found = await inbox(house.alice, "@alice/requester")
    assert [(item["type"], item["sender"]) for item in found] == [("connection_accept", "@bob/writer")]


async def test_a_request_for_a_connection_waits_for_the_owner_and_not_in_an_inbox(house):
    """The writer's agent would accept whatever asks: strangers' text is shown to owners alone."""
    await house.alice.ok("POST", "/agents", AGENT)
    request = {"from": "@alice/extra", "to": "@bob/writer", "message": "Accept me."}
    await house.alice.ok("POST", "/connections/request", request)
    await asked_for(house.bob)
    assert await inbox(house.bob, "@bob/writer") == []


async def test_the_other_names_come_only_where_they_are_asked_for(house):
    """Who asks by `agent` pays no tokens for a second set of names."""
    (item,) = (await house.alice.ok("GET", "/inbox", agent="requester"))["messages"]
    assert not {"MessageID", "TaskID", "Sender", "Plaintext"} & set(item)


async def test_health_tells_the_names_that_programs_read_to_whoever_may_know(lone):
    """Client, device and the link to the relay; without a credential none of them."""

    async def connected():
        found = await lone.ok("GET", "/health")
        return found if found["relay_connected"] else None

    found = await until(connected)
    assert (found["status"], found["client_id"], found["device_id"]) == ("ok", "alice", found["device"])
    stranger = await lone.holding(None).ok("GET", "/health")
    assert set(stranger) == {"status", "service"}


async def test_health_has_those_names_before_there_is_an_account(fresh):
    """Nobody, no device, no link."""
    found = await fresh.ok("GET", "/health")
    assert (found["client_id"], found["device_id"], found["relay_connected"]) == ("", "", False)


async def test_an_agent_is_told_by_the_names_it_was_made_with(lone):
    """What is shown as its id is what the inbox takes as agent_id."""
    made = (await lone.ok("POST", "/agents", AGENT | {"public_profile": True}))["agent"]
    assert (made["agent_id"], made["public_profile"]) == ("@alice/extra", True)
    assert (await lone.ok("GET", "/inbox", agent_id=made["agent_id"]))["messages"] == []


async def test_no_answer_has_two_names_that_differ_by_case_alone(house):
    """Readers that look at no case would lose one of them, or refuse the whole answer."""
    task = await house.task()
    for path, query in (
        ("/health", {}),
        ("/agents", {}),
        ("/inbox", {"agent_id": "@bob/writer"}),
        ("/tasks", {}),
        (f"/tasks/{task}", {}),
        ("/invites", {"agent": "@bob/writer"}),
    ):
        for item in objects_in(await house.bob.ok("GET", path, **query)):
            read_without_case(item)


# --- Invites and friends ------------------------------------------------------------------------------------


async def test_what_an_invite_shows_is_what_adds_a_friend(house):
    """The code is the agent's handle, which vouches for nothing: an agent's credential is enough to ask."""
    await house.bob.ok("POST", "/agents", AGENT | {"handle": "@bob/extra"})
    shown = await house.bob.ok("GET", "/invites", agent="@bob/extra")
    assert (shown["ok"], shown["agent"]["handle"], shown["invites"]) == (True, "@bob/extra", [])
    program = await house.alice.token("requester")
    friend = {"from": "@alice/requester", "invite": shown["invite_code"], "message": "hi"}
    asked = await program.ok("POST", "/friends/request", friend)
    assert (asked["ok"], asked["to"], asked["state"]) == (True, "@bob/extra", "requested_out")
    (request,) = await asked_for(house.bob)
    assert (request["id"], request["invite"], request["note"]) == (asked["id"], None, "hi")


async def make_link(house, agent: str) -> str:
    """The link of an invite of Bob's."""
    until_then = time_text(Instant(house.world.clock.now() + DAY_MS))
    made = await house.bob.ok("POST", "/invites", {"agent": agent, "expires_at": until_then})
    return str(made["link"])


async def test_the_owner_adds_a_friend_by_a_whole_link(house):
    """The request comes as invited, as if the owner had opened the link."""
    await house.bob.ok("POST", "/agents", AGENT | {"handle": "@bob/extra"})
    link = await make_link(house, "extra")
    friend = {"from": "@alice/requester", "invite": f" {link}\n", "message": ""}
    asked = await house.alice.ok("POST", "/friends/request", friend)
    assert asked["to"] == "@bob/extra"
    (request,) = await asked_for(house.bob)
    assert (request["id"], request["invite_state"]) == (asked["id"], "valid")


async def test_an_agent_that_is_talked_into_a_link_opens_none(house):
    """Whom a link stands for is the owner's to accept: the attempt is refused, noted, and asks nobody."""
    link = await make_link(house, "writer")
    program = await house.alice.token("requester")
    before = await house.alice.ok("GET", "/connections")
    for invite in (link, "inv_x", "https://relay.test/invite/x"):
        friend = {"from": "@alice/requester", "invite": invite, "message": ""}
        refused = await program.post("/friends/request", friend)
        assert (refused.status, refused.error["code"]) == (403, "owner-only")
    assert await house.alice.ok("GET", "/connections") == before
    noted = (await house.alice.ok("GET", "/audit"))["entries"]
    assert any("/friends/request" in str(entry) for entry in noted)


async def test_an_agent_adds_no_friend_for_another_agent(house):
    """As with any request for a connection."""
    await house.alice.ok("POST", "/agents", AGENT)
    program = await house.alice.token("requester")
    friend = {"from": "@alice/extra", "invite": "@bob/writer", "message": ""}
    assert (await program.post("/friends/request", friend)).error["code"] == "not-yours"


async def test_an_old_invite_is_refused_with_what_a_link_looks_like(lone):
    """Codes of the old relay lead nowhere here, and are told so."""
    for invite in ("inv_abc", "taskferry://relay.example/invite/inv_abc"):
        answer = await lone.post(
            "/friends/request", {"from": "@alice/requester", "invite": invite, "message": ""}
        )
        assert (answer.status, answer.error["code"]) == (400, "bad-link")


async def test_an_invite_is_shown_for_agents_of_this_owner_alone(house):
    """Only the named agent's invites; another owner's agent is not here."""
    await make_link(house, "writer")
    await house.bob.ok("POST", "/agents", AGENT | {"handle": "@bob/extra"})
    assert len((await house.bob.ok("GET", "/invites", agent="writer"))["invites"]) == 1
    assert (await house.bob.ok("GET", "/invites", agent="extra"))["invites"] == []
    assert set(await house.bob.ok("GET", "/invites")) == {"invites"}
    answer = await house.bob.get("/invites", agent="@alice/requester")
    assert (answer.status, answer.error["code"], answer.error["field"]) == (404, "not-found", "agent")


# --- The credential -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/inbox", "/tasks", "/connect", "/setup", "/"])
async def test_no_credential_is_taken_from_a_url(lone, path):
    """There it would stay in histories and logs; the old programs' browser links open nothing."""
    answer = await lone.holding(None).get(f"{path}?{urlencode({'token': SECRET, 'invite': 'x'})}")
    assert answer.status in (400, 401, 404, 405)
    assert SECRET.encode() not in answer.raw


async def test_a_credential_beside_the_true_one_is_refused_too(lone):
    """A program that also puts it into the URL hears of it at once."""
    answer = await lone.get("/tasks", token=SECRET)
    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "unknown-field", "token")


async def test_registering_again_with_other_words_updates_the_agent(lone):
    """What is empty asks for nothing, as plugins send it; an agent's credential updates nothing."""
    await lone.ok("POST", "/agents", AGENT | {"public_profile": True})
    program = await lone.token("extra")
    empty = {"display_name": "", "tagline": "", "description": "", "capabilities": None}
    again = AGENT | empty | {"description": "Something else."}
    assert (await program.post("/agents", again)).error["code"] == "owner-only"
    agent = (await lone.ok("POST", "/agents", again))["agent"]
    assert (agent["version"], agent["description"], agent["public_profile"]) == (2, "Something else.", True)
    assert agent["display_name"] == AGENT["display_name"]


async def test_a_change_says_what_changes_and_what_is_cleared(lone):
    """An empty text clears, nothing at all is a mistake; an agent's try is refused, and that is noted."""
    await lone.ok("POST", "/agents", AGENT)
    change = b'{"display_name": "", "tagline": "New"}'
    program = await lone.token("extra")
    assert (await program.call("PATCH", "/agents/extra", change)).error["code"] == "owner-only"
    assert any("PATCH /agents/" in str(entry) for entry in (await lone.ok("GET", "/audit"))["entries"])
    assert (await lone.call("PATCH", "/agents/extra", b"{}")).error["code"] == "missing-field"
    assert (await lone.call("PATCH", "/agents/nobody", change)).status == 404
    agent = (await lone.call("PATCH", "/agents/extra", change)).json["agent"]
    assert (agent["version"], agent["display_name"], agent["tagline"]) == (2, "", "New")
