"""`taskferry device`, as an owner at two keyboards uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import IO

import pytest

from taskferry_apps.demo.stage import PROGRAM
from tests.endings import wait_ended

from .conftest import House, here, until


def _command(data: Path, *words: str, group: str = "device") -> subprocess.Popen[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TASKFERRY_")}
    return subprocess.Popen(
        [*PROGRAM, group, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "TASKFERRY_DATA": str(data)},
    )


def _ran(data: Path, *words: str, group: str = "device") -> tuple[int, str, str]:
    with _command(data, *words, group=group) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def _read_until(stream: IO[str] | None, pattern: str) -> str:
    """What a pattern finds in what is printed until it does."""
    said = ""
    while not (found := re.search(pattern, said)):
        assert stream is not None
        more = stream.readline()
        assert more, said
        said += more
    return found[1]


def _type(stream: IO[str] | None, text: str) -> None:
    assert stream is not None
    stream.write(f"{text}\n")
    stream.flush()


_WORDS = r"shows:\s+([a-z]+ [a-z]+ [a-z]+)\n"


def test_link_and_approve_by_reading_words_to_each_other(house: House):
    """Code, words on each side, and the list that names both; then a name, a fresh key, and out."""
    machine, _ = house.start("alice")
    with machine.client() as client:
        client.post("/setup", {"owner": "alice", "relay": house.relay, "device_label": "desk"})
        client.post("/agents", {"handle": "requester"})
    second, other = house.start("alice2")
    with (
        _command(second.data, "link", "--relay", house.relay, "--label", "laptop") as new,
    ):
        code = _read_until(new.stderr, r"device approve ([a-z0-9-]+)\n")
        with _command(machine.data, "approve", code, "--manage", "--history", "30d") as old:
            theirs, mine = _read_until(old.stderr, _WORDS), _read_until(new.stderr, _WORDS)
            _type(new.stdin, theirs)
            _type(old.stdin, mine)
            assert old.wait(60) == 0, old.stderr and old.stderr.read()
            assert new.wait(60) == 0, new.stderr and new.stderr.read()
    until(lambda: here(other)["agents"] == ["requester"])
    code_, shown, _ = _ran(second.data, "list")
    assert code_ == 0
    assert "desk" in shown
    assert "laptop" in shown
    device = here(other)["id"][:8]
    assert _ran(machine.data, "rename", "laptop", "kitchen")[0] == 0
    until(lambda: "kitchen" in _ran(second.data, "list")[1])
    assert _ran(second.data, "rotate")[0] == 0
    assert _ran(machine.data, "revoke", device, "--reason", "sold")[0] == 0
    assert "revoked" in _ran(machine.data, "list")[1]
    code_, _, said = _ran(machine.data, "revoke", "desk")
    assert code_ == 4
    assert "--lose-agents" in said


def test_wrong_words_end_the_try_on_both_machines(house: House):
    """One try: nothing is signed, both say so, and the exit codes are a refusal's."""
    machine, alice = house.start("alice")
    alice.post("/setup", {"owner": "alice", "relay": house.relay})
    second, other = house.start("alice2")
    with _command(second.data, "link", "--relay", house.relay) as new:
        code = _read_until(new.stderr, r"device approve ([a-z0-9-]+)\n")
        with _command(machine.data, "approve", code) as old:
            theirs = _read_until(old.stderr, _WORDS)
            _read_until(new.stderr, _WORDS)
            _type(new.stdin, theirs)
            _type(old.stdin, "acorn acorn acorn")
            assert old.wait(60) == 4
            assert new.wait(60) == 4, new.stderr and new.stderr.read()
            assert new.stderr is not None
            assert "nothing was signed" in new.stderr.read()
    assert len(alice.get("/account")["devices"]) == 1
    assert not other.get("/health")["set_up"]


def test_a_machine_that_still_asks_is_told_that_the_other_refused(house: House):
    """Nothing is typed on the new one: it ends by itself, and says what that may mean."""
    machine, alice = house.start("alice")
    alice.post("/setup", {"owner": "alice", "relay": house.relay})
    second, _ = house.start("alice2")
    with _command(second.data, "link", "--relay", house.relay) as new:
        code = _read_until(new.stderr, r"device approve ([a-z0-9-]+)\n")
        with _command(machine.data, "approve", code) as old:
            _read_until(old.stderr, _WORDS)
            _read_until(new.stderr, _WORDS)
            _type(old.stdin, "acorn acorn acorn")
            assert old.wait(60) == 4
            assert new.wait(15) == 4
            assert new.stderr is not None
            assert "somebody stood in between" in new.stderr.read()


