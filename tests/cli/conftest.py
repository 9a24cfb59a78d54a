"""A relay and two owners' daemons as real processes, and the command line as a person calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from taskferry_apps.demo.stage import Machine, Stage


@attrs.frozen
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        """Its standard output as a JSON object."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@attrs.frozen
class Shell:
    """A shell with one data directory; commands run in a process of their own."""

    folder: Path
    data: Path

    def __call__(self, *words: str | bytes, stdin: str | bytes = "", **variables: str | bytes) -> Ran:
        """Run one command to its end; no command may show a traceback."""
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")},
            "TASKFERRY_DATA": str(self.data),
            "HOME": str(self.folder),
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-m", "taskferry_apps.cli", *words],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            check=False,
            timeout=60,
            env=environment,
            cwd=self.folder,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return Ran(done.returncode, out, err)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A folder for processes that end with the tests."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(scope="session")
def relay(stage: Stage) -> str:
    """A relay's address."""
    url, _ = stage.start_relay()
    return url


def _shell(stage: Stage, machine: Machine) -> Shell:
    return Shell(stage.folder, machine.data)


def owner_with(stage: Stage, relay: str, name: str, agent: str) -> Shell:
    """The shell of an owner with a daemon, an account and an agent."""
    shell = _shell(stage, stage.start_daemon(name))
    assert shell("setup", name, "--relay", relay).code == 0
    assert shell("agent", "create", agent).code == 0
    return shell


@pytest.fixture(scope="session")
def alice(stage: Stage, relay: str) -> Shell:
    """Alice's shell, with an account and the agent `requester`."""
    return owner_with(stage, relay, "alice", "requester")


@pytest.fixture(scope="session")
def bob(stage: Stage, relay: str) -> Shell:
    """Bob's shell, with an account and the agent `writer`."""
    return owner_with(stage, relay, "bob", "writer")


@pytest.fixture
def nobody(tmp_path: Path) -> Shell:
    """A shell on a machine without a daemon."""
    return Shell(tmp_path, tmp_path / "none")
