"""How a SQLite store keeps its index of words: over files of before it, at its limits, and without a scan."""

import sqlite3
from contextlib import asynccontextmanager

import pytest

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    InboxState,
    ShowMessages,
    TaskCursor,
)
from taskferry_protocol.records.history import STEP_MS, MessageFilter, TaskFilter
from taskferry_protocol.search_words import ANYTHING
from taskferry_stores.sqlite import history_reads, open_daemon_store
from taskferry_stores.sqlite.daemon import APPLICATION_ID
from taskferry_stores.sqlite.migrations import Schema, load_schema, migrate

from .samples import NOW, agent, message, sha, task
from .test_every_daemon_search import asked, later, names, put, said, told
from .test_sqlite_plans import unbounded, watched

BEFORE = 7
"""The last schema that had no index."""


async def old_file(folder, *records):
    """A file of before the index that holds these messages and tasks."""
    async with open_daemon_store(folder / "new.db") as daemon:
        await put(daemon, *records)
    schema = load_schema("daemon", APPLICATION_ID)
    path = folder / "daemon.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, Schema("daemon", APPLICATION_ID, schema.steps[:BEFORE]))
    connection.execute("ATTACH ? AS new", (str(folder / "new.db"),))
    for table in ("agents", "sealed", "messages", "tasks"):
        connection.execute(f"INSERT INTO main.{table} SELECT * FROM new.{table}")
    connection.close()
    return path


async def searched(daemon, text):
    """The names of the messages found, and whether the answer is cut."""
    page = await daemon.messages_filtered(MessageFilter(asked=asked(text)), None, 50)
    return names(page.items, "abcdefgh"), page.cut


async def test_file_of_before_is_taken_into_the_index_step_by_step(tmp_path):
    """It opens at once; what is not indexed yet is said to be missing, and new messages are found at once."""
    path = await old_file(tmp_path, *[said(name, f"word {name}") for name in "abcde"])
    async with open_daemon_store(path) as daemon:
        assert await searched(daemon, "word") == ([], True)
        await put(daemon, said("f", "word f"))
        assert await searched(daemon, "word") == (["f"], True)
        assert await daemon.index_history(2) == 2
        assert await searched(daemon, "word") == (["f", "e", "d"], True)
        talks = await daemon.talks((), None, None, 5)
        assert (talks.items[0].messages, talks.cut) == (3, True)
    async with open_daemon_store(path) as daemon:
        assert await daemon.index_history(2) == 2
        assert await daemon.index_history(2) == 1
        assert await daemon.index_history(2) == 0
        assert await searched(daemon, "word") == (["f", "e", "d", "c", "b", "a"], False)
        (talk,) = (await daemon.talks((), None, None, 5)).items
        assert (talk.messages, names([talk.last], "f")) == (6, ["f"])
        (bar,) = await daemon.traffic((), Instant(0), later(STEP_MS), STEP_MS)
        assert bar.messages_received == 6


@pytest.mark.parametrize("filled", [0, 2, 3])
async def test_message_of_before_that_is_shown_counts_once(tmp_path, filled):
    """What was held is put last before or after the index has come to it: it is found and counted once."""
    records = [said("a", "word", inbox=InboxState.HELD), said("b", "word"), said("c", "word")]
    path = await old_file(tmp_path, *records)
    async with open_daemon_store(path) as daemon:
        if filled:
            await daemon.index_history(filled)
        await daemon.commit([ShowMessages("helper", (sha("a"),))])
        while await daemon.index_history(2):
            pass
        assert await searched(daemon, "word") == (["a", "c", "b"], False)
        (talk,) = (await daemon.talks((), None, None, 5)).items
        assert (talk.messages, talk.unread) == (3, 3)
        (bar,) = await daemon.traffic((), Instant(0), later(STEP_MS), STEP_MS)
        assert bar.messages_received == 3


async def test_page_ends_where_too_much_was_looked_through(tmp_path, monkeypatch):
    """A filter that nearly nothing passes costs a bounded walk a page; the cursor leads on to the end."""
    monkeypatch.setattr(history_reads, "WALKED_ROWS", 4)
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        await put(daemon, task("a"), told("a", "a", "word", inbox=InboxState.READ))
        await put(daemon, *[said(str(n), "word", peer=agent("bob/coder")) for n in range(9)])
        for asked_for in (asked("word"), ANYTHING):
            query = MessageFilter(asked=asked_for, inbox=frozenset({InboxState.READ}))
            pages, after = [], None
            while True:
                page = await daemon.messages_filtered(query, after, 2)
                pages.append(("".join(names(page.items, "a")), page.cut))
                after = page.next
                if after is None:
                    break
            assert pages == [("", True), ("", True), ("a", False)]
        await put(daemon, *[told(f"b{n}", "b", "word") for n in range(5)], task("b", state="working"))
        sent = TaskFilter(asked=asked("word"), standings=frozenset({("requester", "sent")}))
        first = await daemon.tasks_saying(sent, None, 2)
        assert (first.items, first.cut) == ((), True)
        second = await daemon.tasks_saying(sent, first.next, 2)
        assert names(second.items, "ab") == ["a"]


