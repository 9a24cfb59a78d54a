"""A relay and two owners' daemons as real processes, and the command line as a person calls it.

The daemons are shared by the files that one worker runs, in any order. A test uses agents of its own names
and looks for its own items among others; where nothing may be there before, it takes an owner of its own
(`owner_with`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from taskferry_apps.demo.stage import Machine, Stage
from tests import warm

PATIENCE_S = 20


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
        done = warm.run(
            [os.fsdecode(word) for word in words],
            self.environment(**{name: os.fsdecode(value) for name, value in variables.items()}),
            self.folder,
            stdin=stdin.encode() if isinstance(stdin, str) else stdin,
            timeout=PATIENCE_S * 3,
        )
        return _ran(done.code, done.out, done.err)

    def in_python(self, *words: str, stdin: bytes = b"", **variables: str) -> Ran:
        """The same in a Python that starts with these variables."""
        done = subprocess.run(
            [sys.executable, "-m", "taskferry_apps.cli", *words],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S * 3,
            env=self.environment(**variables),
            cwd=self.folder,
        )
        return _ran(done.returncode, done.stdout, done.stderr)

    def environment(self, **variables: str) -> dict[str, str]:
        """What a command finds around it."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")},
            "TASKFERRY_DATA": str(self.data),
            "HOME": str(self.folder),
            **variables,
        }


def _ran(code: int, out: bytes, err: bytes) -> Ran:
    assert b"Traceback" not in err, err.decode()
    return Ran(code, out.decode(), err.decode())


def until(run: Callable[[], Ran], holds: Callable[[Ran], bool], seconds: float = PATIENCE_S) -> Ran:
    """Run a command again until its outcome is as awaited."""
    deadline = time.monotonic() + seconds
    while not holds(ran := run()):
        assert time.monotonic() < deadline, ran
    return ran


def items(ran: Ran, key: str) -> list[dict[str, object]]:
    """The objects in a list of a JSON answer."""
    found = ran.json()[key]
    assert isinstance(found, list)
    return found


def request_of(shell: Shell, peer: str) -> str:
    """The id of a peer's request, as soon as it is there; others may wait beside it."""

    def those(ran: Ran) -> list[dict[str, object]]:
        return [item for item in items(ran, "connections") if item["peer"] == peer]

    ran = until(
        lambda: shell("connections", "--state", "requested_in", "--json"), lambda ran: bool(those(ran))
    )
    return str(those(ran)[0]["id"])


def connect(asking: Shell, mine: str, answering: Shell, peer: str, *words: str) -> None:
    """Connect two agents, each named by its handle; the owner who is asked approves it with these words."""
    agent = mine.partition("/")[2]
    assert asking("connect", agent, peer).code == 0
    assert answering("approve", request_of(answering, mine), *words).code == 0
    until(
        lambda: asking("connections", "--agent", agent, "--state", "accepted", "--json"),
        lambda ran: any(item["peer"] == peer for item in items(ran, "connections")),
    )


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A folder for processes that end with the tests."""
    with warm.WarmStage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture(scope="session")
def relay(stage: Stage) -> str:
    """A relay's address."""
    url, _ = stage.start_relay()
    return url


def _shell(stage: Stage, machine: Machine) -> Shell:
    return Shell(stage.folder, machine.data)


def owner_with(stage: Stage, relay: str, name: str, agent: str, **settings: str) -> Shell:
    """The shell of an owner with a daemon, which has these settings, an account and an agent."""
    shell = _shell(stage, stage.start_daemon(name, settings=settings))
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


@pytest.fixture(scope="session")
def connected(alice: Shell, bob: Shell) -> tuple[Shell, Shell]:
    """Alice's agent `leaver` and Bob's `helper`, connected; tasks pass without waiting for Bob."""
    assert alice("agent", "create", "leaver").code == 0
    assert bob("agent", "create", "helper").code == 0
    connect(alice, "@alice/leaver", bob, "@bob/helper", "--no-gate")
    return alice, bob


@pytest.fixture
def nobody(tmp_path: Path) -> Shell:
    """A shell on a machine without a daemon."""
    return Shell(tmp_path, tmp_path / "none")
