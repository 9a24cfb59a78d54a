"""A relay whose database was put back from an older copy: what it forgot is offered again."""

from __future__ import annotations

import shutil
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


def _is_connected(client: LocalClient) -> bool | None:
    relay = client.get("/health")["relay"]
    return True if isinstance(relay, dict) and relay["connected"] else None


def _is_relayed(client: LocalClient, message: str) -> bool | None:
    delivery = client.get(f"/messages/{message}")["delivery"]
    return True if isinstance(delivery, dict) and delivery["rung"] == "relayed" else None
