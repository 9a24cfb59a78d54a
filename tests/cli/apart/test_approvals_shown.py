"""What an owner reads before deciding: all of a task, and nothing that passes for TaskFerry's own words."""

from __future__ import annotations

import json

import pytest

from taskferry_apps.local_client import ApiError, LocalClient
from tests.cli.conftest import Shell, items, request_of, until
from tests.cli.test_narrow_terminal import COLUMNS, on_terminal

pytestmark = pytest.mark.journey

#: What alice would like bob to take for TaskFerry's own words.
IMITATION = (
    "\x1b[2J\nApprove it, and writer reads exactly this\n\nid " + "0" * 64 + " " * 90 + "sender  verified"
)


@pytest.fixture(scope="module")
def gated(alice: Shell, bob: Shell) -> None:
    """Alice's requester and bob's writer, connected as `approve` does it: each task waits."""
    assert alice("connect", "requester", "@bob/writer").code == 0
    assert bob("approve", request_of(bob, "@alice/requester")[:8]).code == 0
    until(
        lambda: alice("connections", "--state", "accepted", "--json"),
        lambda ran: bool(ran.json()["connections"]),
    )


def waiting(bob: Shell, title: str) -> str:
    """The id of a task that waits for bob."""

    def those(ran) -> list[dict[str, object]]:
        return [item for item in items(ran, "waiting") if item.get("title") == title]

    return str(those(until(lambda: bob("approvals", "--json"), lambda ran: bool(those(ran))))[0]["task_id"])


@pytest.mark.usefixtures("gated")
def test_what_waits_is_found_from_where_its_owner_looks(alice: Shell, bob: Shell) -> None:
    """The status counts it, and `approve`, which is for connections, names the command for a task."""
    assert alice("task", "send", "requester", "@bob/writer", "A task to be found").code == 0
    task = waiting(bob, "A task to be found")
    assert "! Waiting for you: " in bob("status").out
    refused = bob("approve", task[:8])
    assert refused.code == 5
    assert f"taskferry approvals approve {task[:8]}" in refused.err
    assert bob("approvals", "deny", task[:8]).code == 0
    assert "it may have been decided" in bob("approvals", "approve", task[:8]).err


@pytest.mark.usefixtures("gated")
def test_a_task_that_waits_is_shown_whole(alice: Shell, bob: Shell) -> None:
    """Text, limits, files with their hashes, sender and permission; the file can be looked at first."""
    (alice.folder / "notes.md").write_text("# Notes\n")
    brief = "Read the notes.\n" + "And more of it. " * 40 + "The last words of the brief."
    sent = alice(
        "task", "send", "requester", "@bob/writer", "Report on notes", "--file", "notes.md", "--brief", brief,
        "--require", "A summary", "--deadline", "2h", "--revisions", "2",
    )  # fmt: skip
    assert sent.code == 0, sent.err
    task = waiting(bob, "Report on notes")
    shown = " ".join(bob("approvals", "show", task[:8]).out.replace("  | ", "").split())
    for words in (
        "A task from @alice/requester for @bob/writer",
        "sender unverified: the relay said so at first contact",
        "deadline in 2 h",
        "revisions at most 2",
        "@alice/requester may send messages, tasks and artifacts to @bob/writer",
        "Title Report on notes",
        "And more of it. And more of it.",
        "The last words of the brief.",
        "Requirement 1 of 1 A summary",
        "Attached 1 of 1: file, 8 bytes",
        "text/markdown",
        f"id {task}",
    ):
        assert words in shown, words
    listed = bob("approvals", "--json").out
    assert "And more of it" not in listed
    assert bob("approvals", "save", task[:8], "1", "-o", "looked-at.md").code == 0
    assert (bob.folder / "looked-at.md").read_text() == "# Notes\n"
    assert bob("approvals", "save", task[:8], "2", "-o", "none.md").code == 5
    narrow = on_terminal(bob, "approvals", "show", task[:8])
    assert max(len(line) for line in narrow if line.startswith("  |")) < COLUMNS
    assert bob("approvals", "approve", task[:8]).code == 0
    assert bob("approvals", "approve", task[:8]).code == 5


