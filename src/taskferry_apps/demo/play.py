"""The play: both owners and both agents, from an empty folder to a verified handoff.

What is claimed is checked: the exit code of the demo is 0 only if every check held.
"""

from __future__ import annotations

import json
import queue
import subprocess
import time
from pathlib import Path
from typing import Final

import attrs

from ..local_client import ApiError, DaemonUnreachable, JsonObject
from .secrecy import search, telling_pieces
from .stage import PROGRAM, Agent, Machine, Said, Stage, wait_until
from .steps import DemoFailed, entries, text

__all__ = ["Audience", "Outcome", "perform"]

REQUESTER: Final = "@alice/requester"
WRITER: Final = "@bob/writer"


class Audience:
    """Who hears what happens, as it happens. This one hears nothing; the command line's prints it."""

    def act(self, title: str) -> None:
        """A new part of the play begins."""

    def says(self, who: str, words: str) -> None:
        """Somebody did something."""

    def relay_saw(self, sender: str, recipient: str, cls: str, size: int) -> None:
        """All that the relay learnt of one envelope."""

    def check(self, claim: str, held: bool, found: str) -> None:
        """A claim was checked."""


@attrs.define
class Outcome:
    """What the demo found."""

    task: str = ""
    checks: list[tuple[str, bool, str]] = attrs.field(factory=list)
    relay_saw: list[JsonObject] = attrs.field(factory=list)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether every check held, and there were checks."""
        return bool(self.checks) and all(held for _, held, _ in self.checks)


@attrs.define
class _Play:
    stage: Stage
    audience: Audience
    document: Path
    deadline: float
    outcome: Outcome = attrs.field(factory=Outcome)
    approved: bool = False
    released: bool = False

    def run(self) -> Outcome:
        relay_url, relay_data = self._raise_curtain()
        alice, bob = self.stage.start_daemon("alice"), self.stage.start_daemon("bob")
        tokens = self._owners_set_up(alice, bob, relay_url)
        self._handoff(alice, bob, tokens)
        self.audience.act("What both ends hold")
        self._compare_ends(alice, bob)
        self.audience.act("What the relay holds")
        self._search_relay(relay_data, alice, bob)
        self.audience.act("What anyone can prove")
        self._verify(alice)
        return self.outcome

    def _check(self, claim: str, held: bool, found: str) -> None:
        self.outcome.checks.append((claim, held, found))
        self.audience.check(claim, held, found)

    def _left(self) -> float:
        return max(1.0, self.deadline - time.monotonic())

    def _raise_curtain(self) -> tuple[str, Path]:
        self.audience.act("Three programs start on this machine, each with its own files")
        url, data = self.stage.start_relay()
        self.audience.says("relay", f"listens at {url}")
        return url, data

    def _owners_set_up(self, alice: Machine, bob: Machine, relay: str) -> dict[str, str]:
        tokens = {}
        for machine, agent in ((alice, "requester"), (bob, "writer")):
            with machine.client() as client:
                answer = client.post(
                    "/setup", {"owner": machine.owner, "relay": relay, "device_label": "demo"}
                )
                if not answer.get("name_claimed"):
                    raise DemoFailed(f"the relay did not take the name {machine.owner}")
                client.post("/agents", {"handle": agent, "display_name": agent})
                tokens[agent] = text(client.post("/tokens", {"agents": [agent], "label": "demo"}), "token")
            self.audience.says(
                machine.owner,
                f"has keys, account {text(answer, 'account')[:10]}… and the agent @{machine.owner}/{agent}",
            )
        return tokens

    def _handoff(self, alice: Machine, bob: Machine, tokens: dict[str, str]) -> None:
        self.audience.act("One task crosses")
        writer = self.stage.start_agent("writer", ["--agent", WRITER, "--tasks", "1"], bob, tokens["writer"])
        requester = self.stage.start_agent(
            "requester",
            ["--agent", REQUESTER, "--peer", WRITER, "--input", str(self.document)],
            alice,
            tokens["requester"],
        )
        agents = (writer, requester)
        while any(agent.process.poll() is None for agent in agents):
            self._hear(0.1)
            if not self.approved:
                self._approve(bob)
            elif not self.released:
                self._release(bob)
            self._fail_if_one_failed(agents)
            if time.monotonic() > self.deadline:
                raise DemoFailed("the agents did not finish in time; give them longer with --timeout")
        self._fail_if_one_failed(agents)
        while self._hear(0.3):
            pass

    def _fail_if_one_failed(self, agents: tuple[Agent, ...]) -> None:
        for agent in agents:
            if agent.process.poll():
                raise DemoFailed(f"the {agent.name} gave up: {self.stage.log_of(agent)}")

    def _approve(self, bob: Machine) -> None:
        with bob.client() as client:
            for request in entries(client.get("/connections", state="requested_in"), "connections"):
                client.post("/connections/accept", {"id": text(request, "id")})
                self.audience.says("bob", f"approves the request of {request.get('peer')}, as the owner")
                self.approved = True

    def _release(self, bob: Machine) -> None:
        with bob.client() as client:
            for held in entries(client.get("/gates"), "tasks"):
                self.audience.says("bob", f"reads the task that waits at the gate: {held.get('title')}")
                client.post("/gates/release", {"id": text(held, "task_id")})
                self.audience.says("bob", f"lets {held.get('mine')} have it; until now it saw nothing of it")
                self.released = True

    def _hear(self, seconds: float) -> bool:
        """Pass on what is said within `seconds`; whether anything was."""
        try:
            said = self.stage.said.get(timeout=seconds)
        except queue.Empty:
            return False
        if said.who == "relay":
            self._relay_said(said)
        else:
            self.audience.says(said.who, said.text)
        return True

    def _relay_said(self, said: Said) -> None:
        try:
            line = json.loads(said.text)
        except ValueError:
            return
        if isinstance(line, dict) and line.get("event") == "envelope":
            seen = (str(line.get("sender")), str(line.get("recipient")), str(line.get("cls")))
            size = line.get("size")
            self.outcome.relay_saw.append(line)
            self.audience.relay_saw(*seen, size if isinstance(size, int) else 0)

    def _compare_ends(self, alice: Machine, bob: Machine) -> None:
        with alice.client() as first, bob.client() as second:

            def finished() -> tuple[JsonObject, JsonObject] | None:
                tasks = entries(first.get("/tasks"), "tasks")
                if not tasks:
                    return None
                self.outcome.task = text(tasks[0], "task_id")
                try:
                    ends = tuple(api.get(f"/tasks/{self.outcome.task}") for api in (first, second))
                except ApiError as error:
                    if error.status == 404:
                        return None
                    raise
                mine, theirs = ends
                return (mine, theirs) if mine.get("final") and theirs.get("final") else None

            mine, theirs = wait_until(finished, "the task is not final at both ends", self._left())
        for owner, end in (("alice", mine), ("bob", theirs)):
            state = str(end.get("state"))
            versions = entries(end, "versions")
            self._check(
                f"{owner}'s daemon shows the task as completed",
                state == "completed",
                f"{state}, {len(versions)} versions, {len(entries(end, 'events'))} events",
            )
        chains = [[event.get("hash") for event in entries(end, "events")] for end in (mine, theirs)]
        same = chains[0] == chains[1] and len(chains[0]) > 0
        self._check(
            "both hold the same signed events in the same order",
            same,
            f"{len(chains[0])} and {len(chains[1])}",
        )
        asked = mine.get("asks")
        self._check("version 1 was sent back with reasons", asked == 1, f"revisions asked: {asked}")

    def _search_relay(self, relay: Path, alice: Machine, bob: Machine) -> None:
        with alice.client() as client:
            task = client.get(f"/tasks/{self.outcome.task}")
        reasons = [str(reason) for asked in entries(task, "revision_requests") for reason in _texts(asked)]
        said = [text(task, "title"), text(task, "brief"), *map(str, _list(task, "requirements")), *reasons]
        pieces = telling_pieces([self.document.read_text(), *said])
        for machine in (alice, bob):
            there = {piece for _, piece in search(machine.data, pieces).found}
            broken = len(pieces) - len(there)
            self._check(
                f"the search finds plaintext where it may be: in {machine.owner}'s own files",
                len(there) > broken,
                f"{len(there)} of {len(pieces)} pieces"
                + (f"; {broken} broken between two pages of the database" if broken else ""),
            )
        finding = search(relay, pieces)
        self._check(
            "the relay's files hold none of it",
            not finding.found,
            f"{len(pieces)} pieces sought in {finding.files} files, {finding.size:,} bytes; "
            f"{len(finding.found)} found",
        )

    def _verify(self, alice: Machine) -> None:
        path = self.stage.folder / "handoff.cbor"
        with alice.client() as client:
            path.write_bytes(client.get_bytes(f"/tasks/{self.outcome.task}/export"))
        run = subprocess.run(  # noqa: S603 - this program itself
            [*PROGRAM, "verify", str(path), "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=self._left(),
        )
        try:
            report = json.loads(run.stdout)
        except ValueError:
            report = {}
        held = run.returncode == 0 and report.get("state") == "completed"
        events = len(report.get("events", []))
        self._check(
            "the exported handoff verifies offline, in a process that knows only the file",
            held,
            f"{path.stat().st_size:,} bytes, {events} signed events, state {report.get('state', 'unknown')}",
        )


def _list(value: JsonObject, key: str) -> list[object]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _texts(asked: JsonObject) -> list[object]:
    return _list(asked, "reasons")


def perform(stage: Stage, audience: Audience, document: Path, seconds: float) -> Outcome:
    """Run the whole play within `seconds`. Raises DemoFailed with a sentence on what went wrong."""
    started = time.monotonic()
    play = _Play(stage, audience, document, started + seconds)
    try:
        outcome = play.run()
    except (ApiError, DaemonUnreachable) as error:
        raise DemoFailed(str(error)) from error
    outcome.seconds = time.monotonic() - started
    return outcome
