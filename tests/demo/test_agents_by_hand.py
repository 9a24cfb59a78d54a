"""The demo's two agents by hand: processes on real daemons, beside whatever else goes on there."""

from __future__ import annotations

import base64
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from taskferry_apps.demo.stage import Agent, Machine, Said, Stage, wait_until
from taskferry_apps.local_client import JsonObject, LocalClient

pytestmark = pytest.mark.journey

PATIENCE_S = 40.0
PAGE = "# Notes\n\nSome words and [a link](https://example.org).\n\n## More\n\nMore words.\n"


@attrs.frozen
class Ferry:
    """Two owners' machines with two agents each, all connected."""

    stage: Stage
    alice: Machine
    bob: Machine
    heard: list[Said] = attrs.field(factory=list)

    def agent(self, name: str, *words: str) -> Agent:
        """Run an agent as its owner would, with the owner's credential."""
        machine = self.bob if name == "writer" else self.alice
        return self.stage.start_agent(name, words, machine, machine.token)


@pytest.fixture
def ferry(tmp_path: Path) -> Iterator[Ferry]:
    """Everything that the agents need, as their owners left it."""
    with Stage(tmp_path) as stage:
        relay, _ = stage.start_relay()
        ferry = Ferry(stage, stage.start_daemon("alice"), stage.start_daemon("bob"))
        for machine, agents in ((ferry.alice, ("requester", "lead")), (ferry.bob, ("writer",))):
            with machine.client() as owner:
                owner.post("/setup", {"owner": machine.owner, "relay": relay})
                for agent in agents:
                    owner.post("/agents", {"handle": agent})
        with ferry.alice.client() as alice, ferry.bob.client() as bob:
            for agent in ("requester", "lead"):
                alice.post("/connections/request", {"from": agent, "to": "@bob/writer"})
                request = wait_until(
                    lambda: listed(bob.get("/connections", state="requested_in"), "connections"),
                    "no request came",
                    PATIENCE_S,
                )[0]
                bob.post("/connections/accept", {"id": request["id"], "permissions": {"human_gate": False}})
            wait_until(
                lambda: (
                    len(listed(alice.get("/connections", state="accepted"), "connections") or []) == 2 or None
                ),
                "not connected",
                PATIENCE_S,
            )
        yield ferry


def listed(answer: JsonObject, key: str) -> list[JsonObject] | None:
    """What is in a list of an answer; None for nothing."""
    value = answer[key]
    assert isinstance(value, list)
    return value or None


def ask(alice: LocalClient, title: str, content: bytes | None = PAGE.encode()) -> str:
    """A task for the writer; its id."""
    files = [] if content is None else [{"name": "p.md", "data_base64": base64.b64encode(content).decode()}]
    body = {"from": "lead", "to": "@bob/writer", "title": title, "description": "A report.", "files": files}
    return str(alice.post("/tasks", body)["task_id"])


def in_state(api: LocalClient, task: str, state: str) -> JsonObject:
    """The task as soon as it is in a state."""

    def look() -> JsonObject | None:
        found = [item for item in listed(api.get("/tasks"), "tasks") or [] if item["task_id"] == task]
        return found[0] if found and found[0]["state"] == state else None

    return wait_until(look, f"task {task[:8]} is not {state}", PATIENCE_S)


def unprocessed(api: LocalClient, agent: str, kind: str) -> list[JsonObject]:
    """Items of one kind that wait for an agent."""
    found = listed(api.get("/inbox", agent_id=agent, unprocessed="true"), "messages") or []
    return [item for item in found if item["type"] == kind]


