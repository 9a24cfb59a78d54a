"""`taskferry agent edit`: what others read of an agent."""

from __future__ import annotations

from .conftest import Shell, items, until


def test_a_card_is_changed_and_shown_at_the_other_end(connected: tuple[Shell, Shell]) -> None:
    """What is named changes and is shown to its owner at once, and to whom the agent is connected with."""
    alice, bob = connected
    ran = bob("agent", "edit", "helper", "--tagline", "Helps\x1b[2J out", "--capability", "help")
    assert ran.code == 0, ran.err
    assert "version 2" in ran.out
    (here,) = [item for item in items(bob("agent", "list", "--json"), "agents") if item["name"] == "helper"]
    assert (here["display_name"], here["capabilities"], here["version"]) == ("helper", ["help"], 2)

    def at_the_other_end() -> str:
        known = items(alice("connections", "--state", "accepted", "--json"), "connections")
        return next(str(item["id"]) for item in known if item["peer"] == "@bob/helper")

    shown = until(
        lambda: alice("permissions", "show", at_the_other_end()), lambda ran: "says of" in ran.out
    ).out
    assert "Helps" in shown
    assert "\x1b" not in shown


def test_an_edit_needs_something_to_change_and_an_agent(bob: Shell) -> None:
    """Creating the same name with other words is refused, and names the command that changes them."""
    assert bob("agent", "edit", "writer").code == 2
    refused = bob("agent", "edit", "nobody", "--tagline", "x")
    assert (refused.code, "agent list" in refused.err) == (5, True)
    assert bob("agent", "edit", "@alice/writer", "--tagline", "x").code == 2
    assert bob("agent", "edit", "@bob/writer", "--description", "x").code == 0
    refused = bob("agent", "create", "writer", "--tagline", "other")
    assert "taskferry agent edit writer" in refused.err
    assert refused.code != 0


def test_a_withdrawn_agent_and_its_credentials_are_gone(alice: Shell) -> None:
    """The owner is asked first; the program that held the credential is refused; another owner's stays."""
    assert alice("agent", "create", "passing").code == 0
    secret = str(alice("token", "create", "passing", "--json").json()["token"])
    assert alice("whoami", "--token", secret).code == 0
    assert alice("agent", "withdraw", "@bob/passing", "--yes").code == 2
    assert alice("agent", "withdraw", "passing", stdin="n\n").code != 0
    assert "@alice/passing" in alice("agent", "list").out
    ran = alice("agent", "withdraw", "passing", "--yes")
    assert ran.code == 0, ran.err
    assert "passing is withdrawn. Ended: 0 connections and requests, and all its credentials." in ran.out
    assert "@alice/passing" not in alice("agent", "list").out
    assert alice("whoami", "--token", secret).code != 0
    assert alice("agent", "withdraw", "passing", "--yes").code == 5


def test_a_former_agent_is_told_apart_from_the_next_one(alice: Shell) -> None:
    """In words, beside what the next one has; and what was its can be listed alone."""
    assert alice("agent", "create", "fleeting").code == 0
    asked = alice("connect", "fleeting", "@bob/writer")
    assert asked.code == 0, asked.err
    assert alice("agent", "withdraw", "fleeting", "--yes").code == 0
    assert alice("agent", "create", "fleeting").code == 0
    assert "@alice/fleeting (former agent 1)" in alice("message", "list").out
    listed = alice("message", "list", "--agent", "fleeting~1", "--json").json()["messages"]
    assert isinstance(listed, list)
    assert {message["from"] for message in listed} == {"@alice/fleeting~1"}
    shown = alice("message", "show", str(listed[0]["id"]))
    assert "@alice/fleeting (former agent 1)" in shown.out, shown.err
    assert alice("message", "list", "--agent", "fleeting").out.startswith("No messages")
    assert alice("task", "list", "--agent", "fleeting~1").code == 0
