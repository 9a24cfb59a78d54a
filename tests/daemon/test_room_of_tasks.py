"""How much one task may hold: all of it is read again with every event, and whenever anybody looks."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon import task_room
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import ArtifactSubmit, TaskAccept, TaskFail, TextPart

from .forger import codes, forger_between
from .worlds import OWNER, Machine, a_world, act, allow_tasks, ask, connected, in_state

DRAFT = (TextPart("y" * 10_000),)


async def test_a_peer_cannot_make_a_task_too_large_to_be_folded(monkeypatch: pytest.MonkeyPatch):
    """Large events beyond the bound are set aside with a code; a few words that end the task still count."""
    monkeypatch.setattr(task_room, "_BYTES", 25_000)
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            await allow_tasks(a, "requester", b, "@bob/writer")
        # Alice's daemon, which would answer, runs no more.
        async with world.running(bob) as b:
            task = await ask(b, "writer", "@alice/requester")
        forger, daemon = await forger_between(world, alice, bob), await world.open_daemon(bob)
        before = None
        for n, body in enumerate([TaskAccept(), *[ArtifactSubmit("", DRAFT, 0)] * 2]):
            link = TaskLink(task, n, before, Seen(1, task))
            sealed = await forger.seal(body, link=link)
            await forger.deliver(sealed)
            before = sealed.envelope.hash
        assert await codes(daemon) == []
        link = TaskLink(task, 3, before, Seen(1, task))
        await forger.deliver(await forger.seal(ArtifactSubmit("", DRAFT, 0), link=link))
        assert await codes(daemon) == ["too-many"]
        assert len((await daemon.task(OWNER, task.hex())).versions) == 2
        await forger.deliver(await forger.seal(TaskFail("never mind"), link=link))
        assert (await daemon.task(OWNER, task.hex())).summary.state == "failed"


async def test_nothing_is_signed_that_the_other_side_would_set_aside(monkeypatch: pytest.MonkeyPatch):
    """An honest daemon says so to its own agent, and the task goes on."""
    monkeypatch.setattr(task_room, "_BYTES", 25_000)
    async with a_world() as world, connected(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await act(b, task, "submit", parts=DRAFT)
        await act(b, task, "submit", parts=DRAFT)
        with pytest.raises(DaemonRefusal) as refused:
            await act(b, task, "submit", parts=DRAFT)
        assert (refused.value.code, refused.value.status) == ("too-large", 413)
        await in_state(a, task, "resubmitted")
        await act(a, task, "complete")
        await in_state(b, task, "completed")


async def test_a_task_has_no_more_events_than_its_other_side_would_hold(monkeypatch: pytest.MonkeyPatch):
    """Whatever its budget is: beyond so many this side signs nothing but the end of it."""
    monkeypatch.setattr(task_room, "_EVENTS", 4)
    async with a_world() as world, connected(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer", budget=1_000_000)
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
        with pytest.raises(DaemonRefusal) as refused:
            for _ in range(4):
                await act(b, task, "progress", text="on")
        assert refused.value.code == "too-large"
        await act(b, task, "fail", text="enough")
        await in_state(a, task, "failed")
