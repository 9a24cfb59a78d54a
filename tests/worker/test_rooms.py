"""What a worker writes down of its tasks, whatever is done to the clock meanwhile."""

from __future__ import annotations

from pathlib import Path

from taskferry_apps.worker.room import held_room
from taskferry_protocol.limits import DAY_MS

NOW = 1_800_000_000_000


def test_what_was_taken_by_a_clock_that_was_ahead_uses_up_no_later_day(tmp_path: Path) -> None:
    """A worker that takes so many tasks a day would take none for years."""
    with held_room(tmp_path / "room") as room:
        room.note_taken("a" * 64, NOW + 5_000 * DAY_MS)
        room.note_taken("b" * 64, NOW)
        assert room.taken_today(NOW + 1) == 1
        assert room.taken_today(NOW + DAY_MS) == 0
