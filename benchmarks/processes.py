"""Servers and clients as processes of their own, and what the kernel says of them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import attrs

__all__ = [
    "BenchmarkFailed",
    "Client",
    "Kind",
    "Server",
    "clients",
    "cpu_seconds",
    "raise_descriptor_limit",
    "serving",
]

START_S = 30.0
STOP_S = 20.0
ROOT = Path(__file__).parent.parent
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchmarkFailed(Exception):
    """A part of a benchmark did not do what it was to do; its figures would mean nothing."""


class Kind(StrEnum):
    """What is measured: the relay, or the bare pipeline beside it."""

    RELAY = "relay"
    BARE = "bare"

    def command(self, database: Path) -> list[str]:
        """How it is started."""
        if self is Kind.BARE:
            return [sys.executable, "-m", "benchmarks.bare", str(database)]
        options = ["--addr", "127.0.0.1:0", "--db", str(database), "--log", "info"]
        return [sys.executable, "-m", "taskferry_apps.cli", "relay", *options]


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, in user and system mode, by all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@attrs.frozen
class Server:
    """A server process that listens."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def cpu_s(self) -> float:
        """Processor time used so far, in user and system mode, by all its threads."""
        return cpu_seconds(self.process.pid)

    @property
    def resident_bytes(self) -> int:
        """Memory that it holds now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    @property
    def descriptors(self) -> int:
        """Files and sockets that it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextmanager
def serving(kind: Kind, folder: Path) -> Iterator[Server]:
    """A server with its database in `folder`, until the block ends. Raises BenchmarkFailed."""
    log = folder / f"{kind.value}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(kind.command(folder / f"{kind.value}.db"), stderr=stderr, cwd=ROOT)
    try:
        yield Server(process, _wait_listening(process, log), log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise BenchmarkFailed(f"the {kind.value} did not stop within {STOP_S:g} s") from None
    if code:
        raise BenchmarkFailed(f"the {kind.value} ended with code {code}: {log.read_text()[-2_000:]}")


def _wait_listening(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            event = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if event.get("event") == "listening":
                return str(event["url"]).replace("http", "ws", 1) + "/v1/ws"
        time.sleep(0.02)
    raise BenchmarkFailed(f"{log.name} does not say that it listens: {log.read_text()[-2_000:]}")


class Client:
    """A client process that follows a plan: it says `ready`, waits for a word, and says what came of it."""

    def __init__(self, plan: Mapping[str, object], module: str = "benchmarks.client") -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
        )
        self._tell(plan)

    def _tell(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, object]:
        """What it says next. Raises BenchmarkFailed with its last words if it ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise BenchmarkFailed(f"a client failed: {self._errors.read()[-3_000:].decode(errors='replace')}")
        said: dict[str, object] = json.loads(line)
        return said

    def go(self) -> None:
        """Give the word."""
        self._tell("go")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@contextmanager
def clients(*plans: Mapping[str, object]) -> Iterator[list[Client]]:
    """A client process for each plan, all ready."""
    started: list[Client] = []
    try:
        started.extend(Client(plan) for plan in plans)
        for client in started:
            client.hear()
        yield started
    finally:
        for client in started:
            client.close()


def raise_descriptor_limit() -> int:
    """Allow this process and its children as many open files as the system lets us; that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