@pytest.mark.usefixtures("gated")
def test_a_text_that_imitates_the_page_stays_behind_its_bar(alice: Shell, bob: Shell) -> None:
    """Whatever a peer writes as title, brief, requirement or file name: the frame is TaskFerry's alone."""
    (alice.folder / "id 3f9c01ab, verified by you").write_text("x")
    honest = alice("task", "send", "requester", "@bob/writer", "Honest", "--require", "x", "--brief", "x")
    assert honest.code == 0
    sent = alice(
        "task", "send", "requester", "@bob/writer", "Approve it", "--brief", "-", "--require", IMITATION,
        "--file", "id 3f9c01ab, verified by you", stdin=IMITATION,
    )  # fmt: skip
    assert sent.code == 0, sent.err
    shown = bob("approvals", "show", waiting(bob, "Approve it")[:8]).out
    frame = bob("approvals", "show", waiting(bob, "Honest")[:8]).out
    assert "\x1b" not in shown
    ours = [line for line in shown.splitlines() if not line.startswith("  |")]
    plain = {line for line in frame.splitlines() if not line.startswith("  |")}
    more = [line for line in ours if line not in plain and line.split(" ")[0] not in {"sent", "arrived"}]
    assert [line.split(" ")[0] for line in more if not line.startswith(" ")] == ["Brief,", "Attached", "id"]
    assert sum("cannot be seen; agents read them" in line for line in more) == 2
    assert not any("verified" in line for line in more)
    assert ours[-1] == f"id {waiting(bob, 'Approve it')}"


@pytest.mark.usefixtures("gated")
def test_a_task_that_a_guarded_agent_would_send_is_shown_whole(alice: Shell, bob: Shell) -> None:
    """To whom, every word, and the file that would leave this machine; long texts say what is cut."""
    assert alice("agent", "mode", "requester", "guarded").code == 0
    token = str(alice("token", "create", "requester", "--json").json()["token"])
    url = str(json.loads((alice.data / "daemon.json").read_text())["url"])
    task = {
        "from": "requester",
        "to": "@bob/writer",
        "title": "Hand on",
        "description": "line\n" * 1_000 + "the end of it",
        "files": [{"name": "keys.txt", "data_base64": "c2VjcmV0"}],
    }
    with LocalClient(url, token) as agent, pytest.raises(ApiError) as refused:
        agent.post("/tasks", task)
    assert refused.value.code == "approval-needed"
    (question,) = items(alice("approvals", "--json"), "waiting")
    approval = str(question["id"])
    listed = alice("approvals", "list").out
    assert "Send @bob/writer the task: Hand on" in listed
    shown = alice("approvals", "show", approval[:8]).out
    assert "Your agent @alice/requester wants to send @bob/writer a task" in shown
    assert "Attached 1 of 1: file, 6 bytes" in shown
    assert "the end of it" not in shown
    assert f"more characters. All of it:\n  taskferry approvals show {approval[:8]} --full" in shown
    assert "  | the end of it" in alice("approvals", "show", approval[:8], "--full").out
    whole = alice("approvals", "show", approval[:8], "--json").json()["whole"]
    assert isinstance(whole, dict)
    assert str(whole["sha256"]) in shown
    assert str(whole["brief"]).endswith("the end of it")
    assert alice("approvals", "save", approval[:8], "-o", "leaves.txt").code == 0
    assert (alice.folder / "leaves.txt").read_text() == "secret"
    assert alice("approvals", "approve", approval[:8]).out == "Allowed.\n"
    with LocalClient(url, token) as agent:
        assert agent.post("/tasks", task)["ok"] is True
    assert alice("agent", "mode", "requester", "open").code == 0
