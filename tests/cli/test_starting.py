"""What is pasted in one go: `taskferry up &`, and the next command at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from taskferry_apps.cli.outcome import CommandFailed, Exit
from taskferry_apps.cli.whereabouts import find_daemon
from taskferry_apps.client.address import Holder, NoDaemon
from taskferry_apps.daemon.private_files import DataInUse, hold_directory, is_directory_held
from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import PATIENCE_S, Shell

CREDENTIAL = "tfa_" + "A" * 43


def begun(stage: Stage, data: Path) -> None:
    """Start a daemon, and wait no longer than until it holds its directory."""
    stage._start(data.name, ["up", "--addr", "127.0.0.1:0", "--data", str(data)])
    deadline = time.monotonic() + PATIENCE_S
    while not is_directory_held(data):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_next_command_waits_for_a_daemon_that_is_starting(stage: Stage) -> None:
    """Its address is not written yet; on a busy machine it may be by the time that somebody looks."""
    for number in range(20):
        data = stage.folder / f"pasted-{number}"
        begun(stage, data)
        is_starting = not (data / "daemon.json").exists()
        ran = Shell(stage.folder, data)("agent", "list")
        assert "taskferry setup" in ran.err
        assert ran.code == 4
        if is_starting:
            return
    raise AssertionError("no daemon was met while it started")


def test_no_wait_where_no_daemon_runs(tmp_path: Path) -> None:
    """Neither in a fresh directory nor in a used one; the refusal names the directory and the next step."""
    used = tmp_path / "used"
    used.mkdir()
    (used / "daemon.lock").touch()
    (used / "daemon.json").write_text(json.dumps({"url": "http://127.0.0.1:9"}))
    for data in (used, tmp_path / "fresh"):
        before = time.monotonic()
        assert find_daemon(data) is None
        assert time.monotonic() - before < 5
        ran = Shell(tmp_path, data)("inbox")
        assert ran.code == Exit.UNREACHABLE
        assert f"taskferry up --data {data}" in ran.err
    assert not (tmp_path / "fresh").exists()


def test_a_full_disk_is_named_where_no_daemon_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that met one has ended, and would again: the way on begins with room."""
    tmp_path.chmod(0o700)
    (tmp_path / "daemon.lock").touch()
    for free, said in ((4_096, " Its disk is full: free some space first."), (50_000_000, "")):
        state = os.statvfs_result((4096, 4096, 10_000, free // 4096, free // 4096, 9, 9, 9, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _, state=state: state)
        with pytest.raises(NoDaemon) as away:
            Holder(tmp_path)()
        assert away.value.message == f"No daemon runs with the data directory {tmp_path}.{said}"


class _Listener(BaseHTTPRequestHandler):
    """Another program at a daemon's former address."""

    heard: list[str]

    def do_GET(self) -> None:
        self.heard.append(str(self.headers))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def left_behind(tmp_path: Path) -> Iterator[tuple[Shell, dict[str, str], list[str]]]:
    """A shell whose daemon has ended, variables that name its address, and what is heard there now."""
    heard: list[str] = []
    handler = type("Handler", (_Listener,), {"heard": heard})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        data = tmp_path / "data"
        (data / "programs").mkdir(mode=0o700, parents=True)
        data.chmod(0o700)
        for kept in ("owner.token", "programs/worker-writer.token", "programs/mcp-writer.token"):
            (data / kept).write_text(CREDENTIAL)
            (data / kept).chmod(0o600)
        (data / "daemon.json").write_text(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}))
        (data / "daemon.lock").touch()
        yield Shell(tmp_path, data), {"TASKFERRY_CLIENT_ADDR": f"127.0.0.1:{server.server_port}"}, heard
        server.shutdown()


@pytest.mark.parametrize(
    "words", [["status"], ["inbox"], ["watch", "--once"], ["inbox", "--token", CREDENTIAL]]
)
def test_whoever_took_the_address_of_a_daemon_that_ended_is_sent_nothing(
    tmp_path: Path, words: list[str]
) -> None:
    """Any credential goes to the process that holds the directory, and to no other."""
    with left_behind(tmp_path) as (shell, variables, heard):
        ran = shell(*words, **variables)
    assert (ran.code, heard) == (Exit.UNREACHABLE, [])
    assert "taskferry up" in ran.err
    assert "TASKFERRY_LOCAL_URL" in ran.err