def heard(ferry: Ferry, who: str, words: str) -> None:
    """Wait until an agent says something, if it has not yet."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(said.who == who and words in said.text for said in ferry.heard):
        ferry.heard.append(ferry.stage.said.get(timeout=max(0.0, deadline - time.monotonic())))


def stop(agent: Agent) -> None:
    """End an agent that runs on, as with Ctrl-C."""
    assert agent.process.poll() is None, agent
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(10) == 130


def test_writer_and_requester_work_beside_other_traffic(ferry: Ferry, tmp_path: Path) -> None:
    """The writer does every task that comes, also those in between; nobody touches what is not theirs."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with ferry.alice.client() as alice, ferry.bob.client() as bob:
        # What an earlier day left: a task that has ended, messages, a task of another agent.
        over = ask(alice, "Over before it began")
        in_state(bob, over, "sent")
        alice.post(f"/tasks/{over}/cancel", {"reason": "Not needed"})
        in_state(bob, over, "cancelled")
        alice.post("/messages/send", {"from": "requester", "to": "@bob/writer", "text": "For Bob himself"})
        bob.post("/messages/send", {"from": "writer", "to": "@alice/requester", "text": "For Alice herself"})
        wait_until(lambda: unprocessed(alice, "requester", "message") or None, "no message", PATIENCE_S)

        writer = ferry.agent("writer")
        first, second = ask(alice, "First"), ask(alice, "Second")
        bare = ask(alice, "Without a file", None)
        binary = ask(alice, "Binary", b"\xff\xfe")
        requester = ferry.agent("requester", "--peer", "@bob/writer", "--input", str(page))
        assert requester.process.wait(PATIENCE_S) == 0, ferry.stage.log_of(requester)
        for task in (first, second):
            in_state(alice, task, "submitted")
        for task in (bare, binary):
            in_state(alice, task, "declined")
        assert len(unprocessed(bob, "writer", "message")) == 1
        assert len(unprocessed(alice, "requester", "message")) == 1
        # The answers to the other agent's tasks are that agent's.
        assert len(unprocessed(alice, "lead", "artifact_submit")) == 2

        # Another writer goes on where this one is stopped.
        stop(writer)
        alice.post(f"/tasks/{first}/revision", {"from": "lead", "reason": "More, please"})
        writer = ferry.agent("writer")
        assert in_state(alice, first, "resubmitted")["versions"] == 2
        for task in (first, second):
            alice.post(f"/tasks/{task}/complete", {"from": "lead"})
            in_state(bob, task, "completed")
        wait_until(
            lambda: not unprocessed(bob, "writer", "task_complete") or None, "ends are not seen", PATIENCE_S
        )
        for kind in ("task_request", "task_cancel", "revision_request"):
            assert not unprocessed(bob, "writer", kind), kind
        stop(writer)


def test_a_writer_for_one_task_leaves_the_next_to_others(ferry: Ferry) -> None:
    """With --tasks 1 it takes one, sees it end, ends itself, and has not touched the second."""
    with ferry.alice.client() as alice, ferry.bob.client() as bob:
        first, second = ask(alice, "First"), ask(alice, "Second")
        writer = ferry.agent("writer", "--tasks", "1")
        in_state(alice, first, "submitted")
        alice.post(f"/tasks/{first}/complete", {"from": "lead"})
        assert writer.process.wait(PATIENCE_S) == 0, ferry.stage.log_of(writer)
        assert [item["task_id"] for item in unprocessed(bob, "writer", "task_request")] == [second]
        in_state(alice, second, "sent")


def test_both_agents_say_that_they_wait_for_the_owner(ferry: Ferry, tmp_path: Path) -> None:
    """A connection approved as it is offered has a gate: until the owner decides, each side says what for."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with ferry.alice.client() as alice, ferry.bob.client() as bob:
        alice.post("/agents", {"handle": "guest"})
        writer = ferry.agent("writer", "--tasks", "1")
        asks = ("--agent", "guest", "--peer", "@bob/writer", "--input", str(page))
        requester = ferry.agent("requester", *asks)
        heard(
            ferry,
            "requester",
            "asks @bob/writer for a connection, and waits for its owner: taskferry approvals",
        )
        (request,) = wait_until(
            lambda: listed(bob.get("/connections", state="requested_in"), "connections"),
            "no request came",
            PATIENCE_S,
        )
        bob.post("/connections/accept", {"id": request["id"]})
        heard(
            ferry,
            "requester",
            "waits for @bob/writer's owner, who looks at each task first: taskferry approvals",
        )
        heard(ferry, "writer", "1 task waits for the owner, from @alice/guest: taskferry approvals")
        assert not unprocessed(bob, "writer", "task_request")
        (held,) = listed(bob.get("/gates"), "tasks") or []
        bob.post("/gates/release", {"id": held["task_id"]})
        for agent in (requester, writer):
            assert agent.process.wait(PATIENCE_S) == 0, ferry.stage.log_of(agent)


def test_a_requester_without_an_answer_says_so(ferry: Ferry, tmp_path: Path) -> None:
    """Where no writer works, it ends after its patience with a sentence and code 1."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    begun = time.monotonic()
    requester = ferry.agent("requester", "--peer", "@bob/writer", "--input", str(page), "--patience", "2")
    try:
        assert requester.process.wait(PATIENCE_S) == 1
    except subprocess.TimeoutExpired:
        pytest.fail("it waits for ever")
    assert time.monotonic() - begun < PATIENCE_S
    assert "The requester stops: nothing came for requester in 2 s." in ferry.stage.log_of(requester)
