"""`taskferry mcp` as a host starts it: at once, on a daemon that is there, goes, comes back, or never was."""

from __future__ import annotations

import itertools
import json
import os
import queue
import re
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskferry_apps.demo.stage import Stage
from tests.endings import wait_ended

from .conftest import PATIENCE_S, Shell, items, owner_with

OPENING = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


class Session:
    """A host's side of the program. Whatever comes out of it has to be JSON-RPC."""

    def __init__(self, shell: Shell, *words: str, **variables: str) -> None:
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskferry_apps.cli", "mcp", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")},
                "TASKFERRY_DATA": str(shell.data),
                "HOME": str(shell.folder),
                **variables,
            },
            cwd=shell.folder,
        )
        self._numbers = itertools.count(1)
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def raw(self, line: bytes) -> None:
        """Write anything."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, method: str, params: Any = None) -> int:
        """Send a request; gives its id."""
        number = next(self._numbers)
        body = {"jsonrpc": "2.0", "id": number, "method": method}
        self.raw(json.dumps(body if params is None else {**body, "params": params}).encode())
        return number

    def next(self) -> dict[str, Any]:
        """The next line."""
        found = self._lines.get(timeout=PATIENCE_S)
        assert found is not None, "the program has ended"
        assert found["jsonrpc"] == "2.0"
        return found

    def ask(self, method: str, params: Any = None) -> dict[str, Any]:
        """What a request is answered."""
        number = self.send(method, params)
        answer = self.next()
        assert answer["id"] == number, answer
        return answer

    def open(self) -> dict[str, Any]:
        """Begin, as hosts of the version with a handshake do."""
        opened: dict[str, Any] = self.ask("initialize", OPENING)["result"]
        self.raw(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return opened

    def call(self, tool: str, **arguments: Any) -> Any:
        """A tool's result."""
        return self.ask("tools/call", {"name": f"taskferry_{tool}", "arguments": arguments})["result"]

    def end(self) -> tuple[int, str]:
        """Close its input; gives how it ended, and what it said to people."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        said = self.process.stderr.read().decode()
        assert "Traceback" not in said, said
        return code, said


@pytest.fixture
def started() -> Iterator[list[Session]]:
    """Sessions that end with the test."""
    found: list[Session] = []
    yield found
    for session in found:
        if session.process.poll() is None:
            session.process.kill()
        session.process.wait()
        for stream in (session.process.stdin, session.process.stdout, session.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def begin(started: list[Session]):
    """Starts the program for an agent."""

    def start(shell: Shell, *words: str, **variables: str) -> Session:
        started.append(Session(shell, *words, **variables))
        return started[-1]

    return start


def text(result: dict[str, Any]) -> str:
    """The words of a tool's result."""
    return str(result["content"][0]["text"])


def test_it_answers_at_once(bob: Shell, begin) -> None:
    """`initialize` is answered within 600 ms of the start, where the machine has time for it."""
    first = begin(bob, "--agent", "writer")
    first.open()
    assert first.end() == (0, "")
    times: list[float] = []
    work: list[float] = []
    for _ in range(7):
        before = _worked()
        session = begin(bob, "--agent", "writer")
        session.open()
        times.append(time.perf_counter() - session.begun - _starved(session.process.pid))
        assert session.end() == (0, "")
        work.append(_worked() - before)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    median, least = statistics.median(times), min(work)
    print(f"initialize after {median * 1000:.0f} ms (median of 7), {least * 1000:.0f} ms of processor time")
    print(f"load of each processor: {load:.1f}")
    assert least < 0.4
    if load < 1:
        assert median < 0.6


