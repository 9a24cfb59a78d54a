"""Two owners from a connection to a verified handoff, by the command line alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Ran, Shell

PATIENCE_S = 20


def until(run: Callable[[], Ran], holds: Callable[[Ran], bool]) -> Ran:
    """Run a command again until its outcome is as awaited."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds(ran := run()):
        assert time.monotonic() < deadline, ran
    return ran


def items(ran: Ran, key: str) -> list[dict[str, object]]:
    """The objects in a list of a JSON answer."""
    found = ran.json()[key]
    assert isinstance(found, list)
    return found


def test_a_task_from_connection_to_proof(alice: Shell, bob: Shell) -> None:
    """Ask, approve, send, accept, submit, revise, submit, complete, export, verify; each says what it did."""
    refused = alice("task", "send", "requester", "@bob/writer", "Too early")
    assert refused.code != 0
    assert "taskferry connect" in refused.err

    asked = alice("connect", "requester", "@bob/writer", "--note", "Reports\x1b[31m, please")
    assert asked.code == 0, asked.err
    assert "Asked @bob/writer" in asked.out
    assert "Asked before" in alice("connect", "requester", "@bob/writer").out
    undecided = alice("task", "send", "requester", "@bob/writer", "Still too early")
    assert undecided.code == 4
    assert "@bob/writer has not accepted the request for a connection yet" in undecided.err
    shown = until(lambda: bob("connections"), lambda ran: "requested_in" in ran.out)
    assert "\x1b[31m" not in shown.out
    assert "taskferry approve" in shown.out
    request = items(bob("connections", "--state", "requested_in", "--json"), "connections")[0]
    approved = bob("approve", str(request["id"])[:10])
    assert approved.code == 0
    assert "taskferry approvals" in approved.out
    until(
        lambda: alice("connections", "--state", "accepted", "--json"),
        lambda ran: bool(ran.json()["connections"]),
    )

    again = alice("connect", "requester", "@bob/writer")
    assert "connected with @bob/writer already" in again.out
    assert "decides" not in again.out

    (alice.folder / "notes.md").write_text("# Notes\n\nSome words.\n")
    sent = alice(
        "task", "send", "requester", "@bob/writer", "Report on notes", "--file", "notes.md",
        "--require", "A summary", "--deadline", "2h", "--brief", "-", "--json", stdin="An outline.",
    )  # fmt: skip
    assert sent.code == 0, sent.err
    task = str(sent.json()["task_id"])

    _the_owner_looks_first(bob, task)
    until(lambda: bob("inbox", "--agent", "writer", "--wait", "5"), lambda ran: "Report on notes" in ran.out)
    early = bob("task", "submit", task, "--text", "too early")
    assert early.code == 4
    assert "accept, decline" in early.err
    assert bob("task", "accept", task).code == 0
    twice = bob("task", "accept", task)
    assert twice.code == 4
    assert "The task is accepted; that cannot be done with it now. Possible now: progress," in twice.err
    assert bob("task", "progress", task, "Halfway", "--percent", "50").code == 0
    assert bob("task", "submit", task, "notes.md", "--note", "Draft").code == 0

    until(lambda: alice("task", "show", task), lambda ran: "submitted" in ran.out)
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
    assert "@alice/requester" in waiting.out
    inbox = bob("inbox", "--agent", "writer")
    assert "Report on notes" not in inbox.out
    assert "Waiting for the owner: 1 from @alice/requester" in inbox.out
    program = str(bob("token", "create", "writer", "--json").json()["token"])
    assert bob("task", "show", task, "--token", program).code == 5
    assert bob("approvals", "approve", task[:8], "--token", program).code == 4
    shown = bob("approvals", "show", task[:8])
    assert "  | An outline." in shown.out
    assert "notes.md" in shown.out
    assert bob("approvals", "approve", task[:8]).code == 0
    assert bob("task", "show", task, "--token", program).code == 0
    assert "Nothing waits for you" in bob("approvals").out


def _tampered_handoff_does_not_verify(shell: Shell, handoff: Path) -> None:
    raw = bytearray(handoff.read_bytes())
    raw[len(raw) // 2] ^= 1
    handoff.with_name("tampered.cbor").write_bytes(raw)
    ran = shell("verify", "tampered.cbor")
    assert ran.code == 6
    assert "does not hold" in ran.err
    assert shell("verify", "tampered.cbor", "--json").json()["ok"] is False


def test_everyday_commands_answer(alice: Shell, bob: Shell) -> None:
    """Status, doctor, agents, credentials, messages, quarantine and permissions show what is there."""
    assert "connected by" in alice("status").out
    assert alice("doctor").code == 0
    assert "@bob/writer" in bob("agent", "list").out
    made = bob("token", "create", "writer", "--label", "a program", "--json")
    assert str(made.json()["token"]) not in bob("token", "list", "--json").out
    assert "a program" in bob("token", "list").out
    assert "Nothing is in quarantine" in alice("quarantine").out
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
