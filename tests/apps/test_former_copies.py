"""Copies of a database from before an update: they go in their time, and their owner is told meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

import trio
import trio.testing

from taskferry_apps.former_copies import FIRST_S, KEPT_MS, remove_in_time, told_copies
from taskferry_protocol.ids import Instant

NOW = 1_700_000_000_000


async def test_a_copy_goes_after_a_fortnight_and_never_at_a_start(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """A program that was away for long has its copy for an hour of running; one that is young stays."""
    database = tmp_path / "daemon.db"
    for name, age_ms in (("8", KEPT_MS + 1_000), ("9", KEPT_MS - 5_000_000)):
        path = tmp_path / f"daemon.db.before-{name}"
        path.write_bytes(b"secret")
        os.utime(path, ((NOW - age_ms) / 1_000,) * 2)
    times = [Instant(NOW)]

    async def left(count: int) -> None:
        deadline = time.monotonic() + 10
        while len(list(told_copies(database))) > count:
            assert time.monotonic() < deadline
            # What is removed by a thread takes a while; until it is, only the program's own hours pass.
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(FIRST_S)
        assert len(list(told_copies(database))) == count

    async with trio.open_nursery() as nursery:
        nursery.start_soon(remove_in_time, database, lambda: times[-1])
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(FIRST_S - 1)
        await trio.testing.wait_all_tasks_blocked()
        await left(2)
        mock_clock.jump(1)
        await left(1)
        times.append(Instant(NOW + 5_001_000))
        await left(0)
        nursery.cancel_scope.cancel()


def test_each_copy_is_told_with_its_size_and_its_end(tmp_path: Path) -> None:
    """In a sentence; of none there is nothing to say."""
    database = tmp_path / "daemon.db"
    assert list(told_copies(database)) == []
    path = tmp_path / "daemon.db.before-9"
    path.write_bytes(bytes(2_048))
    os.utime(path, (NOW / 1_000,) * 2)
    (told,) = told_copies(database)
    assert "2 KiB" in told
    assert "after 2023-11-28" in told
