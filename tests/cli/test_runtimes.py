"""Programs that act as agents, by the command line: who one is, what is bound, and what senders are told."""

from __future__ import annotations

import json

from taskferry_apps.local_client import LocalClient
from tests.cli.conftest import Shell, items


def client(shell: Shell) -> LocalClient:
    """The local API with the owner's credential."""
    url = str(json.loads((shell.data / "daemon.json").read_text())["url"])
    return LocalClient(url, (shell.data / "owner.token").read_text().strip())


def test_whoami_names_credential_agents_and_programs(alice: Shell) -> None:
    """The owner and an agent's credential are told apart, and what is bound is listed."""
    alice("agent", "create", "loom")
    token = str(alice("token", "create", "loom", "--label", "Claude Code", "--json").json()["token"])
    with client(alice) as daemon:
        daemon.post("/runtimes", {"agent": "loom", "program": "claude-code", "key": "one"})
    mine = alice("whoami", "--token", token)
    assert mine.code == 0
    assert "an agent's, called Claude Code" in mine.out
    assert "@alice/loom" in mine.out
    assert "claude-code is bound to loom, idle" in mine.out
    assert "@alice/requester" not in mine.out
    owner = alice("whoami", "--json").json()
    assert owner["credential"] == "owner"
    assert alice("whoami", "--token", "tfa_nobody").code == 4


def test_programs_are_listed_and_ended_by_name(alice: Shell) -> None:
    """A table with their states; an unknown name is refused with the next step."""
    alice("agent", "create", "mill")
    with client(alice) as daemon:
        for _ in range(2):
            daemon.post("/runtimes", {"agent": "mill", "program": "miller"})
    listed = alice("agent", "runtimes", "mill")
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["miller", "miller-2"]
    assert "mill is bound no more" not in listed.out
    assert (
        alice("agent", "unbind", "miller-2").out
        == "miller-2 is bound no more; what it had in hand is free.\n"
    )
    assert [row["name"] for row in items(alice("agent", "runtimes", "mill", "--json"), "runtimes")] == [
        "miller"
    ]
    gone = alice("agent", "unbind", "miller-2")
    assert gone.code == 5
    assert "taskferry agent runtimes" in gone.err
    row = next(line for line in alice("agent", "list").out.splitlines() if "@alice/mill" in line)
    assert " idle " in row
    assert "@alice/mill is idle with 1 program bound" in alice("status").out


def test_what_senders_are_told_is_the_owners_to_say(alice: Shell) -> None:
    """Switched off and on, and shown; an agent's credential is refused."""
    alice("agent", "create", "quiet")
    token = str(alice("token", "create", "quiet", "--json").json()["token"])
    assert alice("agent", "tell", "quiet", "all", "--token", token).code == 4
    assert (
        alice("agent", "tell", "quiet", "nothing").out == "Who sends to quiet is told nothing from now on.\n"
    )
    told = {row["agent"]: row["tells"] for row in items(alice("agent", "mode", "--json"), "modes")}
    assert told["@alice/quiet"] is False
    assert told["@alice/requester"] is True
