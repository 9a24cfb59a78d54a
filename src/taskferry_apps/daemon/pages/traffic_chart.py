"""Traffic over the last day as bars, drawn by the server: numbers for a template, and words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import attrs

from ..history_port import TrafficBar

__all__ = ["HEIGHT", "WIDTH", "Chart", "ChartBar", "chart_of"]

WIDTH: Final = 600
HEIGHT: Final = 96
_GAP: Final = 2.0


@attrs.frozen
class ChartBar:
    """One step: where its two bars stand, both growing from the foot, and what it says."""

    x: float
    width: float
    sent: float
    received: float
    words: str


@attrs.frozen
class Chart:
    """The bars, and the whole of them in a sentence."""

    bars: tuple[ChartBar, ...]
    words: str
    sent: int
    received: int
    most: int


def chart_of(steps: Sequence[TrafficBar]) -> Chart:
    """Messages and task events together, step by step."""
    sent = [step.messages_sent + step.events_sent for step in steps]
    received = [step.messages_received + step.events_received for step in steps]
    most = max((*sent, *received, 0))
    slot = WIDTH / max(1, len(steps))
    width = max(1.0, (slot - _GAP) / 2)
    bars = tuple(
        ChartBar(
            round(at * slot, 1),
            round(width, 1),
            _height(sent[at], most),
            _height(received[at], most),
            f"{_hour(step.at)}: {sent[at]} sent, {received[at]} received",
        )
        for at, step in enumerate(steps)
    )
    return Chart(bars, _words(steps, sent, received), sum(sent), sum(received), most)


def _height(count: int, most: int) -> float:
    # What is there is seen, however little of the largest it is.
    return round(max(2.0, count / most * HEIGHT), 1) if count else 0.0


def _words(steps: Sequence[TrafficBar], sent: Sequence[int], received: Sequence[int]) -> str:
    if not any((*sent, *received)):
        return "Nothing was sent or received in the last 24 hours."
    busiest = max(range(len(steps)), key=lambda at: sent[at] + received[at])
    return (
        f"In the last 24 hours {sum(sent):,} were sent and {sum(received):,} received, "
        f"most of them at {_hour(steps[busiest].at)}."
    )


def _hour(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M} UTC"
