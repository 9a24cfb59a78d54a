"""What a page asks of the database, however much there is to look through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from benchmarks.big_history import Size, make_history
from benchmarks.counted import QUERIES
from benchmarks.pages import find_rooms
from taskferry_apps import system
from taskferry_apps.daemon.link import Route
from taskferry_apps.daemon.secret_choice import open_secrets
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.vault import SecretVault
from taskferry_protocol.ids import sha256
from taskferry_stores.sqlite import open_daemon_store
from tests.daemon.api.house import serve_api
from tests.daemon.worlds import SECRET

from .browsing import Browser, sign_in

MOST = {
    "overview": 10,
    "waiting": 8,
    "tasks": 8,
    "tasks, further on": 8,
    "tasks by a word": 11,
    "one task": 9,
    "messages": 9,
    "one conversation": 6,
    "quarantine": 5,
    "connections": 7,
    "peers": 8,
    "agents": 6,
    "devices": 3,
    "programs": 8,
    "audit": 4,
    "settings": 3,
}
"""The queries of each page at the most."""


@attrs.define
class Counter:
    """A browser over a long history, and what its pages ask."""

    browser: Browser
    asked: list[str]

    async def look(self, path: str) -> tuple[str, list[str]]:
        """The page, and the queries that it costs once everything is as warm as it gets."""
        await self.browser.get(path)
        self.asked.clear()
        page = (await self.browser.get(path)).raw.decode()
        return page, [*self.asked]


def nowhere(relay: str) -> Route:
    """No relay."""
    raise AssertionError(relay)


@asynccontextmanager
async def a_counter(folder: Path) -> AsyncIterator[Counter]:
    """Over the history in this folder."""
    asked: list[str] = []
    async with open_daemon_store(folder / "daemon.db") as store:
        daemon = await Daemon.open(
            store,
            SecretVault(open_secrets(folder, "files")),
            nowhere,
            owner_digest=sha256(SECRET.encode()),
            now=system.now,
            entropy=system.entropy,
            jitter=system.jitter,
        )
        browser = await sign_in(serve_api(daemon))
        for connection in (store._engine._file.writer, *store._engine._file.readers):
            connection.set_trace_callback(lambda said: asked.append(said) if said[:7] in QUERIES else None)
        yield Counter(browser, asked)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A directory with a hundred tasks."""
    folder = tmp_path_factory.mktemp("history")
    trio.run(make_history, folder, Size(100, 1_000), lambda done: None)
    return folder


async def test_a_page_costs_no_more_queries_than_it_was_given(history):
    """No kind of page asks the database more often than its number, and none more than twelve times."""
    async with a_counter(history) as counter:
        tasks, _ = await counter.look("/dashboard/tasks")
        talks, _ = await counter.look("/dashboard/messages")
        rooms = find_rooms(tasks, talks)
        costs = {name: len((await counter.look(path))[1]) for name, path in rooms.items()}
    assert costs.keys() <= MOST.keys()
    assert {name: cost for name, cost in costs.items() if cost > MOST[name]} == {}
    assert max(MOST.values()) <= 12


async def test_a_search_that_finds_little_walks_through_the_index_once(history):
    """Where the walk has ended is known from the walk itself, for tasks and for messages."""
    async with a_counter(history) as counter:
        for path in ("tasks?q=report&state=declined", "messages?q=report&unread=yes"):
            _, asked = await counter.look(f"/dashboard/{path}")
            assert sum("MATCH" in said for said in asked) == 1, path


async def test_what_was_said_in_tasks_is_read_once_for_one_and_never_for_a_list(history):
    """Files may be long: how far they came, and what is read of them, is known without them."""
    async with a_counter(history) as counter:
        for path in ("", "/tasks", "/tasks?state=sent", "/tasks?q=report"):
            _, asked = await counter.look(f"/dashboard{path}")
            assert [said for said in asked if "sealed" in said] == [], path
        tasks, _ = await counter.look("/dashboard/tasks")
        rooms = find_rooms(tasks, (await counter.look("/dashboard/messages"))[0])
        _, asked = await counter.look(rooms["one task"])
        assert sum("sealed" in said for said in asked) == 1