def _starved(pid: int) -> float:
    """Seconds for which a process was ready to run and others had the processor (proc(5), schedstat)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _worked() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(bob: Shell, begin, stop: signal.Signals) -> None:
    """At once, without a word on standard output."""
    session = begin(bob, "--agent", "writer")
    session.open()
    session.send("tools/call", {"name": "taskferry_wait", "arguments": {"seconds": 600, "mark": "999999999"}})
    session.process.send_signal(stop)
    assert session.process.wait(10) == (0 if stop is signal.SIGTERM else 130)
    assert session.process.stderr is not None
    assert b"Traceback" not in session.process.stderr.read()


def test_the_end_of_input_ends_it_in_the_middle_of_a_call(bob: Shell, begin) -> None:
    """Nobody waits for a tool whose host has gone."""
    session = begin(bob, "--agent", "writer")
    session.open()
    session.send("tools/call", {"name": "taskferry_wait", "arguments": {"seconds": 600, "mark": "999999999"}})
    assert session.end() == (0, "")


def test_lines_that_are_no_messages_harm_nothing(bob: Shell, begin) -> None:
    """Nonsense, batches, oversized lines, half a surrogate and empty lines are answered or passed over."""
    session = begin(bob, "--agent", "writer")
    session.open()
    for line, code in (
        (b"nonsense", -32700),
        (b"[]", -32600),
        (b"x" * 5_000_000, -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
    ):
        session.raw(line)
        answer = session.next()
        assert (answer["id"], answer["error"]["code"]) == (None, code)
    session.raw(b"")
    session.raw(b"   ")
    session.raw(b'{"jsonrpc":"2.0","id":"s","method":"tools/call","params":{"name":"\\ud800"}}')
    assert session.next()["id"] == "s"
    assert session.ask("tools/nonsense")["error"]["code"] == -32601
    assert text(session.call("whoami")).startswith("You are @bob/writer.")
    assert session.end() == (0, "")


def test_a_revoked_credential_is_made_anew_at_the_next_start(bob: Shell, begin) -> None:
    """In mid-session the model is told; the owner starts another session and is let in again."""
    assert bob("agent", "create", "renewed").code == 0
    session = begin(bob, "--agent", "renewed")
    session.open()
    assert not session.call("whoami").get("isError")
    (made,) = [one for one in items(bob("token", "list", "--json"), "tokens") if one["agents"] == ["renewed"]]
    assert made["label"] == "mcp"
    assert bob("token", "revoke", str(made["id"])).code == 0
    refused = session.call("whoami")
    assert refused["isError"] is True
    assert "revoked" in text(refused)
    assert session.end() == (0, "")
    again = begin(bob, "--agent", "renewed")
    again.open()
    assert not again.call("whoami").get("isError")


def test_without_a_name_the_only_agent_is_meant(stage: Stage, relay: str, begin) -> None:
    """Its credential is made at the first start and found at the second."""
    shell = owner_with(stage, relay, f"dora{time.monotonic_ns() % 10**9}", "alone")
    for _ in range(2):
        session = begin(shell)
        session.open()
        assert "/alone." in text(session.call("whoami"))
        assert session.end() == (0, "")
    assert [one["label"] for one in items(shell("token", "list", "--json"), "tokens")] == ["mcp"]


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        ((), {}, 2, "Which agent?"),
        (("--agent", "nobody"), {}, 5, "There is no agent nobody"),
        (("--agent", "writer"), {"TASKFERRY_LOCAL_API_TOKEN": "tfa_nobodys"}, 4, "not known"),
        (("--agent", "writer", "--root", "/nowhere"), {}, 2, "does not exist"),
    ],
)
def test_what_it_cannot_begin_with_is_said(bob: Shell, begin, words, variables, code: int, said: str) -> None:
    """A sentence on standard error, nothing on standard output, and the exit code that fits."""
    assert bob("agent", "create", f"another-{code}").code in (0, 4)
    session = begin(bob, *words, **variables)
    assert session.process.wait(20) == code
    assert session.process.stderr is not None
    assert said in session.process.stderr.read().decode()
    assert session.process.stdout is not None
    with pytest.raises(AssertionError, match="ended"):
        session.next()


def test_the_owners_own_credential_is_refused(bob: Shell, begin) -> None:
    """Even where somebody put it into the host's configuration."""
    owner = (bob.data / "owner.token").read_text().strip()
    session = begin(bob, "--agent", "writer", TASKFERRY_LOCAL_API_TOKEN=owner)
    assert session.process.wait(20) == 4
    assert session.process.stderr is not None
    assert "not for models" in session.process.stderr.read().decode()


# --- A daemon that goes and comes ---------------------------------------------------------------------------


@pytest.fixture
def carol(stage: Stage, relay: str) -> Shell:
    """An owner whose daemon the test may stop."""
    name = f"carol{time.monotonic_ns() % 10**9}"
    return owner_with(stage, relay, name, "helper")


def daemon_of(shell: Shell) -> dict[str, Any]:
    """Where its daemon is."""
    found: dict[str, Any] = json.loads((shell.data / "daemon.json").read_text())
    return found


def stop(shell: Shell) -> None:
    """Kill the daemon as a crash would, and wait until it is gone."""
    pid = int(daemon_of(shell)["pid"])
    os.kill(pid, signal.SIGKILL)
    wait_ended(pid)


def start_again(stage: Stage, shell: Shell) -> None:
    """A daemon in the same data directory, on another port."""
    # What the dead one had written there would be taken for the new one's.
    (shell.data / "daemon.json").unlink()
    stage.start_daemon(shell.data.name)


