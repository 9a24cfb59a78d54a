"""A relay and two daemons as processes that can be killed at any moment and started again in place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from taskferry_apps.local_client import ApiError, DaemonUnreachable, JsonObject, LocalClient
from taskferry_transports.backoff import LONGEST
from tests.ports import free_port

T = TypeVar("T")

#: A daemon that was unlucky several times in a row waits up to a minute before it dials again, and dialling
#: a program that is just being killed may take its own time. Nothing honest takes longer than both.
PATIENCE_S = LONGEST + 60.0


def until(
    ask: Callable[[], T | None],
    what: str,
    seconds: float = PATIENCE_S,
    check: Callable[[], None] = lambda: None,
) -> T:
    """What `ask` gives, as soon as it gives something; programs that are down are asked again.

    `check` raises if waiting on is in vain.
    """
    deadline = time.monotonic() + seconds
    while True:
        check()
        try:
            value = ask()
        except (DaemonUnreachable, ApiError) as error:
            value, last = None, str(error)
        else:
            last = "nothing yet"
        if value is not None:
            return value
        assert time.monotonic() < deadline, f"{what}: {last}"
        time.sleep(0.03)


class World:
    """Three programs and their files. With `front`, daemons reach the relay through that proxy's port."""

    def __init__(self, folder: Path, front: int | None = None) -> None:
        self.folder = folder
        ports = {name: free_port() for name in ("relay", "alice", "bob")}
        self.relay_port = ports["relay"]
        self.relay_url = f"http://127.0.0.1:{front or self.relay_port}"
        origins = ["--origins", self.relay_url] if front else []
        self._words = {
            "relay": [
                "relay",
                "--addr",
                f"127.0.0.1:{self.relay_port}",
                "--db",
                str(folder / "relay.db"),
                *origins,
            ],
            **{
                owner: ["up", "--addr", f"127.0.0.1:{ports[owner]}", "--data", str(folder / owner)]
                for owner in ("alice", "bob")
            },
        }
        self._urls = {owner: f"http://127.0.0.1:{ports[owner]}" for owner in ("alice", "bob")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.kills = 0

    def __enter__(self) -> Self:
        for name in self._words:
            self.start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for name in self._words:
                error.add_note(f"The end of {name}'s log:\n{self.last_words(name)}")
        for process in self._running.values():
            process.kill()
            process.wait()

    def start(self, name: str, *more: str) -> None:
        """Start a program, or start it again on the files that it left, with `more` on its command line."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "taskferry_apps.cli", *self._words[name], *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def kill(self, name: str) -> None:
        """SIGKILL, and the end of it."""
        self.check()
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.kills += 1

    def check(self) -> None:
        """Raise AssertionError if a program that was not killed has ended."""
        for name, process in tuple(self._running.items()):
            status = process.poll()
            assert status is None, f"{name} ended by itself with {status}: {self.last_words(name)}"

    def last_words(self, name: str) -> str:
        """The end of a program's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def client(self, owner: str) -> LocalClient:
        """A client with the owner's credential, which is there once the daemon has started."""
        token = until(lambda: self._token(owner), f"{owner}'s credential")
        return LocalClient(self._urls[owner], token)

    def _token(self, owner: str) -> str | None:
        path = self.folder / owner / "owner.token"
        return path.read_text().strip() if path.exists() else None


def connect(alice: LocalClient, bob: LocalClient, relay: str) -> None:
    """Accounts, agents and an accepted connection between @alice/asks and @bob/does."""
    for client, owner, agent in ((alice, "alice", "asks"), (bob, "bob", "does")):
        until(lambda client=client: client.get("/health"), "the daemon answers")  # type: ignore[misc]
        answer = client.post("/setup", {"owner": owner, "relay": relay})
        assert answer["name_claimed"], answer
        client.post("/agents", {"handle": agent})
    alice.post("/connections/request", {"from": "asks", "to": "@bob/does"})

    def asked() -> JsonObject | None:
        found = listed(bob.get("/connections", state="requested_in"), "connections")
        return found[0] if found else None

    request = until(asked, "the request arrives")
    bob.post("/connections/accept", {"id": request["id"], "permissions": {"human_gate": False}})
    until(
        lambda: listed(alice.get("/connections", state="accepted"), "connections") or None,
        "the acceptance arrives",
    )


def listed(answer: JsonObject, key: str) -> list[JsonObject]:
    """The objects in a list of an answer."""
    found = answer[key]
    assert isinstance(found, list)
    return found
