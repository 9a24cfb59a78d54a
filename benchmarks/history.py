"""How long the lists, searches and figures of a daemon take over a long history.

Asked of the daemon itself, as its pages and its API ask it: each question many times, with other words,
agents and peers. What is told is the 95th percentile.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from taskferry_apps import system
from taskferry_apps.daemon.history_port import HistoryService, MessageSearch, TaskSearch
from taskferry_apps.daemon.link import Route
from taskferry_apps.daemon.port import Caller
from taskferry_apps.daemon.secret_choice import open_secrets
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.vault import SecretVault
from taskferry_protocol.ids import Instant
from taskferry_protocol.records.history import STEP_MS
from taskferry_stores.sqlite import open_daemon_store

from .big_history import COMMON, DAY_MS, MINE, PEERS, Size, make_history
from .pages import measure_pages
from .results import Bar, Figure, Way
from .traffic import Workshop

__all__ = ["measure_history"]

OWNER: Final = Caller(None)
SOON: Final = Bar(Way.BELOW, 50.0)
PAGE: Final = 50
HOUR_MS: Final = 3_600_000
STATES: Final = ("sent", "working", "submitted", "completed", "declined", "failed", "expired")

Ask = Callable[[], Awaitable[object]]


def measure_history(shop: Workshop) -> list[Figure]:
    """Milliseconds of each kind of question, at 100,000 tasks and a million messages in a full run."""
    tasks, messages = shop.scale.history
    with shop.fresh() as folder:
        shop.tell(f"making a history of {tasks:,} tasks and {messages:,} messages")
        trio.run(partial(make_history, folder, Size(tasks, messages), lambda done: None))
        shop.tell("asking")
        what = f"{messages:,} messages"
        figures = trio.run(partial(measure, folder, shop.scale.questions, what))
        return [*figures, *measure_pages(folder, shop.scale.starts, shop.tell, what)]


async def measure(folder: Path, count: int, what: str) -> list[Figure]:
    """The figures of a history that is there already."""
    secrets = open_secrets(folder, "files")
    async with open_daemon_store(folder / "daemon.db") as store:
        daemon = await Daemon.open(
            store,
            SecretVault(secrets),
            _nowhere,
            owner_digest=bytes(32),
            now=system.now,
            entropy=system.entropy,
            jitter=system.jitter,
        )
        questions = _Questions(daemon.history)
        found = []
        for label, ask in questions.kinds().items():
            times = []
            for _ in range(count):
                began = time.perf_counter()
                await ask()
                times.append((time.perf_counter() - began) * 1e3)
            p95 = statistics.quantiles(times, n=20)[18]
            spread = (min(times), max(times))
            found.append(Figure("history", f"{label}, {what}, p95", p95, "ms", SOON, spread))
        return found


def _nowhere(relay: str) -> Route:
    raise AssertionError("nothing is sent in a benchmark")


class _Questions:
    """Questions of each kind, no two alike for long."""

    def __init__(self, history: HistoryService) -> None:
        self._history = history
        self._dice = random.Random(2)
        self._common = COMMON.split()

    def kinds(self) -> dict[str, Ask]:
        """Each kind by what it is called."""
        return {
            "counts": lambda: self._history.counts(OWNER),
            "traffic of a day by quarter-hours": lambda: self._traffic(DAY_MS, STEP_MS),
            "traffic of half a year by days": lambda: self._traffic(180 * DAY_MS, DAY_MS),
            "tasks": partial(self._tasks, TaskSearch),
            "tasks by states, agent and peer": partial(self._tasks, self._narrow),
            "tasks that wait for me": partial(self._tasks, lambda: TaskSearch(waiting_for="me")),
            "tasks by a common word": partial(self._tasks, lambda: TaskSearch(text=f"{self._word()} ")),
            "tasks by words as they are typed": partial(self._tasks, lambda: TaskSearch(text=self._typed())),
            "tasks by a word, state and peer": partial(self._tasks, self._narrow_word),
            "messages": partial(self._messages, MessageSearch),
            "messages of a peer": partial(self._messages, lambda: MessageSearch(peer=self._peer())),
            "messages by words as they are typed": partial(
                self._messages, lambda: MessageSearch(text=self._typed())
            ),
            "messages, unread": partial(self._messages, lambda: MessageSearch(unread=True)),
            "messages by a word of a peer, unread": partial(
                self._messages, lambda: MessageSearch(text=self._word(), peer=self._peer(), unread=True)
            ),
            "conversations": self._conversations,
        }

    def _word(self) -> str:
        return self._dice.choice(self._common)

    def _peer(self) -> str:
        return "@" + self._dice.choice(PEERS)

    def _typed(self) -> str:
        word = self._word()
        return f"{self._word()} {word[: max(2, len(word) - self._dice.randrange(3))]}"

    def _narrow(self) -> TaskSearch:
        states = frozenset(self._dice.sample(STATES, 2))
        return TaskSearch(states=states, agent=self._dice.choice(MINE), peer=self._peer())

    def _narrow_word(self) -> TaskSearch:
        return TaskSearch(text=self._word(), states=frozenset({self._dice.choice(STATES)}), peer=self._peer())

    async def _traffic(self, span_ms: int, step_ms: int) -> None:
        # From a full hour on, as a page that shows days or hours of its own clock asks.
        since = system.now() - span_ms
        await self._history.traffic(OWNER, Instant(since - since % HOUR_MS), step_ms)

    async def _tasks(self, search: Callable[[], TaskSearch]) -> None:
        await self._history.tasks(OWNER, search(), "", PAGE)

    async def _messages(self, search: Callable[[], MessageSearch]) -> None:
        await self._history.messages(OWNER, search(), "", PAGE)

    async def _conversations(self) -> None:
        await self._history.conversations(OWNER, "", self._dice.choice(["", self._peer()]), "", PAGE)
