"""How tasks and requests for connections end otherwise than well, by the command line."""

from __future__ import annotations

from tests.cli.conftest import Shell, request_of, until


def sent(alice: Shell, bob: Shell, title: str) -> str:
    """A task that Bob's daemon has."""
    ran = alice("task", "send", "leaver", "@bob/helper", title, "--json")
    assert ran.code == 0, ran.err
    task = str(ran.json()["task_id"])
    until(lambda: bob("task", "show", task), lambda shown: shown.code == 0)
    return task


def test_decline_ends_a_task_with_the_reason(connected: tuple[Shell, Shell]) -> None:
    """The worker's reason stands at the requester's; nothing more can be done."""
    alice, bob = connected
    task = sent(alice, bob, "Not for us")
    there = until(lambda: alice("task", "show", task), lambda ran: "On @bob's machine since" in ran.out)
    assert "no agent has looked at it yet" in " ".join(there.out.split())
    done = bob("task", "decline", task, "We do other things")
    assert done.code == 0, done.err
    assert "Declined. The task is declined" in done.out
    shown = until(lambda: alice("task", "show", task), lambda ran: "declined" in ran.out)
    assert "We do other things" in shown.out
    assert "answered by the other side" in shown.out
    late = bob("task", "accept", task)
    assert late.code == 4
    assert "The task has ended: it is declined" in late.err


def test_fail_says_why_a_task_that_was_accepted_ends(connected: tuple[Shell, Shell]) -> None:
    """Before it is accepted a task is declined, not failed; afterwards it fails with the reason."""
    alice, bob = connected
    task = sent(alice, bob, "Too hard")
    assert bob("task", "fail", task, "Cannot").code == 4
    assert bob("task", "accept", task, "--note", "On it").code == 0
    accepted = until(lambda: alice("task", "show", task), lambda ran: "accepted" in ran.out)
    assert "answered by the other side" in accepted.out
    failed = bob("task", "fail", task, "The disk broke")
    assert "Failed. The task is failed" in failed.out
    shown = until(lambda: alice("task", "show", task), lambda ran: "failed" in ran.out)
    assert "The disk broke" in shown.out


def test_cancel_ends_a_task_on_both_sides(connected: tuple[Shell, Shell]) -> None:
    """The requester alone cancels; the worker sees it, and works no more."""
    alice, bob = connected
    task = sent(alice, bob, "No longer needed")
    assert bob("task", "cancel", task, "I do not feel like it").code == 4
    done = alice("task", "cancel", task, "Found it myself")
    assert "Cancelled. The task is cancelled" in done.out
    shown = until(lambda: bob("task", "show", task), lambda ran: "cancelled" in ran.out)
    assert "Found it myself" in shown.out
    assert bob("task", "accept", task).code == 4


def test_a_declined_connection_lets_nothing_through(alice: Shell, bob: Shell) -> None:
    """The owner's no reaches the other side: a task is refused, and so is asking again at once."""
    assert alice("agent", "create", "hopeful").code == 0
    assert alice("connect", "hopeful", "@bob/writer").code == 0
    request = request_of(bob, "@alice/hopeful")
    declined = bob("decline", request, "--reason", "Not now")
    assert declined.code == 0, declined.err
    assert "Declined." in declined.out
    until(
        lambda: alice("connections", "--agent", "hopeful", "--state", "ended", "--json"),
        lambda ran: bool(ran.json()["connections"]),
    )
    refused = alice("task", "send", "hopeful", "@bob/writer", "Please")
    assert refused.code == 4, refused.err
    assert bob("decline", request).code in (4, 5)
    again = alice("connect", "hopeful", "@bob/writer")
    assert again.code == 4
    assert "has declined, and takes no further request for 7 days" in again.err


def test_no_version_is_judged_that_came_while_another_was_looked_at(connected: tuple[Shell, Shell]) -> None:
    """Whoever names the version that they have seen is told of a newer one, and nothing is sent."""
    alice, bob = connected
    task = sent(alice, bob, "Two drafts")
    assert bob("task", "accept", task).code == 0
    for text in ("The first", "The second"):
        submitted = bob("task", "submit", task, "--text", text)
        assert submitted.code == 0, submitted.err
    until(lambda: alice("task", "show", task, "--json"), lambda ran: "The second" in ran.out)
    for words in (("complete", task), ("revise", task, "Shorter")):
        late = alice("task", *words, "--version", "1")
        assert late.code == 4
        assert "There is a newer version of the work than that one" in late.err
    assert "There is no such version" in alice("task", "complete", task, "--version", "7").err
    assert alice("task", "show", task, "--json").json()["state"] == "resubmitted"
    done = alice("task", "complete", task, "--version", "2")
    assert done.code == 0, done.err
