"""The chart of a day: bars in proportion, and the same in a sentence for whoever sees none."""

from __future__ import annotations

from taskferry_apps.daemon.history_port import TrafficBar
from taskferry_apps.daemon.pages.traffic_chart import HEIGHT, WIDTH, chart_of
from taskferry_protocol.ids import Instant

HOUR_MS = 3_600_000


def test_bars_grow_with_what_went_and_came():
    """The largest fills the height, a single one is still seen, nothing has no bar; all lie within."""
    steps = [
        TrafficBar(Instant(0)),
        TrafficBar(Instant(HOUR_MS), messages_sent=1),
        TrafficBar(Instant(2 * HOUR_MS), messages_sent=400, events_sent=600, events_received=500),
    ]
    chart = chart_of(steps)
    assert [bar.sent for bar in chart.bars] == [0.0, 2.0, HEIGHT]
    assert [bar.received for bar in chart.bars] == [0.0, 0.0, HEIGHT / 2]
    assert all(bar.x + 2 * bar.width <= WIDTH for bar in chart.bars)
    assert chart.words == (
        "In the last 24 hours 1,001 were sent and 500 received, most of them at 02:00 UTC."
    )
    assert chart.bars[1].words == "01:00 UTC: 1 sent, 0 received"


def test_quiet_day_says_so():
    """No bars, and no division by nothing."""
    assert "Nothing was sent" in chart_of([TrafficBar(Instant(0))]).words
    assert chart_of([]).bars == ()
