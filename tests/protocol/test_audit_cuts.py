"""What an owner's audit log lets go of, and that it may go only where an entry says so."""

from __future__ import annotations

import pytest

from taskferry_protocol.audit import (
    CHAIN_START,
    AuditChain,
    AuditEnd,
    AuditEntry,
    AuditKind,
    AuditNote,
    ChainBroken,
    audit_note,
    chained,
)
from taskferry_protocol.audit_cuts import CUT, cut_note, due_cut, require_told
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.limits import DAY_MS

NOW = Instant(1_700_000_000_000)
NEVER = Instant(0)


def a_log(*notes: AuditNote, after: AuditEnd = CHAIN_START) -> tuple[AuditChain, list[AuditEntry]]:
    """These notes in a chain."""
    entries: list[AuditEntry] = []
    for note in notes:
        entries.append(chained(note, entries[-1].end if entries else after))
    return AuditChain(after, entries[-1].end if entries else after), entries


def at(day: int) -> AuditNote:
    """Something that was written down on a day."""
    return audit_note("grant", "@bob/writer", {}, Instant(NOW + day * DAY_MS))


def test_a_log_within_its_bounds_loses_nothing():
    """Neither at its number, nor at its age."""
    chain, entries = a_log(at(0), at(1), at(2))
    assert due_cut(chain, entries, before=Instant(NOW + DAY_MS), keep=3) is None
    assert due_cut(AuditChain(), [], before=NOW, keep=0) is None


def test_of_too_many_the_oldest_go_a_thousand_at_a_time():
    """So an entry that says so makes room for a thousand others."""
    chain, entries = a_log(*[at(0)] * (CUT + 5))
    assert due_cut(chain, entries[:CUT], before=NEVER, keep=CUT + 4) == entries[CUT - 1].end
    assert due_cut(chain, entries[:CUT], before=NEVER, keep=CUT + 5) is None


def test_what_is_too_old_goes_once_the_first_of_it_is_a_day_older():
    """At most once a day, and nothing that is young enough; what comes after a younger one waits for it."""
    chain, entries = a_log(at(0), at(1), at(3), at(1))
    assert due_cut(chain, entries, before=Instant(NOW + DAY_MS), keep=9) is None
    assert due_cut(chain, entries, before=Instant(NOW + 2 * DAY_MS), keep=9) == entries[1].end


def test_a_log_begins_where_its_last_cut_says():
    """With its first entry, if it tells of none."""
    chain, entries = a_log(at(0), at(1))
    require_told(chain, entries)
    base = entries[0].end
    rest = a_log(at(1), cut_note(chain, base, NOW), at(2), after=base)
    require_told(*rest)
    later = rest[1][0].end
    require_told(*a_log(cut_note(rest[0], later, NOW), after=later))


@pytest.mark.parametrize(
    "facts",
    [
        None,
        {"upto": 2, "hash": "00" * 32},
        {"upto": 1, "hash": "00" * 32},
        {"upto": 1, "hash": "zz"},
        {"upto": "1", "hash": "00" * 32},
        {"upto": 1},
    ],
    ids=str,
)
def test_a_log_that_begins_elsewhere_than_it_says_does_not_hold(facts):
    """No entry tells of it, or of another place or hash, or of none that can be read."""
    base = a_log(at(0))[1][0].end
    notes = [at(1)] if facts is None else [at(1), audit_note(AuditKind.SHORTENED, "audit log", facts, NOW)]
    with pytest.raises(ChainBroken):
        require_told(*a_log(*notes, after=base))


def test_a_log_that_tells_of_a_cut_and_begins_before_it_does_not_hold():
    """Somebody has put entries in front."""
    cut = cut_note(AuditChain(), AuditEnd(1, Hash(bytes(32))), NOW)
    with pytest.raises(ChainBroken):
        require_told(*a_log(at(0), cut))
