"""A relay and two daemons as processes, with connected agents, a task and a message on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from taskferry_apps.demo.stage import Stage, wait_until

__all__ = ["World", "running"]

PATIENCE_S: Final = 60.0


@attrs.frozen
class World:
    """Where they are reached, and the credentials of one daemon's owner and of an agent there."""

    daemon: str
    relay: str
    owner: str
    agent: str


@contextmanager
def running(folder: Path) -> Iterator[World]:
    """All of it until the block ends."""
    with Stage(folder) as stage:
        relay, _ = stage.start_relay()
        alice, bob = (stage.start_daemon(owner, "warning") for owner in ("alice", "bob"))
        with alice.client() as asking, bob.client() as answering:
            asking.post("/setup", {"owner": "alice", "relay": relay})
            answering.post("/setup", {"owner": "bob", "relay": relay})
            asking.post("/agents", {"handle": "sender"})
            answering.post("/agents", {"handle": "worker"})
            agent = str(answering.post("/tokens", {"agents": ["worker"]})["token"])
            asking.post("/connections/request", {"from": "sender", "to": "@bob/worker"})

            def connected() -> bool | None:
                waiting = answering.get("/connections", state="requested_in")["connections"]
                for request in waiting if isinstance(waiting, list) else []:
                    answering.post("/connections/accept", {"id": request["id"]})
                return bool(asking.get("/connections", state="accepted")["connections"]) or None

            wait_until(connected, "the agents were not connected", PATIENCE_S)
            asking.post("/messages/send", {"from": "sender", "to": "@bob/worker", "text": "hello"})
            asking.post("/tasks", {"from": "sender", "to": "@bob/worker", "title": "t", "description": "d"})
            yield World(bob.url, relay, bob.token, agent)
