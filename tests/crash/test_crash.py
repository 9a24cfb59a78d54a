"""A short crash trial in the fast suite; `make crash` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.trial import run_trial


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_when_programs_are_killed(tmp_path: Path) -> None:
    """Ten SIGKILLs under traffic: all that was accepted arrives once, and both ends agree."""
    outcome = run_trial(tmp_path, seed=7, kills=10, lanes=2)
    assert outcome.kills.total() == 10
    assert outcome.tasks >= 8
