"""Two owners' machines as real processes, and programs as users start them, with an agent's credential."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

from taskferry_apps.demo.stage import Machine, wait_until
from tests.endings import wait_ended
from tests.ports import at_free_ports
from tests.warm import Started, WarmStage

__all__ = ["Pair", "a_pair", "daemon_of"]

PATIENCE_S = 40.0
ROOT = Path(__file__).parents[2]


@attrs.frozen
class Pair:
    """Alice's `requester` and Bob's `writer`, connected, with a credential for a program of each."""

    alice: Machine
    bob: Machine
    tokens: dict[str, str] = attrs.field(repr=False)

    def environment(self, owner: str) -> dict[str, str]:
        """What a program of that owner's finds around it."""
        machine = self.alice if owner == "alice" else self.bob
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKFERRY_")}
        return {
            **kept,
            "TASKFERRY_DATA": str(machine.data),
            "TASKFERRY_LOCAL_API_TOKEN": self.tokens[owner],
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, owner: str, *words: str, folder: Path, python: str = sys.executable) -> str:
        """What a program prints, once it has ended well."""
        done = subprocess.run(
            [python, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            cwd=folder,
            env=self.environment(owner),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(
        self, owner: str, *words: str, folder: Path, python: str = sys.executable
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program that runs until the block ends, or is killed there; it must not end by itself."""
        log = folder / f"{owner}.log"
        with log.open("wb") as sink:
            program = subprocess.Popen(
                [python, *words], stdout=sink, stderr=sink, cwd=folder, env=self.environment(owner)
            )
        try:
            yield program
            assert program.returncode == -signal.SIGKILL or program.poll() is None, log.read_text()
        except BaseException:
            print(log.read_text())
            raise
        finally:
            program.kill()
            program.wait()

    @contextmanager
    def restarted(self, owner: str) -> Iterator[None]:
        """kill -9 an owner's daemon; while the block runs, another is at its place and address."""
        machine = self.alice if owner == "alice" else self.bob
        pid = daemon_of(machine.data)
        os.kill(pid, signal.SIGKILL)
        wait_ended(pid)
        address = machine.url.removeprefix("http://")
        around = self.environment(owner)
        # To a daemon, this would be its owner's credential.
        del around["TASKFERRY_LOCAL_API_TOKEN"]
        again = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "taskferry_apps.cli",
                "up",
                "--addr",
                address,
                "--data",
                str(machine.data),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**around, "TASKFERRY_SECRETS": "files"},
        )
        try:
            with machine.client() as client:
                client.wait_healthy(PATIENCE_S)
            yield
        finally:
            again.terminate()
            again.wait(PATIENCE_S)


class _Stage(WarmStage):
    """A stage on which a daemon can be started again at its address."""

    def begin(self, words: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> Started:
        """Fork the program, at a port that it can have again."""
        return super().begin(at_free_ports(words), environment, output)


def daemon_of(data: Path) -> int:
    """The process of the daemon with that data directory."""
    return int(json.loads((data / "daemon.json").read_bytes())["pid"])


@contextmanager
def a_pair(folder: Path) -> Iterator[Pair]:
    """A relay and two daemons on this machine."""
    with _Stage(folder) as stage:
        relay, _ = stage.start_relay()
        alice, bob = stage.start_daemon("alice"), stage.start_daemon("bob")
        tokens = {}
        for machine, agent in ((alice, "requester"), (bob, "writer")):
            with machine.client() as owner:
                owner.post("/setup", {"owner": machine.owner, "relay": relay})
                owner.post("/agents", {"handle": agent})
                tokens[machine.owner] = str(owner.post("/tokens", {"agents": [agent]})["token"])
        with alice.client() as asking, bob.client() as answering:
            asking.post("/connections/request", {"from": "requester", "to": "@bob/writer"})

            def listed(client, state):
                return client.get("/connections", state=state)["connections"] or None

            (request,) = wait_until(lambda: listed(answering, "requested_in"), "no request", PATIENCE_S)
            answering.post("/connections/accept", {"id": request["id"], "permissions": {"human_gate": False}})
            wait_until(lambda: listed(asking, "accepted"), "not connected", PATIENCE_S)
        yield Pair(alice, bob, tokens)
