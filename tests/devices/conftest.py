"""A relay and daemons as real processes: Alice's first machine, one to be linked, and Bob's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from taskferry_apps.demo.stage import Machine, Stage
from taskferry_apps.local_client import LocalClient
from tests.warm import WarmStage

T = TypeVar("T")
PATIENCE_S = 40.0


def until(found: Callable[[], T | None]) -> T:
    """What `found` gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


class Client:
    """An owner's client whose answers need no narrowing."""

    def __init__(self, inner: LocalClient) -> None:
        self.inner = inner

    def get(self, path: str, **query: str | int | None) -> Any:
        """As LocalClient."""
        return self.inner.get(path, **query)

    def post(self, path: str, body: dict[str, object]) -> Any:
        """As LocalClient."""
        return self.inner.post(path, body)


def in_phase(client: Client, phase: str) -> dict[str, Any]:
    """The linking's state, once it is in a phase."""

    def there() -> dict[str, Any] | None:
        state: dict[str, Any] = client.get("/devices/link")
        assert state["phase"] in (phase, "waiting", "comparing", "confirmed"), state
        return state if state["phase"] == phase else None

    return until(there)


@attrs.frozen
class House:
    """The processes of one test."""

    stage: Stage
    relay: str
    clients: ExitStack

    def start(self, name: str) -> tuple[Machine, Client]:
        """A daemon, and the owner's client of it."""
        machine = self.stage.start_daemon(name)
        return machine, self.client(machine)

    def client(self, machine: Machine) -> Client:
        """A client that is closed with the house."""
        return Client(self.clients.enter_context(machine.client()))

    def owner(self, name: str, agent: str) -> Client:
        """An owner with one agent, at the relay."""
        _, client = self.start(name)
        assert client.post("/setup", {"owner": name, "relay": self.relay})["name_claimed"]
        client.post("/agents", {"handle": agent})
        return client

    def connect(self, alice: Client, bob: Client) -> None:
        """alice/requester and bob/writer, each allowed to send to the other."""
        alice.post("/connections/request", {"from": "requester", "to": "@bob/writer"})
        until(lambda: bob.get("/connections", state="requested_in")["connections"])
        bob.post("/connections/accept", {"from": "writer", "to": "@alice/requester"})
        until(lambda: alice.get("/connections", state="accepted")["connections"])

    def link(self, old: Client, new: Client, **how: object) -> str:
        """Link a machine by the words that both show; its device id."""
        code = new.post("/devices/link", {"relay": self.relay, "device_label": "second"})["code"]
        old.post("/devices/approve", {"code": code, **how})
        words = [in_phase(client, "comparing")["words"] for client in (new, old)]
        new.post("/devices/confirm", {"words": words[1]})
        old.post("/devices/confirm", {"words": words[0]})
        in_phase(new, "linked")
        device: str = here(new)["id"]
        return device


def here(client: Client) -> dict[str, Any]:
    """The device that answers."""
    devices: Any = until(lambda: client.get("/devices"))["devices"]
    return next(one for one in devices if one["here"])


def texts(client: Client, agent: str, *, unprocessed: bool = False) -> list[str]:
    """What an agent's inbox holds of plain messages."""
    page: Any = client.get(
        "/inbox", agent_id=agent, limit="200", unprocessed="true" if unprocessed else "false"
    )
    return [item["payload"]["text"] for item in page["messages"] if item["type"] == "message"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A relay that runs, and room for daemons."""
    with WarmStage(tmp_path) as stage, ExitStack() as clients:
        relay, _ = stage.start_relay()
        yield House(stage, relay, clients)
