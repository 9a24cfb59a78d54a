"""What owners decide by the command line: permissions in words, rules, modes, answers, declining."""

from __future__ import annotations

import json

import pytest

from taskferry_apps.local_client import LocalClient
from tests.cli.conftest import Shell, items, request_of, until

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def second(alice: Shell, bob: Shell) -> str:
    """The id of a connection between alice's agent `second` and bob's `writer`."""
    assert alice("agent", "create", "second").code == 0
    connection = request_of_second(alice, bob)
    assert bob("approvals", "approve", connection[:8]).out.startswith("Accepted.")
    until(
        lambda: alice("connections", "--agent", "second", "--state", "accepted", "--json"),
        lambda ran: bool(ran.json()["connections"]),
    )
    return connection


def request_of_second(alice: Shell, bob: Shell) -> str:
    """The id of a fresh request, as bob sees it."""
    assert alice("connect", "second", "@bob/writer", "--note", "hello").code == 0
    return request_of(bob, "@alice/second")


def test_permissions_are_shown_and_set_in_words(alice: Shell, bob: Shell, second: str) -> None:
    """Both directions in sentences; what is changed is signed and shown as changed, at both ends."""
    shown = bob("permissions", "show", second[:8]).out
    assert "@alice/second may send messages, tasks and artifacts to @bob/writer" in shown
    assert "At most 60 envelopes a minute" in shown
    assert "Each task waits for you first" in shown
    changed = bob(
        "permissions", "set", second[:8], "--rate", "7", "--no-gate", "--classes", "message,task",
        "--until", "3d",
    )  # fmt: skip
    assert "a minute, of 256 KiB each; this ends in 3 d." in " ".join(changed.out.split())
    assert "Tasks go straight to @bob/writer (no human gate)" in changed.out
    until(
        lambda: alice("permissions", "show", second[:8]),
        lambda ran: "At most 7 envelopes a minute" in ran.out,
    )
    assert bob("permissions", "set", second[:8]).code == 2
    assert bob("permissions", "set", second[:8], "--classes", "gossip").code == 2


def test_an_agents_question_is_shown_as_its_words_and_answered(bob: Shell) -> None:
    """Text that imitates an answer, or acts on a terminal, stays behind the bar and harmless."""
    token = str(bob("token", "create", "writer", "--json").json()["token"])
    url = str(json.loads((bob.data / "daemon.json").read_text())["url"])
    with LocalClient(url, token) as agent:
        what = "ls\x1b[2J\nid 3f9c01ab\nAllowed."
        asked = agent.post("/approvals", {"from": "writer", "class": "shell", "what": what, "why": "to look"})
    question = asked["approval"]
    assert isinstance(question, dict)
    approval = str(question["id"])
    shown = bob("approvals", "show", approval[:8])
    assert "\x1b" not in shown.out
    assert "  | Allowed." in shown.out
    assert shown.out.splitlines()[-1] == f"id {approval}"
    assert "may I: shell" in bob("approvals", "list").out
    assert bob("approvals", "approve", approval, "--for-task").code == 2
    assert bob("approvals", "deny", approval[:8], "--reason", "No").out == "Forbidden.\n"
    assert bob("approvals", "deny", approval[:8]).code == 5


def test_rules_and_modes(bob: Shell, second: str) -> None:
    """A rule for an owner who is not verified says that it waits; modes and policies are shown as set."""
    made = bob(
        "rules", "add", "--accept", "@alice/*", "--tasks-per-day", "3", "--until", "30d", "--rate", "5"
    )
    assert made.code == 0, made.err
    assert "At most 5 envelopes a minute" in made.out
    assert "3 tasks in any 24 hours" in made.out
    assert "waits for its owner to be verified" in made.out
    rule = str(items(bob("rules", "list", "--json"), "rules")[0]["id"])
    other = bob("rules", "add", "--accept", "@alice/second", "--json").json()["rule"]
    assert isinstance(other, dict)
    listed = bob("rules", "list").out
    assert ("0 of 3" in listed, "0 of 0" in listed) == (True, False)
    assert bob("rules", "remove", str(other["id"])).code == 0
    assert bob("rules", "add", "--accept", "@nobody-here/*").code == 5
    assert bob("rules", "add", "--accept", "*").code == 2
    assert bob("rules", "remove", rule[:8]).code == 0
    assert "No rules" in bob("rules", "list").out
    assert "guarded" in bob("agent", "mode", "writer", "guarded").out
    assert bob("agent", "policy", "writer", "shell", "never").code == 0
    shown = bob("agent", "mode").out
    assert "guarded" in shown
    assert "shell" in shown
    assert bob("agent", "mode", "writer", "open").code == 0
    assert bob("agent", "policy", "writer", "shell", "ask").code == 0
    assert bob("agent", "mode", "writer", "wild").code == 2
    assert bob("agent", "mode", "writer").code == 2


def test_who_was_blocked_is_unblocked_and_who_was_declined_waits(
    alice: Shell, bob: Shell, second: str
) -> None:
    """Each is said at the terminal, and shown in the list of both sides."""
    assert bob("block", second[:8]).code == 0
    assert "ended (blocked)" in bob("connections", "--state", "ended").out
    assert bob("unblock", second[:8]).code == 0
    assert bob("unblock", second[:8]).code == 4
    until(lambda: alice("connections"), lambda ran: "ended (blocked)" in ran.out)
    request = request_of_second(alice, bob)
    assert bob("decline", request, "--block", "--again", "2h").code == 2
    assert bob("decline", request, "--again", "2h").code == 0
    assert "again in 2 h" in bob("connections", "--state", "ended").out
    until(lambda: alice("connections"), lambda ran: "again in 2 h" in ran.out)
    early = alice("connect", "second", "@bob/writer")
    assert early.code == 4
    assert "takes no further request" in early.err
