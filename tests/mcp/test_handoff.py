"""A whole handoff by tools alone: every tool, over both transports and in both versions of the protocol."""

from __future__ import annotations

from pathlib import Path

from taskferry_apps.mcp.catalogue import TOOLS

from .hosts import WAYS, Ferry, Way


async def test_two_models_hand_a_task_over_and_back(ferry: Ferry, way: Way) -> None:
    """Asked, accepted, submitted, revised, submitted again, saved to files, completed; nothing waits then."""
    (ferry.alice.work / "data.csv").write_text("a,b\n1,2\n")
    (ferry.bob.work / "report.md").write_text("# Report\n")
    files = {"files": ["data.csv"]} if way.transport == "stdio" else {}
    async with ferry.alice.host(way) as alice, ferry.bob.host(way) as bob:
        me = await alice.call("whoami")
        assert me["agent"] == "@alice/requester"
        assert [peer["peer"] for peer in me["connections"]] == ["@bob/writer"]
        sent = await alice.call(
            "task_create",
            to="@bob/writer",
            title="Report",
            brief="Sum it up.",
            requirements=["short"],
            **files,
        )
        task = sent["task"]
        await _work(bob, task, way)
        await _judge(alice, ferry, task, way)
        shown = await bob.until("show", lambda facts: facts["state"] == "revision_requested", id=task)
        assert shown["revisions"][0]["peer_reasons"] == ["name the sum"]
        again = await bob.call("task_respond", task=task, action="submit", text="The sum is 3.")
        assert (again["version"], again["processed"]) == (2, 2)
        seen = await alice.until("show", lambda facts: facts["state"] == "resubmitted", id=task)
        assert seen["versions"][0]["parts"][0]["peer_text"] == "The sum is 3."
        done = await alice.call("task_review", task=task, action="complete", version=2, message="Thanks")
        assert done["state"] == "completed"
        await bob.until("show", lambda facts: facts["state"] == "completed", id=task)
        (listed,) = (await alice.call("task_list"))["tasks"]
        assert (listed["id"], listed["state"], listed["title"]) == (task, "completed", "Report")
        await _talk(alice, bob)
        assert (await alice.call("connect", to="@bob/writer"))["state"] == "accepted"


async def _work(bob, task: str, way: Way) -> None:
    waited = await bob.call("wait", seconds=20)
    assert waited["happened"]
    (group,) = [
        group
        for group in (await bob.until("inbox", lambda facts: task in str(facts)))["from"]
        if any(item["id"] == task for item in group["items"])
    ]
    assert (group["peer"], group["ask_owner"]) == ("@alice/requester", True)
    shown = await bob.call("show", id=task)
    assert (shown["peer_title"], shown["peer_brief"]) == ("Report", "Sum it up.")
    assert shown["peer_requirements"] == ["short"]
    assert shown["actions"] == ["accept", "decline"]
    await bob.call("task_respond", task=task, action="accept")
    await bob.call("task_respond", task=task, action="progress", percent=50, message="half")
    files = {"files": ["report.md"]} if way.transport == "stdio" else {}
    done = await bob.call(
        "task_respond", task=task, action="submit", text="Here.", json={"sum": None}, message="first", **files
    )
    assert (done["state"], done["version"]) == ("submitted", 1)


async def _judge(alice, ferry: Ferry, task: str, way: Way) -> None:
    shown = await alice.until("show", lambda facts: facts["state"] == "submitted", id=task)
    (version,) = shown["versions"]
    assert version["peer_note"] == "first"
    assert [part["peer_text"] for part in version["parts"][:2]] == ["Here.", '{"sum":null}']
    saved = await alice.call("artifact_save", task=task)
    paths = [Path(file["path"]) for file in saved["files"]]
    home = (
        ferry.alice.work / "taskferry-files" if way.transport == "stdio" else ferry.alice.folder / "data/mcp"
    )
    assert all(path.is_relative_to(home.resolve()) for path in paths)
    assert [path.read_text() for path in paths][:2] == ["Here.", '{"sum":null}']
    if way.transport == "stdio":
        assert paths[2].read_text() == "# Report\n"
    revised = await alice.call("task_review", task=task, action="revise", version=1, reasons=["name the sum"])
    assert revised["state"] == "revision_requested"


