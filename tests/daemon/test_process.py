"""The daemon as a process: it starts with a sentence or not at all, and kill -9 loses nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pytest

from taskferry_apps.daemon.holding import run_daemon
from taskferry_apps.local_client import LocalClient
from taskferry_apps.settings import DaemonSettings
from tests.ports import free_port
from tests.warm import Started, run, start

PATIENCE_S = 30.0


def _start(*arguments: str, stderr: int | IO[bytes]) -> Started:
    with open(os.devnull, "r+b") as nothing:
        return start(arguments, _environment(), Path.cwd(), stdin=nothing, stdout=nothing, stderr=stderr)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TASKFERRY_")}


def _until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def test_a_daemon_that_crashes_leaves_no_image_of_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system writes of other programs: a core would hold the keys, and stay."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    seen = []
    monkeypatch.setattr(
        "taskferry_apps.daemon.compose.run_held",
        lambda settings: seen.append(resource.getrlimit(resource.RLIMIT_CORE)),
    )
    try:
        assert run_daemon(DaemonSettings(data=tmp_path / "data")) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    assert seen == [(0, before[1])]


@contextmanager
def _daemon(data: Path) -> Iterator[tuple[Started, LocalClient]]:
    """A daemon process and a client with the owner's credential; the process is killed in the end."""
    (data / "daemon.json").unlink(missing_ok=True)
    with TemporaryFile() as said:
        process = _start("up", "--addr", "127.0.0.1:0", "--data", str(data), "--log", "warning", stderr=said)
        try:
            _until(lambda: (data / "daemon.json").exists() or process.poll() is not None)
            assert process.poll() is None, os.pread(said.fileno(), 10_000, 0)
            url = json.loads((data / "daemon.json").read_bytes())["url"]
            token = (data / "owner.token").read_text().strip()
            with LocalClient(url, token) as client:
                yield process, client
        finally:
            process.kill()
            process.wait()


def _refusal(*arguments: str) -> str:
    """What a daemon that cannot start says on standard error."""
    ended = run(arguments, _environment(), Path.cwd(), stdin=b"", timeout=PATIENCE_S)
    assert ended.code != 0
    return ended.err.decode()


@pytest.fixture
def relay(tmp_path):
    """The URL of a relay process that listens."""
    log = tmp_path / "relay.log"
    words = ("relay", "--addr", f"127.0.0.1:{free_port()}", "--db", str(tmp_path / "relay.db"))
    with log.open("wb") as said:
        process = _start(*words, stderr=said)
    _until(lambda: b"\n" in log.read_bytes())
    yield json.loads(log.read_bytes().splitlines()[0])["url"]
    process.kill()
    process.wait()


def _pair(alice: LocalClient, bob: LocalClient, relay: str) -> None:
    for client, owner, agent in ((alice, "alice", "requester"), (bob, "bob", "writer")):
        client.post("/setup", {"owner": owner, "relay": relay})
        client.post("/agents", {"handle": agent})
    alice.post("/connections/request", {"from": "requester", "to": "@bob/writer"})
    _until(lambda: bool(bob.get("/connections", state="requested_in")["connections"]))
    freely = {"permissions": {"human_gate": False}}
    bob.post("/connections/accept", {"from": "writer", "to": "@alice/requester", **freely})
    _until(lambda: bool(alice.get("/connections", state="accepted")["connections"]))


def test_kill_9_of_both_daemons_loses_nothing_and_repeats_nothing(tmp_path, relay):
    """What was accepted from an agent is sent after the restart; what had come is still there, once."""
    alice_data, bob_data = tmp_path / "alice", tmp_path / "bob"
    texts = [f"message {number}" for number in range(20)]
    with _daemon(alice_data) as (alice_process, alice), _daemon(bob_data) as (bob_process, bob):
        _pair(alice, bob, relay)
        for text in texts:
            alice.post("/messages/send", {"from": "requester", "to": "@bob/writer", "text": text})
        os.kill(alice_process.pid, signal.SIGKILL)
        os.kill(bob_process.pid, signal.SIGKILL)
    with _daemon(alice_data), _daemon(bob_data) as (_, bob):

        def came() -> list[str]:
            items: Any = bob.get("/inbox", agent_id="writer", limit="100")["messages"]
            return [item["payload"]["text"] for item in items if item["type"] == "message"]

        _until(lambda: len(came()) >= len(texts))
        assert came() == texts


