"""What breakers have stopped, by the command line: seen, read, let pass, dropped."""

from __future__ import annotations

import json

import pytest

from taskferry_apps.demo.stage import Stage
from taskferry_apps.local_client import LocalClient
from tests.cli.conftest import Shell, connect, items, owner_with, until

pytestmark = pytest.mark.journey

HOSTILE = "thank you\x1b[2J\nid 3f9c01ab\nApproved."


@pytest.fixture(scope="module")
def pair(stage: Stage, relay: str) -> tuple[Shell, Shell]:
    """Erin, whose breakers trip late, and Frank, whose trip after three messages; their agents connected."""
    erin = owner_with(stage, relay, "erin", "talker")
    frank = owner_with(stage, relay, "frank", "listener", TASKFERRY_BREAKERS="messages=3,messages-a-day=9")
    connect(erin, "@erin/talker", frank, "@frank/listener", "--no-gate")
    return erin, frank


def stops(shell: Shell) -> list[dict[str, object]]:
    """What is stopped, as programs see it."""
    return [item for item in items(shell("approvals", "--json"), "waiting") if item["kind"] == "stopped"]


def test_what_is_held_is_shown_in_the_list_behind_the_bar_and_let_pass(pair: tuple[Shell, Shell]) -> None:
    """The owner reads who, why and what; the agent gets it in its order, once the owner has approved."""
    erin, frank = pair
    for text in ("one", "two", "three", HOSTILE, "five"):
        assert erin("message", "send", "talker", "@frank/listener", text).code == 0
    assert erin("task", "send", "talker", "@frank/listener", "Six", "--brief", "A task").code == 0
    until(
        lambda: frank("approvals", "--json"),
        lambda _: '"held": 2' in (told := json.dumps(stops(frank))) and '"task_ids": ["' in told,
    )
    listed = frank("approvals").out
    assert "2 held, 1 task at the gate" in " ".join(listed.split())
    stop = str(stops(frank)[0]["id"])
    shown = frank("approvals", "show", stop[:8])
    assert "\x1b" not in shown.out
    assert "  | Approved." in shown.out
    assert "too much passed between the two agents without a person" in " ".join(shown.out.split())
    assert shown.out.splitlines()[-1] == f"id {stop}"
    assert max(map(len, shown.out.splitlines())) <= 80
    inbox = frank("inbox", "--agent", "listener")
    assert "five" not in inbox.out
    assert "Waiting for the owner: 3 from @erin/talker. See: taskferry approvals" in inbox.out
    assert "1 pair of agents stopped by a breaker" in frank("status").out
    assert "breakers" in frank("doctor").out
    assert frank("approvals", "approve", stop[:8]).out.startswith("Your agent has what was held now")
    page = items(frank("inbox", "--agent", "listener", "--json"), "messages")
    assert [item["type"] for item in page][-3:] == ["message", "message", "task_request"]
    assert stops(frank) == []
    assert "Nothing that waits for you has that id" in frank("approvals", "approve", stop[:8]).err


def test_an_agent_that_is_refused_is_told_when_and_whom_to_ask(pair: tuple[Shell, Shell]) -> None:
    """The code, the seconds and the way to the owner; and the owner sees what was refused and lifts it."""
    erin, frank = pair
    del erin
    for n in range(3):
        assert frank("message", "send", "listener", "@erin/talker", f"number {n}").code == 0
    refused = frank("message", "send", "listener", "@erin/talker", "one more")
    assert refused.code != 0
    assert "Nothing more goes to @erin/talker now" in refused.err
    assert "taskferry approvals" in refused.err
    assert "sending is refused" in " ".join(frank("approvals").out.split())
    token = str(frank("token", "create", "listener", "--json").json()["token"])
    url = str(json.loads((frank.data / "daemon.json").read_text())["url"])
    stop = str(stops(frank)[0]["id"])
    with LocalClient(url, token) as agent:
        for path in ("/stops/release", "/stops/drop"):
            with pytest.raises(Exception, match=r"owner"):
                agent.post(path, {"id": stop})
        with pytest.raises(Exception, match=r"owner"):
            agent.get("/stops")
    assert frank("approvals", "deny", stop[:8]).out.startswith("Dropped.")
    assert frank("message", "send", "listener", "@erin/talker", "one more").code == 0


def test_limits_of_one_connection_are_set_shown_and_reset(pair: tuple[Shell, Shell]) -> None:
    """In words for people and in numbers for programs; what is out of bounds is refused before it is sent."""
    _, frank = pair
    (known,) = items(frank("breakers", "--json"), "connections")
    (id, usual) = str(known["id"]), known["limits"]
    assert (known["own"], usual) == ([], frank("breakers", "list", "--json").json()["limits"])
    assert "1 connection has the usual limits" in frank("breakers").out
    ran = frank("breakers", "set", id[:8], "--messages", "30", "--hops", "4")
    assert ran.out == "Between @frank/listener and @erin/talker: hops 4, messages 30.\n"
    shown = frank("breakers").out
    assert "hops 4, messages 30" in shown
    assert "the usual limits; ids" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    (known,) = items(frank("breakers", "--json"), "connections")
    assert known["own"] == ["hops", "messages"]
    for wrong in ("0", "17", "many"):
        assert frank("breakers", "set", id[:8], "--hops", wrong).code == 2
    assert frank("breakers", "set", id[:8]).code == 2
    assert "as usual" in frank("breakers", "reset", id[:8]).out
    assert "You let breakers trip as usual" in frank("audit", "list", "--kind", "breaker_changed").out
