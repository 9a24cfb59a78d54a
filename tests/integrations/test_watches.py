"""What a plugin runs beside its tools, against a daemon that notes by which credential it is called."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taskferry_apps.daemon.private_files import hold_directory
from taskferry_apps.integrations.trees import Acting, claude_code_plugin, hermes_plugin

OWNER, AGENT, STRANGE = (f"tf{letter}_" + letter.upper() * 43 for letter in "oax")
KNOWN = {OWNER, AGENT}
REFUSED = {"error": {"code": "owner-only", "message": "That is the owner's.", "next": "Ask."}}


class Daemon(BaseHTTPRequestHandler):
    """Knows an owner and one agent, and has two things for it."""

    heard: list[tuple[str, str]]
    made: list[str]

    def do_GET(self) -> None:
        """Note who asks, and answer."""
        token = self.headers["Authorization"].removeprefix("Bearer ")
        path = self.path.partition("?")[0]
        self.heard.append((path, token))
        if token not in KNOWN:
            self.answer(401, {"error": {"code": "unauthorized", "message": "Not known.", "next": ""}})
        elif path == "/tokens" and token != OWNER:
            self.answer(403, REFUSED)
        elif path == "/events":
            self.answer(200, None)
        else:
            items = [{"to": "writer"}, {"to": "writer"}]
            agents = [{"name": "writer", "handle": "@bob/writer"}]
            self.answer(200, {"agents": agents, "messages": items, "tokens": []})

    def do_POST(self) -> None:
        """Make a credential, slowly."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.made.append(self.path)
        time.sleep(0.5)
        self.answer(200, {"token": AGENT})

    def answer(self, status: int, body: object) -> None:
        """Say it and close."""
        event = json.dumps({"id": 7, "kind": "wake", "agent": "writer", "count": 2, "needs": [], "at": "now"})
        raw = json.dumps(body) if body is not None else f"id: 7\nevent: wake\ndata: {event}\n\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(raw.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Machine:
    """A data directory with its daemon, and what that has heard."""

    def __init__(self, data: Path, heard: list[tuple[str, str]], made: list[str]) -> None:
        self.data, self.heard, self.made = data, heard, made
        self.kept = data / "programs" / "mcp-writer.token"

    def keep(self, token: str) -> None:
        """As if the agent's tools had been started before."""
        self.kept.parent.mkdir(mode=0o700)
        self.kept.write_text(token)
        self.kept.chmod(0o600)

    def start(self, words: list[str], **variables: str) -> subprocess.Popen[str]:
        """Run a plugin's command."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**plain, **variables}
        )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose owner's credential lies in the data directory, as everywhere."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "owner.token").write_text(OWNER)
    heard: list[tuple[str, str]] = []
    made: list[str] = []
    handler = type("Handler", (Daemon,), {"heard": heard, "made": made})
    with hold_directory(data), ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        (data / "daemon.json").write_text(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Machine(data, heard, made)
        server.shutdown()


def commands(machine: Machine) -> dict[str, list[str]]:
    """What the plugins run: a monitor, a hook at a session's start, and Hermes' thread."""
    acting = Acting("0.1.0", (sys.executable, "-m", "taskferry_apps.cli"), "writer", str(machine.data))
    files = claude_code_plugin(acting)
    (monitor,) = json.loads(files["monitors/monitors.json"])
    hook = json.loads(files["hooks/hooks.json"])["hooks"]["SessionStart"][0]["hooks"][0]
    line = next(
        line for line in hermes_plugin(acting)["__init__.py"].splitlines() if line.startswith("WATCH")
    )
    return {
        "monitor": shlex.split(monitor["command"]),
        "hook": shlex.split(hook["command"]),
        "hermes": json.loads(line.partition("=")[2]),
    }


@pytest.mark.parametrize("name", ["monitor", "hook", "hermes"])
def test_what_a_plugin_runs_shows_the_agents_credential_alone(machine: Machine, name: str) -> None:
    """The owner's lies beside it, and is not sent; it does what the plugin is for."""
    machine.keep(AGENT)
    with machine.start(commands(machine)[name]) as program:
        assert program.stdout is not None
        said = program.stdout.readline()
        program.kill()
    assert "writer" in said
    assert {token for _, token in machine.heard} == {AGENT}
    assert {path for path, _ in machine.heard} >= {"/inbox" if name == "hook" else "/events"}


@pytest.mark.parametrize("name", ["monitor", "hook", "hermes"])
def test_the_owners_credential_in_a_programs_environment_is_refused(machine: Machine, name: str) -> None:
    """Somebody put it there: the command ends before it has asked for anything."""
    program = machine.start(commands(machine)[name], TASKFERRY_LOCAL_API_TOKEN=OWNER)
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 4
    assert "not for models" in errors
    assert {path for path, _ in machine.heard} == {"/tokens"}


def test_programs_that_start_together_make_one_credential(machine: Machine) -> None:
    """At the first start of all, a session's hook and its monitor."""
    found = commands(machine)
    with machine.start(found["monitor"]) as monitor, machine.start(found["hook"]) as hook:
        for program in (monitor, hook):
            assert program.stdout is not None
            assert "writer" in program.stdout.readline()
        monitor.kill()
    assert machine.made == ["/tokens"]
    assert machine.kept.read_text().strip() == AGENT
    assert {token for path, token in machine.heard if path in {"/inbox", "/events"}} == {AGENT}