def test_the_new_machines_link_leads_to_the_command_and_does_nothing_by_itself(house: House):
    """Opened where the account is, it names the command; where none is, it says that it is for the other."""
    machine, alice = house.start("alice")
    alice.post("/setup", {"owner": "alice", "relay": house.relay})
    second, other = house.start("alice2")
    with _command(second.data, "link", "--relay", house.relay) as new:
        code = _read_until(new.stderr, r"device approve ([a-z0-9-]+)\n")
        link = _read_until(new.stderr, r"(taskferry://\S+)\n")
        assert link == f"taskferry://{house.relay.partition('//')[2]}/device#code={code}"
        opened = _opened(machine.data, link)
        assert (opened[0], f"taskferry device approve {code}" in opened[2]) == (2, True)
        told = json.loads(_opened(machine.data, link, "--json")[1])
        assert (told["kind"], told["command"]) == ("device", f"taskferry device approve {code}")
        assert "has the account already" in _opened(second.data, link)[2]
        assert alice.get("/devices/link")["phase"] == "none"
        assert other.get("/devices/link")["phase"] == "waiting"
        assert _ran(second.data, "link", "--cancel")[0] == 0
        assert new.wait(60) == 4


def _opened(data: Path, link: str, *words: str) -> tuple[int, str, str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TASKFERRY_")}
    done = subprocess.run(
        [*PROGRAM, "open", "-", "--no-browser", *words],
        input=link,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**environment, "TASKFERRY_DATA": str(data)},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_code_that_nobody_made_is_said_in_a_sentence(house: House):
    """Mistyped, or too late."""
    machine, alice = house.start("alice")
    alice.post("/setup", {"owner": "alice", "relay": house.relay})
    for code in ("abcd-efgh-ijkm-npqr", "nonsense"):
        ended, _, said = _ran(machine.data, "approve", code)
        assert ended in (2, 4)
        assert "code" in said
        assert "Traceback" not in said


@pytest.mark.journey
def test_an_action_typed_on_the_other_machine_is_passed_on(house: House):
    """The outcome is printed where it was typed; and that it waits, while the machine that acts is off."""
    machine, alice = house.start("alice")
    alice.post("/setup", {"owner": "alice", "relay": house.relay, "device_label": "desk"})
    alice.post("/agents", {"handle": "requester"})
    bob = house.owner("bob", "writer")
    house.connect(alice, bob)
    second, other = house.start("alice2")
    house.link(alice, other, manage=True)
    first, later = (
        str(alice.post("/tasks", {"from": "requester", "to": "@bob/writer", "title": title})["task_id"])
        for title in ("One", "Two")
    )
    until(lambda: len(other.get("/tasks")["tasks"]) == 2)
    code, said, note = _ran(second.data, "cancel", first, "enough", group="task")
    assert (code, said) == (0, "Cancelled, on your device desk.\n"), note
    assert "Your device desk acts in this task. It is asked to." in note
    code, said, _ = _ran(second.data, "show", first, group="task")
    assert re.search(r"desk +cancel +done", said)
    code, _, note = _ran(second.data, "revise", later, "More", group="task")
    assert code == 4
    assert "Possible now: cancel" in note

    pid = json.loads((machine.data / "daemon.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_ended(pid)
    (machine.data / "daemon.json").unlink()
    code, said, _ = _ran(second.data, "cancel", later, group="task")
    assert code == 0
    assert "It has not answered, and may be off." in said
    code, told, _ = _ran(second.data, "cancel", later, "--json", group="task")
    assert (code, json.loads(told)["request"]["state"]) == (0, "waiting")
    assert all(len(line) <= 80 for line in said.splitlines())
    house.start("alice")
    until(lambda: bob.get(f"/tasks/{later}")["state"] == "cancelled")
    until(lambda: re.search(r"desk +cancel +done", _ran(second.data, "show", later, group="task")[1]))