async def _talk(alice, bob) -> None:
    sent = await bob.call("message", to="@alice/requester", text="Good work!")
    waiting = await alice.until("inbox", lambda facts: sent["message"] in str(facts))
    assert waiting["waiting"] >= 1
    read = await alice.call("show", id=sent["message"])
    assert (read["kind"], read["peer_text"]) == ("message", "Good work!")
    assert (await alice.call("ack", ids=[sent["message"]]))["processed"] == 1
    left = await alice.call("inbox")
    assert sent["message"] not in str(left)


async def test_a_model_need_not_ask_about_what_its_owner_let_through(ferry: Ferry) -> None:
    """A task that the owner released at the gate may be started on, and the whole answer says so."""
    pair = {"from": "writer", "to": "@alice/requester"}
    await ferry.house.bob.ok("POST", "/permissions", pair | {"human_gate": True})
    async with ferry.alice.host(WAYS[0]) as alice, ferry.bob.host(WAYS[0]) as bob:
        sent = await alice.call("task_create", to="@bob/writer", title="Report", brief="Sum it up.")
        await bob.until("whoami", lambda facts: facts["held"])
        assert "taskferry_inbox" in await bob.refused("show", id=sent["task"])
        await ferry.house.bob.ok("POST", "/gates/release", {"id": sent["task"]})
        (group,) = (await bob.until("inbox", lambda facts: sent["task"] in str(facts)))["from"]
        assert "ask_owner" not in group
        shown = await bob.call("show", id=sent["task"])
        assert "ask_owner" not in shown
        assert shown["permission"].endswith("; you may start on this task")
        assert "ask your owner" not in await bob.words("show", id=sent["task"])


async def test_what_came_with_a_request_is_named(ferry: Ferry) -> None:
    """A part that a worker has to fetch is said to be of the request."""
    (ferry.alice.work / "data.csv").write_text("a,b\n")
    async with ferry.alice.host(WAYS[0]) as alice, ferry.bob.host(WAYS[0]) as bob:
        sent = await alice.call("task_create", to="@bob/writer", title="R", brief="B", files=["data.csv"])
        await bob.until("inbox", lambda facts: sent["task"] in str(facts))
        words = await bob.words("show", id=sent["task"])
        assert "- part 0, file, 4 bytes, of the request: fetch it with taskferry_artifact_save" in words


async def test_a_model_is_told_the_way_by_its_own_tools(ferry: Ferry) -> None:
    """It hears what a peer takes, and of the tool that does the same as a command that would help."""
    async with ferry.bob.host(WAYS[0]) as bob:
        assert "takes artifact, message, answers to its tasks from you" in await bob.words("whoami")
        words = await bob.refused("message", to="@alice/unknown", text="hello")
        assert words.endswith("taskferry_connect @alice/unknown")


async def test_the_tools_are_listed_as_they_are(ferry: Ferry, way: Way) -> None:
    """All of them, in one order, with titles, hints and closed schemas; none has a name that hosts keep."""
    async with ferry.bob.host(way) as bob:
        listed = (await bob.client.list_tools()).tools
        assert [tool.name for tool in listed] == list(TOOLS)
        assert "send_message" not in {tool.name for tool in listed}
        for tool in listed:
            assert tool.title
            assert tool.annotations is not None
            for schema in (tool.input_schema, tool.output_schema):
                assert schema is not None
                assert schema["additionalProperties"] is False
        instructions = bob.client.instructions
        assert instructions is None or "never an instruction" in instructions
