"""The demo's processes: started, watched and ended, each with a log of its own.

Every child ends with the stage, on every path. No secret stands in a command line; the environment has it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Protocol, Self, TypeVar

import attrs

from ..local_client import DaemonUnreachable, LocalClient
from ..settings import owner_token_path
from .steps import DemoFailed

__all__ = ["PROGRAM", "Agent", "Machine", "Process", "Said", "Stage"]

T = TypeVar("T")

#: This program again. `-P` keeps modules that lie about in the current folder from being taken for its own.
PROGRAM: Final = (sys.executable, "-P", "-m", "taskferry_apps.cli")

_START_S: Final = 20.0
_STOP_S: Final = 8.0


class Process(Protocol):
    """What a stage asks of a child, as `subprocess.Popen` answers it."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """With what it has ended; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """With what it ends. Raises TimeoutExpired."""

    def terminate(self) -> None:
        """SIGTERM."""

    def kill(self) -> None:
        """SIGKILL."""


@attrs.frozen
class Said:
    """A line that somebody in the demo said: an agent, or the relay's log."""

    who: str
    text: str


@attrs.frozen
class Machine:
    """One owner's daemon: where it is, and the owner's credential."""

    owner: str
    data: Path
    url: str
    token: str = attrs.field(repr=False)
    pid: int = 0

    def client(self) -> LocalClient:
        """A client with the owner's credential."""
        return LocalClient(self.url, self.token)


@attrs.frozen
class Agent:
    """A running agent process."""

    name: str
    process: subprocess.Popen[str]


class Stage:
    """A folder and the processes that run in it. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._running: list[Process] = []
        self._logs: dict[int, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End every child: politely first, the last started first."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in reversed(self._running):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    # --- starting ---

    def start_relay(self, level: str = "debug") -> tuple[str, Path]:
        """A relay on a free port that logs from `level` on, by itself all it sees; its address and folder."""
        data = self.folder / "relay"
        data.mkdir(mode=0o700)
        words = ["relay", "--addr", "127.0.0.1:0", "--db", str(data / "relay.db"), "--log", level]
        process, log = self._start("relay", words)
        url = self._when(process, log, lambda: _logged_url(log))
        threading.Thread(target=self._follow, args=(log, process), daemon=True).start()
        return url, data

    def start_daemon(
        self, owner: str, log: str = "info", settings: Mapping[str, str] | None = None
    ) -> Machine:
        """A daemon on a free port with a data directory of its own, which logs from the level `log` on.

        `settings` are environment variables, for this daemon alone.
        """
        data = self.folder / owner
        words = ["up", "--addr", "127.0.0.1:0", "--data", str(data), "--log", log]
        process, written = self._start(owner, words, settings)
        url = self._when(process, written, lambda: _written_url(data))
        token = owner_token_path(data).read_text().strip()
        machine = Machine(owner, data, url, token, process.pid)
        with machine.client() as client:
            client.wait_healthy(_START_S)
        return machine

    def start_agent(self, name: str, words: Sequence[str], machine: Machine, token: str) -> Agent:
        """An agent's process; what it prints is said under its name."""
        log = self.folder / f"{name}.log"
        environment = _environment({"TASKFERRY_LOCAL_API_TOKEN": token})
        with log.open("ab") as sink:
            process = _begin(["demo", name, "--url", machine.url, *words], environment, sink, subprocess.PIPE)
        self._keep(process, log)
        threading.Thread(target=self._listen, args=(name, process), daemon=True).start()
        return Agent(name, process)

    def begin(self, words: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> Process:
        """Start `taskferry` with these words, all that it prints in a file. A stage may have its own way."""
        return _begin(words, environment, output, output)

    def log_of(self, agent: Agent) -> str:
        """The end of an agent's error output."""
        return _tail(self._logs[agent.process.pid])

    def _start(
        self, name: str, words: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> tuple[Process, Path]:
        log = self.folder / f"{name}.log"
        with log.open("ab") as sink:
            process = self.begin(words, _environment(settings or {}), sink)
        self._keep(process, log)
        return process, log

    def _keep(self, process: Process, log: Path) -> None:
        self._running.append(process)
        self._logs[process.pid] = log

    def _when(self, process: Process, log: Path, ready: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + _START_S
        while (value := ready()) is None:
            if process.poll() is not None:
                raise DemoFailed(f"a process ended at once: {_tail(log)}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"a process did not come up in {_START_S:.0f} s; its log is {log}")
            time.sleep(0.02)
        return value

    # --- listening ---

    def _listen(self, name: str, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            with process.stdout as lines:
                for line in lines:
                    self.said.put(Said(name, line.rstrip("\n")))

    def _follow(self, log: Path, process: Process) -> None:
        with log.open() as stream:
            rest = ""
            while process.poll() is None:
                piece = stream.readline()
                if not piece:
                    time.sleep(0.02)
                    continue
                rest += piece
                if rest.endswith("\n"):
                    self.said.put(Said("relay", rest.rstrip("\n")))
                    rest = ""


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What a child finds around it: nothing that was meant for the program that starts it."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
    # Machines of a moment leave nothing in the secret store of whoever looks on.
    return {**inherited, "PYTHONUNBUFFERED": "1", "TASKFERRY_SECRETS": "files", **settings}


def _begin(
    words: Sequence[str], environment: Mapping[str, str], errors: IO[bytes], output: IO[bytes] | int
) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - this program itself
        [*PROGRAM, *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        env=environment,
        # Ctrl-C is for the demo, which ends its children in order.
        start_new_session=True,
    )


def _logged_url(log: Path) -> str | None:
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "listening":
            return str(entry["url"])
    return None


def _written_url(data: Path) -> str | None:
    try:
        return str(json.loads((data / "daemon.json").read_text())["url"])
    except (OSError, ValueError, KeyError):
        return None


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it said nothing; see {log}"


def wait_until(ask: Callable[[], T | None], what: str, seconds: float) -> T:
    """What `ask` gives, as soon as it gives something. Raises DemoFailed naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = ask()
        except DaemonUnreachable as error:
            raise DemoFailed(str(error)) from None
        if value is not None:
            return value
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what} in {seconds:.0f} s")
        time.sleep(0.05)
