"""What is noted of barred words: which of them are still to be looked at, and how many there may be."""

from __future__ import annotations

import attrs
import pytest

from taskferry_apps.daemon import barred
from taskferry_apps.daemon.barred import Item, Note
from taskferry_protocol.ids import Instant, sha256

NOW = Instant(1_700_000_000_000)


def an_item(name: str, *, size: int = 100, life_ms: int = 60_000) -> Item:
    """One barred word."""
    return Item(sha256(name.encode()), size, Instant(NOW + life_ms))


ONE, TWO, THREE = (an_item(name) for name in ("one", "two", "three"))


def test_another_word_of_the_owners_has_all_looked_at_again():
    """And the same word has nothing looked at a second time."""
    note = Note("less", 2, (ONE, TWO))
    assert note.by("less") == note
    assert not note.by("less").is_due
    assert note.by("more") == Note("more", 0, (ONE, TWO))
    assert note.by("more").is_due


def test_one_that_stays_barred_stands_before_none():
    """The next look is at the one behind it; after the last nothing is due."""
    note = Note("more", 0, (ONE, TWO)).passing()
    assert note.items[note.judged] == TWO
    assert not note.passing().is_due


def test_one_that_is_let_in_leaves_its_place_to_the_next():
    """Those before it stay barred, and nothing behind it is passed over."""
    note = Note("more", 1, (ONE, TWO, THREE)).without_next()
    assert note.items == (ONE, THREE)
    assert note.items[note.judged] == THREE


def test_a_new_one_was_looked_at_when_it_came():
    """It is due with the owner's next word, and not before."""
    note = Note("less").with_item(ONE, NOW).with_item(TWO, NOW)
    assert note == Note("less", 2, (ONE, TWO))


def test_a_new_one_passes_over_none_that_waits():
    """What the rate lets wait is looked at next as before, and the new one after it."""
    note = Note("more", 0, (ONE,)).with_item(TWO, NOW)
    assert note == Note("more", 0, (ONE, TWO))


def test_what_is_over_goes_and_what_waits_is_looked_at_next_as_before():
    """Places are counted without those that are gone."""
    short = an_item("short", life_ms=1)
    note = Note("more", 1, (short, ONE)).with_item(TWO, Instant(NOW + 1))
    assert note == Note("more", 0, (ONE, TWO))


def test_the_same_is_noted_once():
    """A relay may bring it as often as it likes."""
    assert Note("less").with_item(ONE, NOW).with_item(ONE, NOW) == Note("less", 1, (ONE,))


def test_there_is_an_end_to_number_and_to_bytes(monkeypatch: pytest.MonkeyPatch):
    """What is beyond is not noted, and what is there stays."""
    monkeypatch.setattr(barred, "MOST_ITEMS", 2)
    full = Note("less", 2, (ONE, TWO))
    assert full.with_item(THREE, NOW) == full
    monkeypatch.setattr(barred, "MOST_BYTES", 250)
    some = Note("less", 1, (ONE,))
    assert some.with_item(an_item("large", size=151), NOW) == some
    assert some.with_item(attrs.evolve(TWO, size=150), NOW).items[-1].hash == TWO.hash
