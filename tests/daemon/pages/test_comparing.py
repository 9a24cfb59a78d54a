"""Two texts compared: what differs is found, whoever wrote them, and in bounded time and space."""

from __future__ import annotations

import random

import pytest

from taskferry_apps.daemon.pages.comparing import LINE_CHARS, MOST_LINES, WORK, compare

ROWS, CHARS = 400, 50_000


def lines(found, side):
    """The lines that the rows show of one side."""
    return [
        "".join(piece.text for piece in getattr(row, f"{side}_pieces"))
        for row in found.rows
        if getattr(row, side) is not None
    ]


def test_lines_that_went_and_came_stand_side_by_side():
    """With their numbers, and the words that differ within a line marked."""
    found = compare("one\ntwo words here\nthree", "one\ntwo words there\nthree\nfour", ROWS, CHARS)
    assert [(row.kind, row.old, row.new) for row in found.rows] == [
        ("same", 1, 1),
        ("changed", 2, 2),
        ("same", 3, 3),
        ("new", None, 4),
    ]
    changed = found.rows[1]
    assert [piece.text for piece in changed.old_pieces if piece.marked] == ["here"]
    assert [piece.text for piece in changed.new_pieces if piece.marked] == ["there"]
    assert (found.removed, found.added) == (1, 2)


def test_rows_hold_both_texts_whatever_they_are():
    """Random pairs: each side's lines come back whole, in order; and no more are said to differ than do."""
    chance = random.Random(7)
    for _ in range(300):
        old = [chance.choice("abcd") for _ in range(chance.randrange(1, 14))]
        new = [chance.choice("abcd") for _ in range(chance.randrange(1, 14))]
        found = compare("\n".join(old), "\n".join(new), ROWS, CHARS)
        if found.same:
            assert old == new
            continue
        skipped = [row for row in found.rows if row.kind == "skipped"]
        if not skipped:
            assert (lines(found, "old"), lines(found, "new")) == (old, new)
        kept = len(old) - found.removed
        assert kept == len(new) - found.added == longest(old, new)


def longest(old, new):
    """Length of a longest common subsequence, the plain way."""
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for a, x in enumerate(old):
        for b, y in enumerate(new):
            table[a + 1][b + 1] = table[a][b] + 1 if x == y else max(table[a][b + 1], table[a + 1][b])
    return table[-1][-1]


def test_long_unchanged_runs_are_left_out():
    """A line that changed in the middle of a thousand shows three around it."""
    old = [str(at) for at in range(1000)]
    found = compare("\n".join(old), "\n".join([*old[:500], "x", *old[501:]]), ROWS, CHARS)
    assert [row.kind for row in found.rows] == ["skipped", *["same"] * 3, "changed", *["same"] * 3, "skipped"]
    assert found.rows[0].skipped == 497


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n".join(map(str, range(4000))), "\n".join(str(-at) for at in range(1, 4000))),
        ("ab\nc\n" * 2000, "c\nc\nab\nd\n" * 1000),
        ("\n" * (MOST_LINES + 1), "x"),
        ("a\n" * 3999, "b\n" * 3999),
    ],
    ids=["nothing in common", "much repeated", "too many lines", "one line, over and over"],
)
def test_pathological_pair_says_so_instead_of_taking_the_time(old, new):
    """No rows, and a sentence."""
    found = compare(old, new, ROWS, CHARS)
    assert not found.rows
    assert found.trouble


def test_work_that_several_pairs_share_is_counted_and_kept_to():
    """What one pair took is told; with little left another is left out, and with none words stay unmarked."""
    old, new = ("\n".join(str(at * step % 97) for at in range(700)) for step in (7, 11))
    assert compare(old, new, ROWS, CHARS).work > WORK
    little = compare(old, new, ROWS, CHARS, 1_000)
    assert WORK > little.work > 1_000
    assert "Left out" in little.trouble
    easy = compare("one\ntwo words\nthree", "one\ntwo woods\nthree", ROWS, CHARS)
    assert 0 < easy.work < 100


def test_long_lines_are_cut_and_the_whole_stays_within_its_bounds():
    """A line of a megabyte, and hundreds of lines that all changed: what is left out is said."""
    found = compare("a" * 1_000_000, "b" * 1_000_000, ROWS, CHARS)
    assert found.chars <= 2 * LINE_CHARS
    many = compare(
        "\n".join(f"{at} a" for at in range(300)), "\n".join(f"{at} b" for at in range(300)), 50, CHARS
    )
    assert len(many.rows) == 50
    assert "left out" in many.trouble
    assert compare("a " * 400 + "x", "a " * 400 + "y", ROWS, 100).rows == ()


def test_only_line_ends_differ():
    """Nothing to show, but not the same."""
    found = compare("a\r\nb", "a\nb", ROWS, CHARS)
    assert not found.same
    assert "ends of lines" in found.trouble
