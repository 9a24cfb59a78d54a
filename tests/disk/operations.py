"""What is done while a program's writes fail. Each ends when it is done, whatever had to be asked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from taskferry_apps.local_client import ApiError, DaemonUnreachable
from tests.crash.stories import STORIES
from tests.crash.world import listed
from tests.disk.preload import Control
from tests.disk.trial import Desk
from tests.ports import free_port

__all__ = ["OPERATIONS", "TARGETS"]

Arm = Callable[[Control], None]
"""Lets the trial's call of a program fail from now on."""


def _story(name: str) -> Callable[[Desk, str, Arm], Control]:
    def tell(desk: Desk, target: str, arm: Arm) -> Control:
        lane = desk.lane()
        control = desk.world.control(target)
        arm(control)
        STORIES[name](lane)
        lane.rounds += 1
        return control

    return tell


def _permission(desk: Desk, target: str, arm: Arm) -> Control:
    """Bob changes what Alice's agent may send, and both sides show it."""
    lane, control = desk.lane(), desk.world.control(target)
    rate = 100 + desk.number
    arm(control)
    pair = {"from": lane.does, "to": f"@alice/{lane.asks}"}
    lane.say(desk.bob, "/permissions", {**pair, "rate_per_minute": rate}, "permission")
    lane.rounds += 1
    asked: list[tuple[object, dict[str, str]]] = [
        (desk.bob, pair),
        (desk.alice, {"from": lane.asks, "to": f"@bob/{lane.does}"}),
    ]
    for client, query in asked:
        desk.until(
            lambda client=client, query=query: (
                f"'rate_per_minute': {rate}"  # type: ignore[misc]
                in str(client.get("/permissions", **query))
            ),
            "both sides show the permission",
        )
    return control


def _agent(desk: Desk, target: str, arm: Arm) -> Control:
    """Alice makes an agent, which is told to the relay."""
    lane, control = desk.lane(), desk.world.control(target)
    handle = f"extra{desk.number}"
    arm(control)
    lane.say(desk.alice, "/agents", {"handle": handle}, f"agent-{handle}")
    lane.rounds += 1
    desk.until(
        lambda: (
            [agent["handle"] for agent in listed(desk.alice.get("/agents"), "agents")].count(
                f"@alice/{handle}"
            )
            == 1
        ),
        "the agent is there once",
    )
    return control


def _keys(desk: Desk, target: str, arm: Arm) -> Control:
    """Alice's machine takes a fresh key, and opens what is sealed to it."""
    lane, control = desk.lane(), desk.world.control(target)
    arm(control)
    lane.say(desk.alice, "/devices/rotate", {}, "rotate")
    STORIES["talk"](lane)
    lane.rounds += 1
    return control


def _start(desk: Desk, target: str, arm: Arm) -> Control:
    """A daemon starts for the first time, in a folder that is not there."""
    name = f"new{desk.number}"
    desk.world.add(name, free_port())
    control = desk.world.control(name)
    arm(control)
    desk.world.start(name)
    client = desk.clients.enter_context(desk.world.client(name))
    desk.until(client.health, "the daemon comes up")
    desk.world.kill(name)
    return control


def _set_up(desk: Desk, target: str, arm: Arm) -> Control:
    """A daemon makes its account and claims its name at the relay."""
    name = f"owner{desk.number}"
    desk.world.add(name, free_port())
    desk.world.start(name)
    client = desk.clients.enter_context(desk.world.client(name))
    desk.until(client.health, "the daemon comes up")
    control = desk.world.control(name if target == "alice" else target)
    arm(control)

    def done() -> bool:
        try:
            return (
                client.post("/setup", {"owner": name, "relay": desk.world.relay_url})["name_claimed"] is True
            )
        except ApiError as error:
            desk.hear(client, "/setup", {}, error)
            return error.code in ("conflict", "already-set-up") and _is_claimed()
        except DaemonUnreachable:
            return False

    def _is_claimed() -> bool:
        return bool(client.get("/account")["owner"] == name)

    desk.until(done, "the account is made")
    desk.until(lambda: client.get("/health")["relay"]["connected"], "it is at the relay")  # type: ignore[index]
    desk.world.kill(name)
    return control


def _backup(desk: Desk, target: str, arm: Arm) -> Control:
    """The daemon's copy is written to one file: all of it, or nothing is left."""
    file = desk.world.folder / "cli" / f"{desk.number}.backup"
    file.parent.mkdir(exist_ok=True)
    control = desk.world.control(target)
    arm(control)
    for attempt in range(3):
        status, said = desk.world.run_once(
            "cli", ["backup", str(file), "--data", str(desk.world.folder / "alice")]
        )
        desk.world.check()
        # Who is killed cleans up at the next try.
        assert status == -9 or not list(file.parent.glob(".*.part")), "a part of it was left"
        assert file.exists() == (status == 0), said
        assert status in (0, -9) or ("Traceback" not in said and said.strip()), said
        if status == 0:
            break
        assert attempt < 2, said
        desk.until(desk.alice.health, "the daemon comes up")
    return control


OPERATIONS: Final[Mapping[str, Callable[[Desk, str, Arm], Control]]] = {
    "start": _start,
    "set-up": _set_up,
    "agent": _agent,
    "permission": _permission,
    "keys": _keys,
    "backup": _backup,
    "talk": _story("talk"),
    "many": _story("many in one request"),
    "at once": _story("many at once"),
    "task": _story("revised"),
    "files": _story("progress and files"),
    "cancel": _story("cancelled"),
}
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("alice",),
    "set-up": ("alice", "relay"),
    "agent": ("alice", "relay"),
    "permission": ("bob", "alice", "relay"),
    "keys": ("alice", "relay"),
    "backup": ("alice", "cli"),
    "talk": ("alice", "relay", "bob"),
    "many": ("alice", "relay", "bob"),
    "at once": ("bob",),
    "task": ("alice", "relay", "bob"),
    "files": ("relay", "bob"),
    "cancel": ("alice", "bob"),
}