@pytest.mark.journey
def test_a_session_outlives_its_daemon(stage: Stage, carol: Shell, begin) -> None:
    """Open calls are answered, and those that nobody can serve; the daemon comes back elsewhere, unseen."""
    session = begin(carol, "--agent", "helper")
    session.open()
    assert not session.call("whoami").get("isError")
    waiting = session.send(
        "tools/call", {"name": "taskferry_wait", "arguments": {"seconds": 600, "mark": "999999999"}}
    )
    stop(carol)
    cut_off = session.next()
    assert cut_off["id"] == waiting
    assert cut_off["result"]["isError"] is True
    assert "taskferry up" in text(cut_off["result"])
    away = session.call("whoami")
    assert away["isError"] is True
    assert "taskferry up" in text(away)
    assert "taskferry up" in session.ask("tools/list")["error"]["message"]
    start_again(stage, carol)
    deadline = time.monotonic() + PATIENCE_S
    while session.call("whoami").get("isError"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(session.ask("tools/list")["result"]["tools"]) == 12
    assert session.end() == (0, "")


@pytest.mark.journey
def test_a_restart_that_takes_a_moment_is_not_noticed(stage: Stage, carol: Shell, begin) -> None:
    """A call that is made while the daemon is started anew is answered by the new one."""
    session = begin(carol, "--agent", "helper")
    session.open()
    stop(carol)
    number = session.send("tools/call", {"name": "taskferry_whoami", "arguments": {}})
    start_again(stage, carol)
    answer = session.next()
    assert answer["id"] == number
    assert not answer["result"].get("isError") or "taskferry up" in text(answer["result"])


@pytest.mark.journey
def test_without_a_daemon_it_serves_all_the_same_and_works_once_there_is_one(
    stage: Stage, carol: Shell, begin
) -> None:
    """Tools are listed, their answers say how to start the daemon, and then they work, in either version."""
    stop(carol)
    old, new = begin(carol, "--agent", "helper"), begin(carol, "--agent", "helper")
    assert old.open()["serverInfo"]["name"] == "taskferry"
    listed = new.ask("tools/list", {"_meta": ENVELOPE})["result"]["tools"]
    assert [tool["name"] for tool in listed] == [
        tool["name"] for tool in old.ask("tools/list")["result"]["tools"]
    ]
    down = old.call("whoami")
    assert down["isError"] is True
    assert "taskferry up" in text(down)
    old.raw(b"nonsense")
    assert old.next()["error"]["code"] == -32700
    start_again(stage, carol)
    assert text(old.call("whoami")).endswith("Ask for one with taskferry_connect.")
    asked = new.ask("tools/call", {"name": "taskferry_whoami", "arguments": {}, "_meta": ENVELOPE})
    assert asked["result"]["structuredContent"]["agent"].endswith("/helper")
    assert old.end() == (0, "")
    assert new.end() == (0, "")


@pytest.mark.journey
def test_a_daemon_that_serves_no_mcp_is_no_obstacle(stage: Stage, carol: Shell, begin) -> None:
    """Where the owner has switched it off in the daemon, the program does the work itself."""
    stop(carol)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "taskferry_apps.cli",
            "up",
            "--addr",
            "127.0.0.1:0",
            "--data",
            str(carol.data),
        ],
        env={**os.environ, "TASKFERRY_MCP": "no", "TASKFERRY_SECRETS": "files"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while carol("status").code != 0:
            assert time.monotonic() < deadline
        session = begin(carol, "--agent", "helper")
        session.open()
        assert text(session.call("whoami")).startswith("You are @carol")
        assert session.end() == (0, "")
        # It lets in nobody whom the daemon's own server would refuse.
        owner = (carol.data / "owner.token").read_text().strip()
        owners = begin(carol, "--agent", "helper", TASKFERRY_LOCAL_API_TOKEN=owner)
        owners.open()
        for _ in range(2):
            refused = owners.call("whoami")
            assert refused["isError"] is True
            assert "not for models" in text(refused)
        assert owners.end() == (0, "")
    finally:
        process.terminate()
        process.wait(10)


def test_the_configuration_in_the_document_works(bob: Shell, begin) -> None:
    """What a reader pastes into a host's configuration starts a server for the agent that it names."""
    page = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    entry = json.loads(block)["mcpServers"]["taskferry"]
    assert (entry["command"], entry["args"][0]) == ("taskferry", "mcp")
    session = begin(bob, *entry["args"][1:])
    session.open()
    assert text(session.call("whoami")).startswith("You are @bob/writer.")
    assert session.end() == (0, "")


def test_files_are_the_working_directorys(alice: Shell, connected, begin, tmp_path: Path) -> None:
    """What lies under --root is sent; what lies elsewhere is not."""
    (tmp_path / "note.txt").write_text("a note")
    session = begin(alice, "--agent", "leaver", "--root", str(tmp_path))
    session.open()
    sent = session.call("task_create", to="@bob/helper", title="t", brief="b", files=["note.txt"])
    assert not sent.get("isError"), text(sent)
    refused = session.call("task_create", to="@bob/helper", title="t", brief="b", files=["/etc/passwd"])
    assert "outside" in text(refused)
    assert session.end() == (0, "")