@contextmanager
def running(shell: Shell, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A program that goes on while the block lasts."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "taskferry_apps.cli", *words],
        env={**os.environ, "TASKFERRY_DATA": str(shell.data), **variables},
        cwd=shell.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def said(program: subprocess.Popen[str], words: str) -> str:
    """The first line in which a program says such words."""
    assert program.stdout is not None
    return next(line for line in program.stdout if words in line)


@pytest.mark.parametrize("words", [["worker", "--agent", "writer", "--once", "--", "true"], ["watch"]])
def test_programs_that_wait_for_their_daemon_send_nothing_to_another(
    tmp_path: Path, words: list[str]
) -> None:
    """They say that there is none, find the one that comes, and have sent nothing to whoever was there."""
    with left_behind(tmp_path) as (shell, variables, heard), running(shell, *words, **variables) as program:
        said(program, "Waiting for it")
        with hold_directory(shell.data), HTTPServer(("127.0.0.1", 0), _Stranger) as daemon:
            note = {"url": f"http://127.0.0.1:{daemon.server_port}"}
            (shell.data / "daemon.json").write_text(json.dumps(note))
            daemon.handle_request()
    assert heard == []


class _Stranger(BaseHTTPRequestHandler):
    """A daemon that refuses everything."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_agents_session_sends_nothing_to_another(tmp_path: Path) -> None:
    """Its tools say that there is no daemon; the kept credential stays where it is."""
    opening = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    lines = (
        {"id": 1, "method": "initialize", "params": opening},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "taskferry_whoami", "arguments": {}}},
    )
    with (
        left_behind(tmp_path) as (shell, variables, heard),
        running(shell, "mcp", "--agent", "writer", **variables) as program,
    ):
        assert program.stdin is not None
        for line in lines:
            program.stdin.write(json.dumps({"jsonrpc": "2.0", **line}) + "\n")
        program.stdin.flush()
        assert "taskferry up" in said(program, '"id":2')
    assert heard == []


def test_a_held_directory_is_waited_for_until_it_says_where(tmp_path: Path) -> None:
    """What the daemon writes meanwhile is found; one that never does is said not to listen."""
    with hold_directory(tmp_path):
        with pytest.raises(CommandFailed, match="does not listen yet"):
            find_daemon(tmp_path, patience_s=0)
        later = threading.Timer(0.2, (tmp_path / "daemon.json").write_text, ('{"url": "http://a"}',))
        later.start()
        assert find_daemon(tmp_path) == "http://a"
        later.join()


def test_a_start_forgets_where_the_daemon_before_it_listened(stage: Stage) -> None:
    """Commands typed while it starts do not go to the former address."""
    data = stage.folder / "moved"
    data.mkdir(mode=0o700)
    (data / "daemon.json").write_text(json.dumps({"url": "http://127.0.0.1:9"}))
    begun(stage, data)
    ran = Shell(stage.folder, data)("status")
    assert (ran.code, "no account yet" in ran.out) == (0, True), ran.err


@pytest.fixture(scope="module")
def fresh(stage: Stage) -> Shell:
    """A shell beside a daemon that has no account yet."""
    data = stage.folder / "before-set-up"
    begun(stage, data)
    return Shell(stage.folder, data)


@pytest.mark.parametrize(
    "words", [["inbox"], ["agent", "list"], ["invite", "create", "--agent", "a"], ["watch", "--agent", "a"]]
)
def test_before_set_up_commands_are_refused_and_no_trouble(fresh: Shell, words: list[str]) -> None:
    """A daemon without an account is not broken: code 4, not 7, and the next step is set-up."""
    ran = fresh(*words)
    assert (ran.code, ran.out) == (4, "")
    assert "no account yet" in ran.err
    assert "taskferry setup" in ran.err


def test_looking_whether_a_directory_is_held_keeps_nobody_from_holding_it(tmp_path: Path) -> None:
    """Commands look again and again while a daemon takes the directory."""
    assert not is_directory_held(tmp_path)
    with hold_directory(tmp_path):
        assert is_directory_held(tmp_path)
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_directory_held(tmp_path)
            time.sleep(0)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(50):
            with hold_directory(tmp_path):
                pass
    finally:
        done.set()
        watcher.join()
    with hold_directory(tmp_path), pytest.raises(DataInUse), hold_directory(tmp_path):
        pass


def test_holding_a_directory_loads_nothing_heavy() -> None:
    """What a command sees of a daemon that starts, it sees at once."""
    import subprocess

    program = (
        "import sys, taskferry_apps.settings, taskferry_apps.daemon.holding\n"
        "print([name for name in ('trio', 'quart', 'httpx', 'sqlite3') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
