"""Two owners' machines on which workers are started as people start them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from taskferry_apps.demo.stage import wait_until
from tests.client.stage import ROOT, Pair, a_pair

__all__ = ["PAGE", "PATIENCE_S", "Town", "a_town", "until"]

PATIENCE_S = 40.0
PAGE = (ROOT / "docs" / "workers.md").read_text("utf-8")


@attrs.frozen
class Town:
    """Alice's and Bob's machines, and Bob's command line."""

    pair: Pair

    def environment(self, **more: str) -> dict[str, str]:
        """As in Bob's shell: no credential in it."""
        found = {**self.pair.environment("bob"), **more}
        del found["TASKFERRY_LOCAL_API_TOKEN"]
        return found

    def run(self, *words: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """A command to its end; none shows a traceback."""
        done = subprocess.run(
            [sys.executable, "-m", "taskferry_apps.cli", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            cwd=folder,
            env=self.environment(**more),
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def work(self, *words: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """A worker that ends by itself."""
        return self.run("worker", "--agent", "writer", "--once", *words, folder=folder, **more)

    @contextmanager
    def working(self, *words: str, folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that works until the block ends."""
        with log.open("ab") as sink:
            program = subprocess.Popen(
                [sys.executable, "-m", "taskferry_apps.cli", "worker", "--agent", "writer", *words],
                stdout=sink,
                stderr=sink,
                cwd=folder,
                env=self.environment(PYTHONUNBUFFERED="1"),
            )
        try:
            yield program
        finally:
            program.kill()
            program.wait()

    def send(self, title: str, brief: str = "Count.", **more: Any) -> str:
        """A task of Alice's."""
        body = {"from": "requester", "to": "@bob/writer", "title": title, "description": brief}
        with self.pair.alice.client() as alice:
            return str(alice.post("/tasks", body | more)["task_id"])

    def until(self, task: str, *states: str) -> dict[str, Any]:
        """The task as Alice sees it in one of these states."""

        def look() -> dict[str, Any] | None:
            with self.pair.alice.client() as alice:
                found = alice.get(f"/tasks/{task}")
            return found if found["state"] in states else None

        return wait_until(look, f"task {task[:8]} is not {states}", PATIENCE_S)

    def act(self, task: str, word: str, **body: Any) -> None:
        """Alice's step in it."""
        with self.pair.alice.client() as alice:
            alice.post(f"/tasks/{task}/{word}", body)

    def folder(self, task: str) -> Path:
        """Where the command of a task runs."""
        return self.pair.bob.data / "workers" / "writer" / "tasks" / task


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    wait_until(lambda: holds() or None, "it did not come true", PATIENCE_S)


@contextmanager
def a_town(folder: Path) -> Iterator[Town]:
    """Two connected machines; what Alice sends may start without Bob."""
    with a_pair(folder) as pair:
        town = Town(pair)
        with pair.bob.client() as bob:
            found: Any = bob.get("/connections", state="accepted")["connections"]
            (connection,) = found
        for words in (
            ("permissions", "set", str(connection["id"]), "--auto-start"),
            ("peer", "trust", "@alice/requester"),
        ):
            assert town.run(*words, folder=folder).returncode == 0
        yield town