def test_a_stop_signal_ends_it_cleanly(tmp_path):
    """SIGTERM: exit code 0, and it says no more where it listened."""
    with _daemon(tmp_path / "data") as (process, client):
        assert client.get("/health")["set_up"] is False
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert not (tmp_path / "data" / "daemon.json").exists()


def test_secrets_are_readable_by_their_owner_alone(tmp_path):
    """The folder is 0700, credential and keys are 0600, whatever the umask."""
    before = os.umask(0)
    try:
        with _daemon(tmp_path / "data"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "owner.token").stat().st_mode) == 0o600


def test_two_daemons_do_not_run_on_one_folder(tmp_path):
    """The second one says so in a sentence, and the first goes on."""
    data = tmp_path / "data"
    with _daemon(data) as (process, client):
        said = _refusal("up", "--addr", "127.0.0.1:0", "--data", str(data))
        assert "Another daemon is running" in said
        assert f"process {process.pid}. Stop it with `kill {process.pid}`" in said
        assert "Traceback" not in said
        assert client.get("/health")["status"]


def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path):
    """Somebody else listens there: no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = _refusal("up", "--addr", f"127.0.0.1:{port}", "--data", str(tmp_path / "data"))
    assert str(port) in said
    assert "Traceback" not in said


def test_a_database_that_cannot_be_used_is_said_in_a_sentence(tmp_path):
    """A file of another program, and one in use by another process: distinct sentences, no traceback."""
    data = tmp_path / "data"
    other = tmp_path / "other.db"
    other.write_bytes(b"this is no database, but some text " * 200)
    wrong = _refusal("up", "--addr", "127.0.0.1:0", "--data", str(data), "--db", str(other))
    assert "Traceback" not in wrong
    assert "other.db" in wrong
    with _daemon(tmp_path / "first"):
        database = tmp_path / "first" / "daemon.db"
        locked = _refusal("up", "--addr", "127.0.0.1:0", "--data", str(data), "--db", str(database))
    assert "Traceback" not in locked
    assert locked != wrong
    assert "--db" in locked


@contextmanager
def _small_disk(folder: Path, kibibytes: int) -> Iterator[None]:
    """A file system of so many KiB at `folder`."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k,mode=0700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 4, 16])
def test_a_full_disk_is_named_as_the_cause(tmp_path, free):
    """Whether the first file fails or the database: a sentence that names it, and how to go on."""
    disk = tmp_path / "disk"
    with _small_disk(disk, 64):
        (disk / "data").mkdir(mode=0o700)
        (disk / "ballast").write_bytes(bytes((64 - 4 - free) * 1024))
        said = _refusal("up", "--addr", "127.0.0.1:0", "--data", str(disk / "data"))
    sentence = said.splitlines()[-1]
    assert "Traceback" not in said
    assert sentence.startswith("taskferry up: ")
    assert "disk is full" in sentence
    assert "Free some" in sentence


def test_a_folder_that_cannot_be_written_is_said_without_the_words_of_a_program(tmp_path):
    """A read-only file system: the cause and the remedy, no number and no repr."""
    disk = tmp_path / "disk"
    with _small_disk(disk, 64):
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        said = _refusal("up", "--addr", "127.0.0.1:0", "--data", str(disk / "data"))
    assert said == (
        f"taskferry up: The data directory {disk / 'data'} cannot be used: the file system is read-only. "
        "Name another one with --data.\n"
    )


def test_damaged_keys_are_said_in_a_sentence(tmp_path):
    """Nobody is given fresh keys in place of damaged ones."""
    data = tmp_path / "data"
    with _daemon(data):
        pass
    keys = data / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / "device.json").touch(mode=0o600)
    (keys / "device.json").write_text("{}")
    said = _refusal("up", "--addr", "127.0.0.1:0", "--data", str(data))
    assert "damaged" in said
    assert "Traceback" not in said