async def test_index_holds_no_text_but_words(tmp_path):
    """What a message said stands once in the file: the index knows its words, not what was said."""
    sentence = "attack the northern harbour at dawn"
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        await put(daemon, said("a", sentence))
    assert (tmp_path / "daemon.db").read_bytes().count(sentence.encode()) == 1


async def test_index_is_in_the_examination(tmp_path):
    """A file whose index of words is damaged is found damaged."""
    path = tmp_path / "daemon.db"
    async with open_daemon_store(path) as daemon:
        await put(daemon, *[said(str(n), f"word{n} again") for n in range(50)])
        assert (await daemon.examine()).verdict == "ok"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE search_data SET block = zeroblob(length(block)) WHERE id > 10")
    connection.commit()
    connection.close()
    async with open_daemon_store(path) as daemon:
        assert (await daemon.examine()).verdict == "the index of words is damaged"
        await put(daemon, task("t"))


async def test_copy_finds_what_the_file_finds(tmp_path):
    """A backup's copy of the file holds the index with the messages."""
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        await put(daemon, said("a", "needle"))
        await daemon.copy_to(tmp_path / "copy.db")
    async with open_daemon_store(tmp_path / "copy.db") as daemon:
        assert await searched(daemon, "needle") == (["a"], False)


@asynccontextmanager
async def history(folder):
    """A watched store with some of everything."""
    async with watched(open_daemon_store(folder / "daemon.db")) as (daemon, scans):
        await put(
            daemon, task("a"), task("b"), told("a", "a", "word"), told("b", "b", "word"), said("c", "x")
        )
        yield daemon, scans


async def test_history_looks_up_and_does_not_scan(tmp_path):
    """Every search, list and figure goes along an index, and sorts nothing that grows."""
    mine, peer = frozenset({agent("alice/helper")}), agent("bob/coder")
    standings = frozenset({("requester", "sent"), ("worker", "working")})
    unseen = frozenset({InboxState.HELD, InboxState.STOPPED})
    async with history(tmp_path) as (daemon, scans):
        for narrow in (
            {},
            {"agents": mine},
            {"peer": peer},
            {"standings": standings},
            {"agents": mine, "standings": standings},
            {"peer": peer, "standings": standings, "since": NOW},
            {"since": NOW, "until": NOW},
        ):
            await daemon.tasks_filtered(TaskFilter(**narrow), TaskCursor(NOW, sha("t"), "worker"), 10)
            saying = TaskFilter(asked=asked("word"), unseen=unseen, **narrow)
            page = await daemon.tasks_saying(saying, None, 1)
            await daemon.tasks_saying(saying, page.next or 1, 1)
        for narrow in (
            {},
            {"agents": mine},
            {"peer": peer},
            {"conv": message("x").conv, "unseen": unseen},
            {"inbox": frozenset({InboxState.UNREAD}), "agents": mine},
        ):
            await daemon.messages_filtered(MessageFilter(**narrow), 9, 10)
            await daemon.messages_filtered(MessageFilter(asked=asked("word"), **narrow), 9, 10)
        for agents, other in (((), None), (mine, None), ((), peer), (mine, peer)):
            await daemon.talks(agents, other, 9, 10)
        await daemon.unread_in_tasks([(sha("a"), agent("alice/helper"))])
        await daemon.counts(["helper", "other"])
        await daemon.traffic(mine, Instant(0), later(STEP_MS), STEP_MS)
        await daemon.index_history(10)
        await daemon.commit([ShowMessages("helper", (sha("a"),))])
    few = {"tasks_open"}
    # An index of words is always "scanned": by the words, where there is no more to say.
    words = {scan for scan in scans if scan[0] == "search" or "'main'.'search_" in scan[2]}
    # What the walks have found, and the few sums of open tasks.
    own = {scan for scan in scans if scan[0] in {"w", "c"}}
    assert unbounded(scans, allowed=few) - words - own == set()
