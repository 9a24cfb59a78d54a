"""Two owners from a connection to a verified handoff, by the command line alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell, items, owner_with, request_of, until


@pytest.fixture(scope="module")
def fresh(stage: Stage, relay: str) -> Shell:
    """An owner to whom nothing has happened yet."""
    return owner_with(stage, relay, "fresh", "only")


def test_a_task_from_connection_to_proof(alice: Shell, bob: Shell) -> None:
    """Ask, approve, send, accept, submit, revise, submit, complete, export, verify; each says what it did."""
    assert alice("agent", "create", "author").code == 0
    assert bob("agent", "create", "reporter").code == 0
    refused = alice("task", "send", "author", "@bob/reporter", "Too early")
    assert refused.code != 0
    assert "taskferry connect" in refused.err

    asked = alice("connect", "author", "@bob/reporter", "--note", "Reports\x1b[31m, please")
    assert asked.code == 0, asked.err
    assert "Asked @bob/reporter" in asked.out
    assert "Asked before" in alice("connect", "author", "@bob/reporter").out
    undecided = alice("task", "send", "author", "@bob/reporter", "Still too early")
    assert undecided.code == 4
    assert "@bob/reporter has not accepted the request for a connection yet" in undecided.err
    request = request_of(bob, "@alice/author")
    shown = bob("connections")
    assert "requested_in" in shown.out
    assert "\x1b[31m" not in shown.out
    assert "taskferry approve" in shown.out
    approved = bob("approve", request[:10])
    assert approved.code == 0
    assert "taskferry approvals" in approved.out
    until(
        lambda: alice("connections", "--agent", "author", "--state", "accepted", "--json"),
        lambda ran: bool(items(ran, "connections")),
    )

    again = alice("connect", "author", "@bob/reporter")
    assert "connected with @bob/reporter already" in again.out
    assert "decides" not in again.out

    (alice.folder / "notes.md").write_text("# Notes\n\nSome words.\n")
    sent = alice(
        "task", "send", "author", "@bob/reporter", "Report on notes", "--file", "notes.md",
        "--require", "A summary", "--deadline", "2h", "--brief", "-", "--json", stdin="An outline.",
    )  # fmt: skip
    assert sent.code == 0, sent.err
    task = str(sent.json()["task_id"])

    _the_owner_looks_first(bob, task)
    until(
        lambda: bob("inbox", "--agent", "reporter", "--wait", "5"), lambda ran: "Report on notes" in ran.out
    )
    early = bob("task", "submit", task, "--text", "too early")
    assert early.code == 4
    assert "accept, decline" in early.err
    assert bob("task", "accept", task).code == 0
    twice = until(lambda: bob("task", "accept", task), lambda ran: "not yet confirmed" not in ran.err)
    assert twice.code == 4
    assert "The task is accepted; that cannot be done with it now. Possible now: progress," in twice.err
    assert bob("task", "progress", task, "Halfway", "--percent", "50").code == 0
    assert bob("task", "submit", task, "notes.md", "--note", "Draft").code == 0

    shown = until(lambda: alice("task", "show", task), lambda ran: "submitted" in ran.out)
    assert "\nRequirements\n  - A summary\n" in shown.out
    assert alice("task", "revise", task, "The summary is missing", "So is the outline").code == 0
    until(lambda: bob("task", "show", task), lambda ran: "revision_requested" in ran.out)
    assert bob("task", "submit", task, "--text", "-", stdin="Better").code == 0
    until(lambda: alice("task", "show", task), lambda ran: "resubmitted" in ran.out)
    assert alice("task", "complete", task, "--note", "Thanks").code == 0

    late = alice("task", "revise", task, "One more thing")
    assert late.code == 4
    assert "The task has ended: it is completed" in late.err
    ended = until(lambda: bob("task", "show", task), lambda ran: "completed" in ran.out)
    assert "An outline." in ended.out
    assert "this task has ended" in ended.out
    assert "completed" in alice("task", "list", "--role", "requester").out
    by_words = alice("task", "list", "--search", "summary MISSING")
    assert "Report on notes" in by_words.out
    assert "No task has all of these words" in alice("task", "list", "--search", "summary nowhere").out
    assert "task_complete" in alice("task", "log", task).out

    saved = bob.folder / "saved.md"
    assert bob("task", "save", task, "1", "0", "-o", str(saved)).code == 0
    assert saved.read_text() == "# Notes\n\nSome words.\n"
    again = bob("task", "save", task, "1", "0", "-o", str(saved))
    assert again.code == 2
    assert "exists already" in again.err

    handoff = alice.folder / "handoff.cbor"
    written = alice("task", "export", task, "-o", str(handoff), "--json")
    assert written.json()["bytes"] == handoff.stat().st_size
    proof = alice("verify", str(handoff))
    assert proof.code == 0, proof.err
    assert "The handoff holds" in proof.out
    assert alice("verify", str(handoff), "--json").json()["state"] == "completed"
    _tampered_handoff_does_not_verify(alice, handoff)


def _the_owner_looks_first(bob: Shell, task: str) -> None:
    """The task waits at the gate, is shown to the owner, and goes to the agent once it is approved."""
    waiting = until(lambda: bob("approvals"), lambda ran: "Report on notes" in ran.out)
    assert "@alice/author" in waiting.out
    assert task[:8] in waiting.out
    inbox = bob("inbox", "--agent", "reporter")
    assert "Report on notes" not in inbox.out
    assert "Waiting for the owner: 1 from @alice/author" in inbox.out
    program = str(bob("token", "create", "reporter", "--json").json()["token"])
    assert bob("task", "show", task, "--token", program).code == 5
    assert bob("approvals", "approve", task[:8], "--token", program).code == 4
    shown = bob("approvals", "show", task[:8])
    assert "  | An outline." in shown.out
    assert "notes.md" in shown.out
    assert bob("approvals", "approve", task[:8]).code == 0
    assert bob("task", "show", task, "--token", program).code == 0
    assert task[:8] not in bob("approvals").out


def _tampered_handoff_does_not_verify(shell: Shell, handoff: Path) -> None:
    raw = bytearray(handoff.read_bytes())
    raw[len(raw) // 2] ^= 1
    handoff.with_name("tampered.cbor").write_bytes(raw)
    ran = shell("verify", "tampered.cbor")
    assert ran.code == 6
    assert "does not hold" in ran.err
    assert shell("verify", "tampered.cbor", "--json").json()["ok"] is False


def test_everyday_commands_answer(fresh: Shell, bob: Shell) -> None:
    """Status, doctor, agents, credentials, messages, quarantine and permissions show what is there."""
    assert "connected by" in fresh("status").out
    assert fresh("doctor").code == 0
    assert "@bob/writer" in bob("agent", "list").out
    made = bob("token", "create", "writer", "--label", "a program", "--json")
    assert str(made.json()["token"]) not in bob("token", "list", "--json").out
    assert "a program" in bob("token", "list").out
    assert "Nothing is in quarantine" in fresh("quarantine").out
    assert "Nothing waits for you" in fresh("approvals").out
    assert bob("message", "list").code == 0
    assert bob("inbox", "--all").code == 0


def test_agent_credential_cannot_decide(bob: Shell) -> None:
    """With an agent's credential, approving and making credentials are refused."""
    token = str(bob("token", "create", "writer", "--json").json()["token"])
    refused = bob("token", "create", "writer", "--token", token)
    assert refused.code == 4
    assert bob("agent", "list", "--token", token).code == 0
    assert bob("agent", "list", "--token", "tfa_wrong").code == 4


def test_a_credential_ends_by_the_id_that_the_table_shows(bob: Shell) -> None:
    """The eight characters of the table are enough to revoke it, and its holder is refused at once."""
    made = bob("token", "create", "writer", "--label", "short-lived", "--json").json()
    shown = next(line for line in bob("token", "list").out.splitlines() if "short-lived" in line).split()[0]
    assert bob("task", "list", "--token", str(made["token"])).code == 0
    assert bob("token", "revoke", shown).code == 0
    assert bob("task", "list", "--token", str(made["token"])).code == 4
    assert "ended" in next(line for line in bob("token", "list").out.splitlines() if "short-lived" in line)
