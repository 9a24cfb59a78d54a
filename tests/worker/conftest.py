"""Bob's worker in this process, with real child processes, and the daemons that it calls at."""

from __future__ import annotations

import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from taskferry_apps.client import AsyncClient, AsyncTaskHandle, Task
from taskferry_apps.worker.harvest import ResultKind
from taskferry_apps.worker.rules import Rules
from taskferry_apps.worker.running import Command, Limits, ProgressFrom
from taskferry_apps.worker.serving import Orders, work
from taskferry_apps.worker.telling import Told, What
from tests.client.conftest import Ferry, _open_door
from tests.daemon.api.house import a_house

PATIENCE_S = 40.0


@attrs.define
class Shop:
    """Bob's workers, and Alice's requests to them."""

    ferry: Ferry
    alice: AsyncClient
    folder: Path
    told: list[Told] = attrs.field(factory=list)

    @property
    def room(self) -> Path:
        """The worker's folder."""
        return self.folder / "workers" / "writer"

    def orders(self, *words: str, **changes: Any) -> Orders:
        """Orders for a worker that runs a command."""
        limits: dict[str, Any] = {"time_s": 30.0, "output_bytes": 1_000_000, "grace_s": 0.3}
        limits["disk_bytes"] = 50_000_000
        limits |= {name: changes.pop(name) for name in tuple(limits) if name in changes}
        rules = {
            name: changes.pop(name)
            for name in [field.name for field in attrs.fields(Rules)]
            if name in changes
        }
        given: dict[str, Any] = {
            "agent": "writer",
            "token": self.ferry.bob.token,
            "find_url": lambda: self.ferry.bob.url,
            "command": Command(words, Limits(**limits), changes.pop("progress", ProgressFrom.PREFIX)),
            "rules": Rules(**rules),
            "result": ResultKind.AUTO,
            "most": 1,
            "concurrency": 1,
            "variables": (),
            "gives_api": False,
            "keep": "failed",
            "folder": None,
            "workers": self.folder / "workers",
            "is_dry": False,
            "name": "",
            "lease_s": None,
        }
        return Orders(**{**given, **changes})

    async def work(self, *words: str, **changes: Any) -> int:
        """A worker's exit code."""
        with trio.fail_after(PATIENCE_S):
            return await work(self.orders(*words, **changes), self.told.append)

    @asynccontextmanager
    async def working(self, *words: str, **changes: Any) -> AsyncIterator[None]:
        """A worker that works while the block runs."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, self.orders(*words, most=None, **changes), self.told.append)
            yield
            nursery.cancel_scope.cancel()

    def script(self, text: str, name: str = "work") -> str:
        """A Python program to run."""
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    async def send(
        self, title: str = "Count", brief: str = "Count the words.", **more: Any
    ) -> AsyncTaskHandle:
        """A task that has reached Bob."""
        handle = await self.alice.send_task("@bob/writer", title, brief, **more)
        await self.ferry.house.until_state(self.ferry.house.bob, handle.id, "sent")
        return handle

    async def ended(self, handle: AsyncTaskHandle, *states: str) -> Task:
        """The task as Alice sees it, in one of these states."""
        return await handle.wait(PATIENCE_S, until=lambda task: task.state in states)

    def words(self, what: What) -> list[str]:
        """What the worker has said of a kind."""
        return [told.words for told in self.told if told.what is what]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        with trio.fail_after(PATIENCE_S):
            while not holds():
                await trio.sleep(0.01)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Alice's and Bob's daemons; what Alice sends may start without Bob."""
    async with (
        a_house() as house,
        _open_door(house.alice, "requester") as alice,
        _open_door(house.bob, "writer") as bob,
        AsyncClient(url=alice.url, token=alice.token) as client,
    ):
        (connection,) = (await house.bob.ok("GET", "/connections"))["connections"]
        await house.bob.ok("POST", "/permissions", {"id": connection["id"], "auto_trigger": True})
        await house.bob.ok("POST", "/peers/trust", {"peer": "@alice"})
        yield Shop(Ferry(house, alice, bob), client, tmp_path)
