"""A task from request to completion between two daemons and a relay."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.messages import TextPart

from .worlds import OWNER, Machine, a_world, act, ask, connect, in_state, set_up, until


async def test_a_task_is_done_with_one_revision_and_both_sides_agree():
    """Request, accept, submit, revise, submit, complete: same state, versions and chains at both ends."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await connect(a, b, "requester", "@bob/writer")
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
            await act(b, task, "accept", text="on it")
            await in_state(a, task, "accepted")
            first = await act(b, task, "submit", parts=(TextPart("draft"),))
            assert first.version == 1
            await in_state(a, task, "submitted")
            await act(a, task, "revise", reasons=("longer",))
            await in_state(b, task, "revision_requested")
            second = await act(b, task, "submit", parts=(TextPart("longer draft"),))
            assert second.version == 2
            await in_state(a, task, "resubmitted")
            await act(a, task, "complete", text="thanks")
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
                await act(a, task, "cancel")
            assert refused.value.code == "not-possible"
            assert refused.value.detail["state"] == "completed"
