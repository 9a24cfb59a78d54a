"""A task from request to completion between two daemons and a relay."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import DaemonRefusal, NewTask, TaskAction
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.messages import TextPart

from .worlds import OWNER, Machine, a_world, connect, in_state, set_up, until


async def test_a_task_is_done_with_one_revision_and_both_sides_agree():
    """Request, accept, submit, revise, submit again, complete: same state, versions and chains at both ends."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await connect(a, b, "requester", "@bob/writer")
            sent = await a.create_task(OWNER, NewTask("requester", "@bob/writer", "Report", "Write it."))
            task = sent.task
            await in_state(b, task, "sent")
            await b.act(OWNER, task.hex(), TaskAction("accept", text="on it"))
            await in_state(a, task, "accepted")
            first = await b.act(OWNER, task.hex(), TaskAction("submit", parts=(TextPart("draft"),)))
            assert first.version == 1
            await in_state(a, task, "submitted")
            await a.act(OWNER, task.hex(), TaskAction("revise", reasons=("longer",)))
            await in_state(b, task, "revision_requested")
            second = await b.act(OWNER, task.hex(), TaskAction("submit", parts=(TextPart("longer draft"),)))
            assert second.version == 2
            await in_state(a, task, "resubmitted")
            await a.act(OWNER, task.hex(), TaskAction("complete", text="thanks"))
            await in_state(b, task, "completed")

            async def delivered():
                view = await a.task(OWNER, task.hex())
                return (
                    view
                    if all(e.delivery is None or e.delivery.rung == "delivered" for e in view.events)
                    else None
                )

            mine = await until(delivered)
            theirs = await b.task(OWNER, task.hex())
            assert mine.summary.state == theirs.summary.state == "completed"
            assert [v.hash for v in mine.versions] == [v.hash for v in theirs.versions]
            assert [e.hash for e in mine.events if e.type != "task_seen"] == [
                e.hash for e in theirs.events if e.type != "task_seen"
            ]
            report = verify_handoff(await a.export_task(OWNER, task.hex()))
            assert report.view.state == "completed"
            assert report.receipts
            with pytest.raises(DaemonRefusal) as refused:
                await a.act(OWNER, task.hex(), TaskAction("cancel"))
            assert refused.value.code == "not-possible"
            assert refused.value.detail["state"] == "completed"
