"""One trial: traffic in both directions, programs killed meanwhile, and an audit at the end.

The audit holds the second promise: what a daemon accepted arrives, once; and the third: both ends agree.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from taskferry_apps.local_client import ApiError, JsonObject, LocalClient
from tests.crash.world import World, connect, listed, until

__all__ = ["Audit", "run_trial"]

#: Seconds between kills, and until the next start.
PAUSE_S = (0.1, 2.5)
DOWN_S = (0.0, 0.4)


@attrs.frozen
class Audit:
    """What a trial counted. It raises AssertionError if anything does not hold."""

    kills: int
    messages: int
    tasks: int
    seconds: float


def run_trial(folder: Path, *, seed: int, kills: int, tasks: int) -> Audit:
    """Kill programs `kills` times while `tasks` tasks and as many messages each way go through."""
    begun = time.monotonic()
    dice = random.Random(seed)
    with World(folder) as world:
        alice, bob = world.client("alice"), world.client("bob")
        with alice, bob:
            connect(alice, bob, world.relay_url)
            done = threading.Event()
            trouble: list[Exception] = []
            reaper = threading.Thread(target=_reap, args=(world, dice, kills, done, trouble))
            reaper.start()
            sent = 0
            try:
                while reaper.is_alive() or sent < tasks:
                    _round(world, alice, bob, f"{seed}-{sent}")
                    sent += 1
            finally:
                done.set()
                reaper.join()
                if trouble:
                    raise trouble[0]
            _audit(world, alice, bob, seed, sent)
        return Audit(world.kills, 2 * sent, sent, time.monotonic() - begun)


def _reap(
    world: World, dice: random.Random, kills: int, done: threading.Event, trouble: list[Exception]
) -> None:
    try:
        for _ in range(kills):
            if done.wait(dice.uniform(*PAUSE_S)):
                return
            name = dice.choice(("relay", "alice", "bob"))
            world.kill(name)
            time.sleep(dice.uniform(*DOWN_S))
            world.start(name)
    # Whatever ends this thread ends the trial, which raises it.
    except Exception as error:  # noqa: BLE001
        trouble.append(error)


def _say(world: World, client: LocalClient, path: str, body: Mapping[str, object], key: str) -> JsonObject:
    """Ask until the daemon has said that it is done; the key makes that once. 409: it was done before."""

    def attempt() -> JsonObject | None:
        try:
            return client.post(path, body, key=key)
        except ApiError as error:
            if error.status in (409, 503) or error.code == "internal":
                if error.status == 409 and error.code == "not-possible":
                    return {"already": True}
                return None
            raise AssertionError(f"{path}: {error.code} {error}") from error

    return until(attempt, path, check=world.check)


def _round(world: World, alice: LocalClient, bob: LocalClient, name: str) -> None:
    """A message each way, and a task from request to completion with one revision."""
    _say(
        world,
        alice,
        "/messages/send",
        {"from": "asks", "to": "@bob/does", "text": f"there {name}"},
        f"there-{name}",
    )
    _say(
        world,
        bob,
        "/messages/send",
        {"from": "does", "to": "@alice/asks", "text": f"back {name}"},
        f"back-{name}",
    )
    asked = {
        "from": "asks",
        "to": "@bob/does",
        "title": f"task {name}",
        "description": "crash",
        "requirements": [],
    }
    task = str(_say(world, alice, "/tasks", asked, f"task-{name}")["task_id"])

    def shows(client: LocalClient, state: str) -> None:
        until(
            lambda: True if client.get(f"/tasks/{task}")["state"] == state else None,
            f"{task} {state}",
            check=world.check,
        )

    shows(bob, "sent")
    _say(world, bob, f"/tasks/{task}/accept", {}, f"accept-{name}")
    work = {"artifact_type": "text", "content": f"work on {name}"}
    _say(world, bob, f"/tasks/{task}/artifacts", work, f"submit-{name}")
    shows(alice, "submitted")
    _say(world, alice, f"/tasks/{task}/revision", {"reason": "again"}, f"revise-{name}")
    shows(bob, "revision_requested")
    _say(world, bob, f"/tasks/{task}/artifacts", work, f"resubmit-{name}")
    shows(alice, "resubmitted")
    _say(world, alice, f"/tasks/{task}/complete", {}, f"complete-{name}")


def _texts(client: LocalClient, word: str) -> list[str]:
    """The texts of all messages received, however many pages they are."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = client.get("/messages", limit=200, cursor=cursor)
        for item in listed(page, "messages"):
            payload = item["payload"]
            if item["type"] == "message" and isinstance(payload, dict):
                text = str(payload.get("text"))
                found += [text] if text.startswith(word) else []
        if not page["more"]:
            return found
        cursor = str(page["cursor"])


def _audit(world: World, alice: LocalClient, bob: LocalClient, seed: int, rounds: int) -> None:
    names = [f"{seed}-{number}" for number in range(rounds)]
    for client, word in ((bob, "there"), (alice, "back")):
        expected = sorted(f"{word} {name}" for name in names)
        until(
            lambda client=client, word=word, expected=expected: (  # type: ignore[misc]
                True if sorted(_texts(client, word)) == expected else None
            ),
            f"every {word} message arrives once",
            check=world.check,
        )
    ours = {str(task["task_id"]) for task in listed(alice.get("/tasks", limit=200), "tasks")}
    theirs = {str(task["task_id"]) for task in listed(bob.get("/tasks", limit=200), "tasks")}
    assert ours == theirs
    assert len(ours) == rounds
    for task in ours:

        def agree(task: str = task) -> bool | None:
            one, other = (client.get(f"/tasks/{task}") for client in (alice, bob))
            same = [event["hash"] for event in listed(one, "events")] == [
                event["hash"] for event in listed(other, "events")
            ]
            final = one["state"] == other["state"] == "completed" and one["final"] and other["final"]
            return True if same and final else None

        until(agree, f"both ends agree on {task}", check=world.check)
