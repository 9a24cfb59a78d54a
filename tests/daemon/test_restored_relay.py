"""A relay whose database was put back from an older copy: what it forgot is offered again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskferry_apps.local_client import LocalClient
from tests.crash.world import World, connect, listed, until

pytestmark = pytest.mark.journey


def _arrived(bob: LocalClient) -> list[str]:
    found = []
    for item in listed(bob.get("/messages", limit=200), "messages"):
        payload = item["payload"]
        if item["type"] == "message" and isinstance(payload, dict):
            found.append(str(payload["text"]))
    return sorted(found)


def test_what_an_older_copy_of_the_relay_forgot_is_offered_again(tmp_path: Path) -> None:
    """Messages that only the newer file held reach their reader once after `relay --restored`."""
    with World(tmp_path) as world, world.client("alice") as alice, world.client("bob") as bob:
        connect(alice, bob, world.relay_url)
        alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "before"})
        until(lambda: _arrived(bob) == ["before"] or None, "the first message arrives")
        world.kill("bob")
        world.kill("relay")
        for path in tmp_path.glob("relay.db*"):
            shutil.copy(path, tmp_path / f"copy-{path.name}")
        world.start("relay")
        until(lambda: _is_connected(alice), "alice is back")
        sent = [
            str(alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": text})["message_id"])
            for text in ("lost one", "lost two")
        ]
        for message in sent:
            until(lambda message=message: _is_relayed(alice, message), "the relay has it")  # type: ignore[misc]

        world.kill("relay")
        for path in tmp_path.glob("relay.db*"):
            path.unlink()
        for path in tmp_path.glob("copy-relay.db*"):
            shutil.copy(path, tmp_path / path.name.removeprefix("copy-"))
        world.start("relay", "--restored")
        world.start("bob")
        expected = ["before", "lost one", "lost two"]
        until(lambda: _arrived(bob) == expected or None, "what was lost arrives, once")


def _relay_command(folder: Path, *words: str) -> dict[str, object]:
    """What an operator's command on the relay's database answers."""
    command = [sys.executable, "-m", "taskferry_apps.cli", "relay", "--db", str(folder / "relay.db")]
    ran = subprocess.run(
        [*command, *words, "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


def test_a_backup_of_yesterday_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    """Taken beside a running relay and put back later: what was read stays read once, what was not comes.

    Between backup and loss mail was accepted, and some of it was delivered; the task goes on to its end.
    """
    backup = tmp_path / "yesterday.db"
    with World(tmp_path) as world, world.client("alice") as alice, world.client("bob") as bob:
        connect(alice, bob, world.relay_url)
        alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "before"})
        until(lambda: _arrived(bob) == ["before"] or None, "the first message arrives")
        made = _relay_command(tmp_path, "backup", str(backup))
        assert _relay_command(tmp_path, "check", str(backup))["ok"] is True

        alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "delivered since"})
        until(lambda: len(_arrived(bob)) == 2 or None, "the second arrives")
        task = alice.post(
            "/tasks", {"from": "asks", "to": "@bob/does", "title": "go on", "description": "over it"}
        )
        task_id = str(task["task_id"])
        until(lambda: listed(bob.get("/tasks"), "tasks") or None, "the task arrives")
        world.kill("bob")
        sent = alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "accepted since"})
        until(lambda: _is_relayed(alice, str(sent["message_id"])), "the relay has it")

        world.kill("relay")
        put = _relay_command(tmp_path, "restore", str(backup), "--replace")
        assert Path(str(put["kept"])).exists()
        world.start("relay")
        world.start("bob")
        expected = ["accepted since", "before", "delivered since"]
        until(lambda: _arrived(bob) == expected or None, "all arrives, once")
        until(lambda: bob.post(f"/tasks/{task_id}/accept", {"from": "@bob/does"}), "the task is accepted")
        until(lambda: _state_of(alice, task_id) == "accepted" or None, "its requester hears of it")
        assert _arrived(bob) == expected
        assert _relay_command(tmp_path, "check")["ok"] is True
        with (tmp_path / "yesterday.db.manifest.json").open() as stream:
            assert json.load(stream)["sha256"] == made["sha256"]


def _state_of(client: LocalClient, task: str) -> str:
    return str(client.get(f"/tasks/{task}")["state"])


def _is_connected(client: LocalClient) -> bool | None:
    relay = client.get("/health")["relay"]
    return True if isinstance(relay, dict) and relay["connected"] else None


def _is_relayed(client: LocalClient, message: str) -> bool | None:
    delivery = client.get(f"/messages/{message}")["delivery"]
    return True if isinstance(delivery, dict) and delivery["rung"] == "relayed" else None
