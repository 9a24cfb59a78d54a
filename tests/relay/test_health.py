"""What is said of a relay's health, to its operator and to strangers."""

from __future__ import annotations

import attrs
import pytest

from taskferry_apps.relay.health import Facts, Severity, findings_of, verdict_of
from taskferry_apps.relay.meter import LATEST, Meter
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.ids import Instant

WELL = Facts(
    stopping=False,
    disk_full_at=None,
    commit_ms=4.0,
    held=0,
    fullest_count=10,
    fullest_bytes=10_000,
    mail_failed=0,
    limits=MailboxLimits(),
)


def test_all_is_well():
    """Nothing to look at, and a sentence that says so."""
    assert findings_of(WELL) == ()
    assert verdict_of(WELL).word == "well"
    assert verdict_of(attrs.evolve(WELL, commit_ms=None)).word == "well"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"stopping": True}, "stopping"),
        ({"disk_full_at": Instant(1)}, "full"),
        ({"short_of_room": 82_000_000}, "well"),
        ({"disk_full_at": Instant(1), "short_of_room": 0}, "full"),
        ({"commit_ms": 251.0}, "slow"),
        ({"held": 1}, "well"),
        ({"fullest_count": 60_000}, "well"),
        ({"fullest_bytes": 250 * 1_048_576}, "well"),
        ({"mail_failed": 2}, "well"),
    ],
)
def test_each_trouble_is_one_finding_with_a_next_step(change, word):
    """Strangers hear of the machine's troubles alone, never of anybody's account."""
    facts = attrs.evolve(WELL, **change)
    (finding,) = findings_of(facts)
    assert finding.text
    assert finding.next_step
    assert verdict_of(facts).word == word


def test_the_worst_comes_first():
    """Whatever else there is to see."""
    facts = attrs.evolve(WELL, held=3, mail_failed=1, disk_full_at=Instant(1))
    found = findings_of(facts)
    assert [finding.severity for finding in found] == [Severity.TROUBLE, Severity.WARNING, Severity.NOTE]
    assert "3 accounts" in found[-1].text


def test_the_meter_speaks_of_the_latest_commits():
    """Old ones do not count any more, and a disk that took something again is not full."""
    assert Meter(Instant(0)).commit_ms is None
    meter = Meter(Instant(0))
    meter.committed(9.0, 1)
    meter.disk_was_full(Instant(5))
    for _ in range(LATEST):
        meter.committed(0.002, 2)
    assert meter.commit_ms == 2.0
    assert meter.disk_full_at is None
    assert (meter.envelopes, sum(meter.commits.counts), meter.commits.counts[-1]) == (513, 257, 1)
