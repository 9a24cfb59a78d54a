"""Amounts in words: one of a thing, several, and limits in the units that people know."""

from __future__ import annotations

import pytest

from taskferry_apps.amounts import counted, several
from taskferry_apps.limit_table import Unit, amount_in_words, described, value_in_words
from taskferry_apps.relay.limits import RelayLimits


@pytest.mark.parametrize(("number", "words"), [(0, "0 tasks"), (1, "1 task"), (1_200, "1,200 tasks")])
def test_one_of_a_thing_is_called_by_its_singular(number: int, words: str) -> None:
    """And none as many are."""
    assert counted(number, "task", "tasks") == words


@pytest.mark.parametrize(
    ("told", "words"), [(1, "1 task"), ("1", "1 task"), (2, "2 tasks"), ("x\n", "x  tasks")]
)
def test_a_number_that_others_tell_is_taken_as_text(told: object, words: str) -> None:
    """Whatever it is, it is made harmless."""
    assert several(told, "task", "tasks") == words


@pytest.mark.parametrize(
    ("unit", "amount", "words"),
    [
        (Unit.COUNT, 65_536, "65,536"),
        (Unit.BYTES, 1_023, "1,023 bytes"),
        (Unit.BYTES, 268_435_456, "256 MiB"),
        (Unit.BYTES, 1_572_864, "1.5 MiB"),
        (Unit.MS, 34_560_000_000, "400 d"),
        (Unit.MS, 1_800_000, "30 min"),
        (Unit.MS, 1_500, "1500 ms"),
    ],
)
def test_an_amount_is_told_in_the_largest_unit_that_suits(unit: Unit, amount: int, words: str) -> None:
    """Bytes by 1,024; a time in a unit that leaves nothing over."""
    assert amount_in_words(unit, amount) == words


def test_a_limit_names_the_time_of_its_rate_and_says_where_there_is_none() -> None:
    """As the document of limits does."""
    limits = described(RelayLimits)
    assert value_in_words(limits["sends"], 600) == "600 a minute"
    assert value_in_words(limits["database-bytes"], 0) == "none"
    assert value_in_words(limits["database-bytes"], 2_048) == "2 KiB"
