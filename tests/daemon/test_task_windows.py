"""Long tasks are looked at in parts: the newest first, the rest by pages, and nothing is lost in between."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon import task_windows
from taskferry_apps.daemon.port import Caller, DaemonRefusal
from taskferry_apps.daemon.views import TaskWindow
from taskferry_protocol.messages import TextPart

from .worlds import OWNER, a_world, act, ask, connected, in_state, until

CALLERS = {"owner": OWNER, "agent": Caller(frozenset({"writer"}))}


@asynccontextmanager
async def a_long_task():
    """The worker's daemon and a task in which much has happened: three versions and a dozen lines."""
    async with a_world() as world, connected(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer", revisions=9)
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        for number in range(3):
            for line in range(3):
                await act(b, task, "progress", text=f"{number}.{line}")
            await act(b, task, "submit", parts=(TextPart(f"work {number}"),))
            await in_state(a, task, "resubmitted" if number else "submitted")
            if number < 2:
                await act(a, task, "revise", reasons=(f"more of {number}",))
                await in_state(b, task, "revision_requested")

        async def settled():
            """Whether both have each other's confirmations, after which nobody says more."""
            views = [await daemon.task(OWNER, task.hex()) for daemon in (a, b)]
            same = told(views[0]) == told(views[1])
            return same and all(event.confirmed for view in views for event in view.events)

        await until(settled)
        yield a, b, task


def told(*views):
    """What is said of events in these views; how far each is, may change meanwhile."""
    return [(event.hash, event.n, event.type, event.note) for view in views for event in view.events]


async def pages(daemon, caller, task, window, cursor):
    """The views of a window and of those before it, the newest first."""
    views = []
    while True:
        views.append(await daemon.task(caller, task.hex(), window=window))
        following = getattr(views[-1], cursor)
        if not following:
            return views
        window = attrs.evolve(window, **{cursor: following})


@pytest.mark.parametrize("caller", CALLERS)
async def test_pages_of_events_and_of_versions_make_up_the_whole(caller):
    """Each is as short as was asked for, none overlaps another, and the rest of the task is in each."""
    async with a_long_task() as (_, bob, task):
        who = CALLERS[caller]
        whole = await bob.task(who, task.hex())
        assert (whole.events_cursor, whole.versions_cursor) == ("", "")
        events = await pages(bob, who, task, TaskWindow(events=4), "events_cursor")
        assert [len(view.events) for view in events[:-1]] == [4] * (len(events) - 1)
        assert len(events) > 3
        assert told(*reversed(events)) == told(whole)
        versions = await pages(bob, who, task, TaskWindow(events=0, versions=1), "versions_cursor")
        assert tuple(one for view in reversed(versions) for one in view.versions) == whole.versions
        found = [one for view in reversed(versions) for one in view.revision_requests]
        assert tuple(found) == whole.revision_requests
        assert all(view.brief == whole.brief for view in events)


async def test_a_short_task_is_shown_whole_without_being_asked_for():
    """As before there were pages; its request's delivery is told whichever part is shown."""
    async with a_long_task() as (alice, _, task):
        whole = await alice.task(OWNER, task.hex())
        shown = await alice.task(OWNER, task.hex(), window=TaskWindow())
        assert (told(shown), shown.versions, shown.revision_requests) == (
            told(whole),
            whole.versions,
            whole.revision_requests,
        )
        assert (shown.events_cursor, shown.versions_cursor) == ("", "")
        last = await alice.task(OWNER, task.hex(), window=TaskWindow(events=1))
        assert len(last.events) == 1
        assert last.delivery is not None


async def test_what_comes_meanwhile_moves_no_page():
    """A page ends where its cursor says, and not so many events from the end."""
    async with a_long_task() as (_, bob, task):
        newest = await bob.task(OWNER, task.hex(), window=TaskWindow(events=2))
        before = await bob.task(
            OWNER, task.hex(), window=TaskWindow(events=3, events_cursor=newest.events_cursor)
        )
        await act(bob, task, "fail", text="after all")
        again = await bob.task(
            OWNER, task.hex(), window=TaskWindow(events=3, events_cursor=newest.events_cursor)
        )
        assert [event.hash for event in again.events] == [event.hash for event in before.events]


async def test_a_page_is_bounded_in_bytes_and_shows_one_thing_at_least(monkeypatch):
    """However long what was said is, one more event is shown each time, and one more version."""
    monkeypatch.setattr(task_windows, "_NOTES", 1)
    monkeypatch.setattr(task_windows, "_VERSION_BYTES", 1)
    async with a_long_task() as (_, bob, task):
        view = await bob.task(OWNER, task.hex(), window=TaskWindow())
        assert len(view.versions) == 1
        found = await pages(bob, OWNER, task, TaskWindow(), "events_cursor")
        whole = await bob.task(OWNER, task.hex())
        assert told(*reversed(found)) == told(whole)


@pytest.mark.parametrize(
    "window",
    [TaskWindow(events_cursor="ab" * 32), TaskWindow(versions_cursor="ab" * 32)],
    ids=["event", "version"],
)
async def test_a_cursor_of_something_else_is_refused(window):
    """With a code, and not with another page."""
    async with a_long_task() as (_, bob, task):
        with pytest.raises(DaemonRefusal) as refused:
            await bob.task(OWNER, task.hex(), window=window)
        assert refused.value.code == "bad-value"


async def test_of_a_window_no_more_is_asked_of_the_store(monkeypatch):
    """How far messages are is looked up for those that are shown."""
    async with a_long_task() as (_, bob, task):
        asked = []
        states = bob._core.store.message_states

        async def noting(hashes):
            asked.append(len(tuple(hashes)))
            return await states(hashes)

        monkeypatch.setattr(bob._core.store, "message_states", noting)
        await bob.task(OWNER, task.hex(), window=TaskWindow(events=2, versions=1))
        assert max(asked) <= 3
