"""A short run of the trial that `make flood` runs for minutes, and what it would notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.floods.trial import MEMORY_BOUND_MIB, PATIENCE_MS, Figures, Outcomes, run_trial

GOOD = Figures(
    seconds=1,
    machine="",
    command="",
    before_mib=60,
    most_mib=60 + MEMORY_BOUND_MIB,
    last_mib=60,
    cpu_percent=50,
    starved_percent=0,
    calm_p99_ms=5,
    messages=100,
    lost=0,
    median_ms=5,
    p99_ms=PATIENCE_MS + 20,
    worst_ms=9_000,
    outcomes={},
)
#: Attacks that have to be answered with a code within seconds, and one of the answers to each.
TOLD = {
    "slow headers": "request-too-slow",
    "giant frame": "close 1009",
    "compressed frame": "close 1002",
    "half frame": "close 1013",
    "distinct ids": "unknown-link",
    "unknown recipients": "unknown-recipient",
    "sender at its rate": "rate-limited",
    "calls": "unknown-account",
}


def _untold(outcomes: Outcomes) -> Outcomes:
    """Attacks that were not told what they have to be, and what they were told."""
    return {
        attack: outcomes.get(attack, {})
        for attack, code in TOLD.items()
        if code not in outcomes.get(attack, {})
    }


@pytest.mark.journey
def test_a_relay_under_attack_keeps_its_memory_and_its_word(tmp_path: Path) -> None:
    """Honest messages all arrive in time, the relay holds little more than before, attackers get codes."""
    figures = run_trial(tmp_path, 15, "pytest", enough=lambda outcomes: not _untold(outcomes))
    assert figures.faults() == []
    assert figures.messages > 20
    assert _untold(figures.outcomes) == {}


@pytest.mark.parametrize(
    "worse", [{"most_mib": 60 + MEMORY_BOUND_MIB + 1}, {"p99_ms": PATIENCE_MS + 21}, {"lost": 1}]
)
def test_the_figures_notice_whatever_is_beyond_its_bound(worse: dict[str, Any]) -> None:
    """The trial itself can fail."""
    assert GOOD.faults() == []
    assert len(attrs.evolve(GOOD, **worse).faults()) == 1
