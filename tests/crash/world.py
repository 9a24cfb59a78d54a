"""A relay and two daemons as processes that can be killed at any moment and started again in place."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from taskferry_apps.local_client import ApiError, DaemonUnreachable, JsonObject, LocalClient
from taskferry_transports.backoff import LONGEST
from tests.crash.starter import Starter
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
    """A relay, daemons, and their files. With `front`, daemons reach the relay through that proxy's port."""

    def __init__(
        self,
        folder: Path,
        front: int | None = None,
        daemons: Sequence[str] = ("alice", "bob"),
        preload: Path | None = None,
    ) -> None:
        self.folder = folder
        self.relay_db = folder / "relay.db" if preload is None else folder / "relay" / "relay.db"
        ports = {name: free_port() for name in ("relay", *daemons)}
        self.relay_port = ports["relay"]
        self.relay_url = f"http://127.0.0.1:{front or self.relay_port}"
        origins = ["--origins", self.relay_url] if front else []
        self._words = {
            "relay": [
                "relay",
                "--addr",
                f"127.0.0.1:{self.relay_port}",
                "--db",
                str(self.relay_db),
                *origins,
            ],
        }
        self._urls: dict[str, str] = {}
        for owner in daemons:
            self.add(owner, ports[owner])
        self._starter = Starter(preload)
        self._running: dict[str, int] = {}
        # Several threads look after the programs while another kills them.
        self._lock = threading.RLock()
        self.kills: Counter[str] = Counter()
        """How often each program was killed."""

    @property
    def names(self) -> tuple[str, ...]:
        """All programs."""
        return tuple(self._words)

    def add(self, owner: str, port: int) -> None:
        """One more daemon, which does not run yet."""
        self._words[owner] = ["up", "--addr", f"127.0.0.1:{port}", "--data", str(self.folder / owner)]
        self._urls[owner] = f"http://127.0.0.1:{port}"

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
        self._starter.close()

    def start(self, name: str, *more: str) -> None:
        """Start a program, or start it again on the files that it left, with `more` on its command line."""
        with self._lock:
            log = self.folder / f"{name}.log"
            failing = self.failing_of(name)
            self._running[name] = self._starter.start([*self._words[name], *more], log, failing)

    def failing_of(self, name: str) -> tuple[Path, Path] | None:
        """What of a program's files fails, and by whose orders; None where nothing does."""
        return None

    def kill(self, *names: str) -> None:
        """SIGKILL to programs at once, and the end of them."""
        with self._lock:
            self.check()
            self._starter.kill(*[self._running.pop(name) for name in names])
            self.kills.update(names)

    def check(self) -> None:
        """Raise AssertionError if a program that was not killed has ended."""
        with self._lock:
            for name, process in self._running.items():
                status = self._starter.poll(process)
                assert status is None, f"{name} ended by itself with {status}: {self.last_words(name)}"

    def last_words(self, name: str) -> str:
        """The end of a program's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def client(self, owner: str) -> LocalClient:
        """A client with the owner's credential, which is there once the daemon has started."""
        token = until(lambda: self._token(owner), f"{owner}'s credential", check=self.check)
        return LocalClient(self._urls[owner], token)

    def _token(self, owner: str) -> str | None:
        path = self.folder / owner / "owner.token"
        return path.read_text().strip() if path.exists() else None


def connect(alice: LocalClient, bob: LocalClient, relay: str) -> None:
    """Accounts, agents and an accepted connection between @alice/asks and @bob/does."""
    set_up(alice, "alice", ["asks"], relay)
    set_up(bob, "bob", ["does"], relay)
    befriend(alice, bob, "asks", "does")


def set_up(client: LocalClient, owner: str, agents: Iterable[str], relay: str) -> None:
    """An account, its name claimed, with agents."""
    until(lambda: client.get("/health"), "the daemon answers")
    answer = client.post("/setup", {"owner": owner, "relay": relay})
    assert answer["name_claimed"], answer
    for agent in agents:
        client.post("/agents", {"handle": agent})


def befriend(
    alice: LocalClient, bob: LocalClient, asks: str, does: str, check: Callable[[], None] = lambda: None
) -> None:
    """An accepted connection between an agent of Alice's and one of Bob's; either may send without a gate."""
    wanted = {"from": asks, "to": f"@bob/{does}"}

    def asked() -> JsonObject | None:
        found = listed(bob.get("/connections", state="requested_in"), "connections")
        return found[0] if found else None

    def accepted() -> bool | None:
        found = listed(alice.get("/connections", state="accepted"), "connections")
        return any(f"/{asks}" in str(one) for one in found) or None

    until(lambda: alice.post("/connections/request", wanted, key=f"request-{asks}"), "a request", check=check)
    answer = {
        "id": until(asked, "the request arrives", check=check)["id"],
        "permissions": {"human_gate": False},
    }
    until(lambda: bob.post("/connections/accept", answer, key=f"accept-{does}"), "an answer", check=check)
    until(accepted, "the acceptance arrives", check=check)


def link(old: LocalClient, new: LocalClient, relay: str) -> None:
    """Make `new` the second machine of `old`'s owner, by the words that both show."""
    until(lambda: new.get("/health"), "the daemon answers")
    code = new.post("/devices/link", {"relay": relay, "device_label": "second"})["code"]
    old.post("/devices/approve", {"code": code})

    def in_phase(client: LocalClient, phase: str) -> JsonObject:
        def there() -> JsonObject | None:
            found = client.get("/devices/link")
            return found if found["phase"] == phase else None

        return until(there, phase)

    words = [in_phase(client, "comparing")["words"] for client in (new, old)]
    new.post("/devices/confirm", {"words": words[1]})
    old.post("/devices/confirm", {"words": words[0]})
    in_phase(new, "linked")


def listed(answer: JsonObject, key: str) -> list[JsonObject]:
    """The objects in a list of an answer."""
    found = answer[key]
    assert isinstance(found, list)
    return found
