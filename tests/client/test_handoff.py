"""A task from one program to another and back, by each kind of client."""

from __future__ import annotations

import anyio

from taskferry_apps.client import Attachment

from .stories import tell


async def test_a_task_crosses_is_revised_and_completed(ferry, kind, tmp_path):
    """One side asks and waits, the other works through its jobs; what was judged leaves both inboxes."""
    source = tmp_path / "brief.md"
    source.write_bytes(b"# Brief\n")

    async def work(bob) -> None:
        async for job in bob.work():
            await job.accept("On it.")
            if not job.reasons:
                assert job.task.parts[0].name == "brief.md"
                assert await job.part_bytes(0) == b"# Brief\n"
                await job.progress("Reading", percent=20)
                await job.submit("Draft", note="First")
            else:
                assert job.reasons == ("No summary", "Too short")
                await job.submit("Final", json={"words": 2}, files=[Attachment("r.md", b"report")])
                return

    async def story() -> None:
        async with (
            ferry.alice.client(kind) as alice,
            ferry.bob.client(kind) as bob,
            anyio.create_task_group() as group,
        ):
            group.start_soon(work, bob)
            task = await alice.send_task(
                "@bob/writer", "Report", "Write it.", files=[source], requirements=["A summary"]
            )
            assert (await task.result(20)).text == "Draft"
            await task.revise("No summary", "Too short")
            version = await task.result(20)
            assert (version.number, version.text, version.value) == (2, "Final", {"words": 2})
            (saved,) = await task.save_files(2, tmp_path)
            assert (saved.name, saved.read_bytes()) == ("r.md", b"report")
            await task.complete("Thank you")
            assert (await task.save_export(tmp_path / "handoff.cbor")).stat().st_size > 500
            assert (await task.show()).state == "completed"
            left = {item.type for item in (await alice.inbox()).messages}
            assert not left & {"artifact_submit", "task_complete"}
        async with ferry.bob.client(kind) as bob:
            # The one who stopped with its last job is not given it again, and puts the rest away.
            assert [job async for job in bob.work(idle=1)] == []
            assert (await bob.inbox()).messages == ()

    await tell(kind, story)
