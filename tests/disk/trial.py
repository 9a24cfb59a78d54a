"""One program's writes fail, one after another, while it does something; then all is counted.

A program may end or refuse: then it says so in a sentence, comes up again on the files that it left, and what
was asked of it is asked again, under the same key, and has its effect once.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from taskferry_apps.cli.outcome import Exit
from taskferry_apps.local_client import ApiError, DaemonUnreachable, LocalClient
from tests.crash.audit import audit, audit_files
from tests.crash.bursts import widen
from tests.crash.stories import Lane, Pulse
from tests.crash.world import World, befriend, set_up
from tests.disk.preload import Control, Writes, build

__all__ = ["Outcome", "TrialWorld", "run_trial"]

#: What a program may end with that met a failing disk.
_ENDS: Final = {int(Exit.TROUBLE), -9}
#: What its last words speak of then.
_WORDS: Final = re.compile(
    r"disk is full|No space is left|no space|Reading or writing .* failed|disk I/O|failed \(|damaged"
    r"|cannot be (used|opened|written|kept|read)|input/output error|Input/output error",
)


class TrialWorld(World):
    """Programs whose writes fail by order, and that are started again when they end for it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.controls: dict[str, Control] = {}
        self.ends: list[tuple[str, str]] = []
        """Which programs ended, with their last words."""
        self._said: Counter[str] = Counter()
        super().__init__(folder, preload=library)
        for name in self.names:
            self.control(name)
        (folder / "relay").mkdir()

    def control(self, name: str) -> Control:
        """The orders of a program."""
        if name not in self.controls:
            self.controls[name] = Control(self.folder / f"{name}.orders")
        return self.controls[name]

    def failing_of(self, name: str) -> tuple[Path, Path]:
        """Its own folder."""
        return self.control(name).path, self.folder / name

    def check(self) -> None:
        """See that programs which ended met a failing disk and said so; start them again."""
        with self._lock:
            for name, process in tuple(self._running.items()):
                status = self._starter.poll(process)
                if status is None:
                    continue
                said = self._new_words(name)
                control = self.control(name)
                assert control.has_failed, f"{name} ended by itself with {status}: {said}"
                assert status in _ENDS, f"{name} ended with {status}: {said}"
                assert "Traceback" not in said, f"{name} broke: {said}"
                assert status == -9 or _WORDS.search(said), f"{name} does not say why it ended: {said}"
                self.ends.append((name, said.strip().splitlines()[-1] if said.strip() else ""))
                control.begin()
                self.start(name)

    def run_once(self, name: str, words: list[str]) -> tuple[int, str]:
        """Run a command to its end; its status and what it said."""
        log = self.folder / f"{name}.log"
        process = self._starter.start(words, log, self.failing_of(name))
        status = self._starter.wait(process)
        said = self._new_words(name)
        self.control(name).forgive()
        return status, said

    def _new_words(self, name: str) -> str:
        whole = (self.folder / f"{name}.log").read_text(errors="replace")
        new = whole[self._said[name] :]
        self._said[name] = len(whole)
        return new


@attrs.define
class Desk:
    """What an operation works with: two owners, and two agents that are connected."""

    world: TrialWorld
    alice: LocalClient
    bob: LocalClient
    clients: ExitStack
    number: int = 0
    lanes: list[Lane] = attrs.field(factory=list)
    refusals: Counter[str] = attrs.field(factory=Counter)

    def lane(self) -> Lane:
        """The pair of agents; a fresh one now and then, for what passes between two is bounded."""
        if not self.lanes or self.lanes[-1].rounds >= 6:
            number = len(self.lanes)
            for client, agent in ((self.alice, f"asks{number}"), (self.bob, f"does{number}")):
                self.until(partial(client.post, "/agents", {"handle": agent}), agent)
            befriend(self.alice, self.bob, f"asks{number}", f"does{number}", self.world.check)
            widen(self.alice, self.bob, f"asks{number}", f"does{number}", self.world.check)
            lane = Lane(self.world, number, 1, self.alice, self.bob, None, Pulse(), self.hear)
            self.lanes.append(lane)
        return self.lanes[-1]

    def until(self, found: Callable[[], object], what: str) -> None:
        """Wait until it is so; programs that end are started again."""
        deadline = time.monotonic() + 60
        while True:
            self.world.check()
            try:
                if found():
                    return
            except (DaemonUnreachable, ApiError):
                pass
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def hear(self, client: LocalClient, path: str, body: object, error: ApiError) -> None:
        """See that a refusal is foreseen, and true where it says that nothing was stored."""
        self.refusals[error.code] += 1
        assert error.code != "internal", f"{path}: {error}"
        if "nothing of this was stored" not in str(error) or not isinstance(body, dict):
            return
        if path == "/messages/send":
            self.until(
                lambda: not _has(client, "/messages", "messages", body["text"]), f"{path} lied: {error}"
            )
        if path == "/tasks":
            self.until(lambda: not _has(client, "/tasks", "tasks", body["title"]), f"{path} lied: {error}")


def _has(client: LocalClient, path: str, key: str, word: object) -> bool:
    return str(word) in str(client.get(path, limit=50)[key])


@attrs.frozen
class Outcome:
    """What came of one operation, each call of one program failing in turn."""

    operation: str
    target: str
    how: str
    cases: int
    ended: int
    """How often the program ended, and came up again."""
    refusals: dict[str, int]
    seconds: float


def run_trial(
    folder: Path,
    operation: str,
    target: str,
    how: Writes,
    *,
    first: int = 1,
    every: int = 1,
    most: int = 1_000,
) -> Outcome:
    """Let every so many-th call of `target` fail in that way during `operation`, until none is left.

    Raises AssertionError if anything does not hold; NoCompiler.
    """
    from tests.disk.operations import OPERATIONS

    begun = time.monotonic()
    cases = 0
    with TrialWorld(folder, build(folder)) as world, ExitStack() as clients:
        alice, bob = (clients.enter_context(world.client(name)) for name in ("alice", "bob"))
        set_up(alice, "alice", (), world.relay_url)
        set_up(bob, "bob", (), world.relay_url)
        desk = Desk(world, alice, bob, clients)
        run = OPERATIONS[operation]
        while cases < most:
            number = first + cases * every
            desk.number = number
            control = run(desk, target, lambda control, number=number: control.fail(number, how))  # type: ignore[misc]
            failed = control.failed
            control.forgive()
            for client in (alice, bob):
                desk.until(client.health, "the daemons are up")
            if not failed:
                break
            cases += 1
        audit(world, desk.lanes, alice, bob, None)
        ended = len(world.ends)
    audit_files(folder)
    return Outcome(
        operation, target, how.name.lower(), cases, ended, dict(desk.refusals), time.monotonic() - begun
    )
