"""The count at the end: what a daemon accepted arrived, once, and both ends agree.

These are the second promise and the third of the project.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from taskferry_apps.local_client import JsonObject, LocalClient
from tests.crash.stories import Lane
from tests.crash.world import World, listed, until

__all__ = ["audit", "audit_files"]


def audit(
    world: World, lanes: list[Lane], alice: LocalClient, bob: LocalClient, second: LocalClient | None
) -> None:
    """Raise AssertionError if anything does not hold; wait for what is still on its way."""
    for owner, clients in (("alice", (alice, second)), ("bob", (bob,))):
        expected = sorted(text for lane in lanes for text in lane.texts[owner])
        for client in clients:
            if client is not None:
                _arrives(world, client, expected)
    expected = {task: state for lane in lanes for task, state in lane.tasks.items()}  # type: ignore[assignment]
    for lane in lanes:
        for task, state in lane.tasks.items():
            _agree(world, (alice, bob, second), task, state, lane.events.get(task))
        for (task, version), content in lane.files.items():
            for client in (alice, bob):
                found = client.get_bytes(f"/tasks/{task}/artifacts/{version}/0")
                assert found == content, f"a file of {task} is another one"
        for message in lane.acked:
            assert bob.get(f"/messages/{message}")["state"] == "processed", message
            until(
                lambda message=message: _is_delivered(alice.get(f"/messages/{message}")),  # type: ignore[misc]
                f"{message} is known to be delivered",
                check=world.check,
            )
    for client in (alice, bob):
        assert {str(task["task_id"]) for task in _pages(client, "/tasks", "tasks")} == set(expected)


def audit_files(folder: Path) -> None:
    """The databases of ended programs are sound, and no log tells of a fault. Raises AssertionError."""
    for path in folder.glob("*.log"):
        assert "Traceback" not in path.read_text(errors="replace"), path
    for path in (*folder.glob("*.db"), *folder.glob("*/*.db")):
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        finally:
            connection.close()


def _arrives(world: World, client: LocalClient, expected: list[str]) -> None:
    def once() -> bool | None:
        found = sorted(
            str(item["payload"].get("text"))
            for item in _pages(client, "/messages", "messages")
            if item["type"] == "message" and item["direction"] == "in" and isinstance(item["payload"], dict)
        )
        more = Counter(found) - Counter(expected)
        assert not more, f"arrived more than once, or from nowhere: {more}"
        return True if found == expected else None

    until(once, "every message arrives", check=world.check)


def _agree(
    world: World,
    clients: tuple[LocalClient, LocalClient, LocalClient | None],
    task: str,
    state: str,
    events: Counter[str] | None,
) -> None:
    def agree() -> bool | None:
        shown = [client.get(f"/tasks/{task}") for client in clients if client is not None]
        hashes = [[event["hash"] for event in listed(one, "events")] for one in shown]
        if any(one["state"] != state for one in shown) or any(other != hashes[0] for other in hashes):
            return None
        if not all(one["final"] for one in shown[:2]):
            return None
        types = Counter(str(event["type"]) for event in listed(shown[0], "events"))
        del types["task_seen"]
        assert events is None or types == events, f"{task} has {types}"
        return True

    until(agree, f"both ends agree that {task} is {state}", check=world.check)


def _is_delivered(message: JsonObject) -> bool | None:
    delivery = message["delivery"]
    assert isinstance(delivery, dict)
    rung = delivery["rung"]
    assert rung in ("queued", "relayed", "delivered", "offered", "read", "processed"), delivery
    return True if rung not in ("queued", "relayed") else None


def _pages(client: LocalClient, path: str, key: str) -> list[JsonObject]:
    """All objects of a list, however many pages it has."""
    found: list[JsonObject] = []
    cursor: str | None = None
    while True:
        page = client.get(path, limit=200, cursor=cursor)
        found += listed(page, key)
        if not page["more"]:
            return found
        cursor = str(page["cursor"])
