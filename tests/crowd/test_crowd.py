"""A short run of the trial that `make crowd` runs for ten minutes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.crowd.trial import Lost, Tally, run_trial


@pytest.mark.journey
def test_programs_that_wait_poll_and_stream_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each of three agents' programs is told of every message to its agent once, and of no other's."""
    tally = run_trial(tmp_path, seconds=6, agents=3, pause_s=0.2)
    assert tally.messages > 10


@pytest.mark.parametrize("told", [["a"], ["a", "b", "b"], ["a", "b", "c"], ["b", "c"]])
def test_the_count_notices_whatever_is_lost_doubled_or_anothers(told: list[str]) -> None:
    """The trial itself can fail."""
    with pytest.raises(Lost):
        Tally({"x": ["a", "b"]}, {("x", "polling"): Counter(told)}).check()
    Tally({"x": ["a", "b"]}, {("x", "polling"): Counter(["b", "a"])}).check()
