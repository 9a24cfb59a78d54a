"""One data directory on two machines: noticed before it signs twice; a kill and a restart are not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from taskferry_apps.demo.stage import PROGRAM, Machine
from taskferry_apps.local_client import ApiError
from tests.endings import wait_ended

from .conftest import Client, House, texts, until

pytestmark = pytest.mark.journey


def _copy(data: Path, to: Path) -> None:
    shutil.copytree(data, to)
    (to / "daemon.json").unlink(missing_ok=True)


def _pid(data: Path) -> int:
    pid: int = json.loads((data / "daemon.json").read_text())["pid"]
    return pid


def _end(data: Path, how: signal.Signals) -> None:
    """End the daemon of a data directory, and wait until it has let go of it."""
    pid = _pid(data)
    os.kill(pid, how)
    wait_ended(pid)
    (data / "daemon.json").unlink(missing_ok=True)


def _suspended(client: Client) -> str:
    text: str = client.get("/devices")["suspended"]
    return text


def _connected(client: Client) -> bool:
    relay: Any = client.get("/health")["relay"]
    return bool(relay["connected"])


def _pair(house: House) -> tuple[Machine, Client, Client]:
    machine, alice = house.start("alice")
    assert alice.post("/setup", {"owner": "alice", "relay": house.relay})["name_claimed"]
    alice.post("/agents", {"handle": "requester"})
    bob = house.owner("bob", "writer")
    house.connect(alice, bob)
    return machine, alice, bob


def _say(client: Client, text: str) -> None:
    client.post("/messages/send", {"from": "requester", "to": "@bob/writer", "text": text})


def test_a_copy_beside_the_running_original_signs_nothing(house: House, tmp_path: Path):
    """The copy refuses to send, says why and what to do; the original never notices."""
    machine, alice, bob = _pair(house)
    _copy(machine.data, tmp_path / "copy")
    _, copy = house.start("copy")
    with pytest.raises(ApiError) as refused:
        _say(copy, "twice")
    assert refused.value.code == "other-instance"
    until(lambda: "runs twice" in _suspended(copy))
    until(lambda: any("runs twice" in alarm for alarm in copy.get("/health")["alarms"]))
    with pytest.raises(ApiError) as refused:
        _say(copy, "twice")
    assert "taskferry up --take-over" in str(refused.value)
    assert _connected(alice)
    assert not _suspended(alice)
    _say(alice, "once")
    until(lambda: texts(bob, "writer") == ["once"])


def test_a_copy_that_was_first_keeps_the_original_out(house: House, tmp_path: Path):
    """Whoever came last to a directory that has moved on is the older one, and is told so."""
    machine, _, bob = _pair(house)
    _end(machine.data, signal.SIGTERM)
    _copy(machine.data, tmp_path / "copy")
    _, copy = house.start("copy")
    until(lambda: _connected(copy))
    _say(copy, "from the copy")
    until(lambda: texts(bob, "writer") == ["from the copy"])
    _end(tmp_path / "copy", signal.SIGTERM)
    _, original = house.start("alice")
    until(lambda: "runs twice" in _suspended(original))
    with pytest.raises(ApiError) as refused:
        _say(original, "from the original")
    assert refused.value.code == "other-instance"


def test_a_kill_and_many_starts_are_no_copy(house: House):
    """kill -9 at any moment, and restarts, go on with the same device at once."""
    machine, alice, bob = _pair(house)
    _say(alice, "0")
    for number in range(1, 4):
        _end(machine.data, signal.SIGKILL)
        _, alice = house.start("alice")
        _say(alice, str(number))
        until(lambda: _connected(alice))  # noqa: B023
    until(lambda: texts(bob, "writer") == ["0", "1", "2", "3"])
    assert not _suspended(alice)


def test_a_moved_directory_goes_on_once_the_relay_has_vouched(house: House, tmp_path: Path):
    """Another folder alone is no copy: the chain of starts is unbroken, so nobody is asked."""
    machine, _, bob = _pair(house)
    _end(machine.data, signal.SIGTERM)
    _copy(machine.data, tmp_path / "elsewhere")
    shutil.rmtree(machine.data)
    _, moved = house.start("elsewhere")
    until(lambda: _connected(moved))
    _say(moved, "from elsewhere")
    until(lambda: texts(bob, "writer") == ["from elsewhere"])


def test_the_owner_may_take_over(house: House, tmp_path: Path):
    """`up --take-over` makes the copy the one that counts; the other stops and says so."""
    machine, alice, _ = _pair(house)
    until(lambda: not alice.get("/health")["relay"]["queued"])
    data = tmp_path / "copy"
    _copy(machine.data, data)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TASKFERRY_")}
    words = ["up", "--addr", "127.0.0.1:0", "--data", str(data), "--take-over"]
    with subprocess.Popen([*PROGRAM, *words], stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            until((data / "daemon.json").exists)
            url = json.loads((data / "daemon.json").read_text())["url"]
            copy = house.client(Machine("alice", data, url, (data / "owner.token").read_text().strip()))
            until(lambda: _connected(copy))
            until(lambda: "runs twice" in _suspended(alice))
            with pytest.raises(ApiError):
                _say(alice, "too late")
        finally:
            process.kill()
