"""Two texts side by side: which lines went, which came, and what changed within a line. Pure, and bounded.

The work grows with the differences, not with the product of the lengths; where two texts differ in more than
`WORK` allows, the answer says so instead of taking the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

__all__ = ["LINE_CHARS", "MOST_LINES", "Comparison", "Piece", "Row", "compare"]

#: Lines of either text that are looked at.
MOST_LINES: Final = 4_000
#: Steps of looking for common lines: about a fifth of a second.
WORK: Final = 400_000
#: The same for the words of one line, and for all lines together.
_LINE_WORK: Final = 4_000
_LINES_WORK: Final = 200_000
#: What is shown of one line.
LINE_CHARS: Final = 1_000
#: Unchanged lines that are shown around what changed.
_AROUND: Final = 3
_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")

_TOO_DIFFERENT: Final = "The two have too little in common to be compared line by line. Read each by itself."
_NO_WORK_LEFT: Final = "Left out here: what stands above took too long to compare. Read each by itself."

Step = tuple[int, int]
"""A place in the old and one in the new sequence."""


@attrs.frozen
class Piece:
    """Some of a line; `marked` where the other side has something else."""

    text: str
    marked: bool = False


@attrs.frozen
class Row:
    """A line of the old text beside one of the new; numbers count from 1, None where that side has none.

    `kind` is same, changed, gone, new, or skipped: then `skipped` unchanged lines are left out here.
    """

    kind: str
    old: int | None = None
    new: int | None = None
    old_pieces: tuple[Piece, ...] = ()
    new_pieces: tuple[Piece, ...] = ()
    skipped: int = 0


@attrs.frozen
class Comparison:
    """The rows. `trouble` says in a sentence why there are none, or not all; `same` that nothing differs."""

    rows: tuple[Row, ...] = ()
    added: int = 0
    removed: int = 0
    same: bool = False
    trouble: str = ""
    work: int = 0
    """Steps that it took."""

    @property
    def chars(self) -> int:
        """Characters of all rows."""
        return sum(map(_chars, self.rows))


def _chars(row: Row) -> int:
    return sum(len(piece.text) for piece in (*row.old_pieces, *row.new_pieces))


def compare(old: str, new: str, most_rows: int, most_chars: int, most_work: int = WORK) -> Comparison:
    """What changed from `old` to `new`, in at most so many rows and characters, and about so many steps."""
    if old == new:
        return Comparison(same=True)
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > MOST_LINES:
        return Comparison(
            trouble=f"More than {MOST_LINES:,} lines: too long to be compared here. Download both."
        )
    common, work = _common(before, after, min(WORK, most_work))
    if common is None:
        return Comparison(trouble=_TOO_DIFFERENT if most_work >= WORK else _NO_WORK_LEFT, work=work)
    words_work = min(_LINES_WORK, most_work - work)
    rows, added, removed, left = _rows(before, after, common, words_work)
    work += words_work - left
    shown = _folded(rows)
    if not (added or removed):
        return Comparison(trouble="Only the ends of lines differ.", work=work)
    kept = _within(shown, most_rows, most_chars)
    cut = "" if len(kept) == len(shown) else "The rest is left out here. Download both to see all."
    return Comparison(tuple(kept), added, removed, trouble=cut, work=work)


def _common(old: Sequence[str], new: Sequence[str], work: int) -> tuple[list[Step] | None, int]:
    """The places of a longest common subsequence, in order, and the steps that it took; None after `work`.

    Greedy, by the number of differences: after `d` of them, on each diagonal the furthest place.
    """
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle, spent = _middle(old[head : len(old) - tail], new[head : len(new) - tail], work)
    if middle is None:
        return None, spent
    ends = range(tail, 0, -1)
    return [
        *((at, at) for at in range(head)),
        *((a + head, b + head) for a, b in middle),
        *((len(old) - left, len(new) - left) for left in ends),
    ], spent


def _middle(old: Sequence[str], new: Sequence[str], most: int) -> tuple[list[Step] | None, int]:
    if not old or not new:
        return [], 0
    work = 0
    furthest = {1: 0}
    trail: list[Mapping[int, int]] = []
    for differences in range(len(old) + len(new) + 1):
        edge = range(-differences - 1, differences + 2, 2)
        trail.append({diagonal: furthest[diagonal] for diagonal in edge if diagonal in furthest})
        work += differences
        for diagonal in range(-differences, differences + 1, 2):
            a = _entered(furthest, diagonal, differences)
            b = a - diagonal
            start = a
            while a < len(old) and b < len(new) and old[a] == new[b]:
                a, b = a + 1, b + 1
            work += 1 + a - start
            furthest[diagonal] = a
            if a >= len(old) and b >= len(new):
                return _traced(trail, len(old), len(new)), work
        if work > most:
            return None, work
    raise AssertionError("two sequences differ in no more than all that they hold")


def _is_down(furthest: Mapping[int, int], diagonal: int, differences: int) -> bool:
    """Whether a diagonal is best entered by a line that came, and not by one that went."""
    return diagonal == -differences or (
        diagonal != differences and furthest[diagonal - 1] < furthest[diagonal + 1]
    )


def _entered(furthest: Mapping[int, int], diagonal: int, differences: int) -> int:
    """The old place where it is entered."""
    if _is_down(furthest, diagonal, differences):
        return furthest[diagonal + 1]
    return furthest[diagonal - 1] + 1


def _traced(trail: Sequence[Mapping[int, int]], a: int, b: int) -> list[Step]:
    """The common places on the way that led to the end, in order."""
    common: list[Step] = []
    for differences in range(len(trail) - 1, -1, -1):
        furthest, diagonal = trail[differences], a - b
        entered = _entered(furthest, diagonal, differences)
        while a > entered:
            a, b = a - 1, b - 1
            common.append((a, b))
        if differences:
            a, b = (a, b - 1) if _is_down(furthest, diagonal, differences) else (a - 1, b)
    common.reverse()
    return common


def _rows(
    old: Sequence[str], new: Sequence[str], common: Sequence[Step], left: int
) -> tuple[list[Row], int, int, int]:
    """All rows: what lies between two common lines stands side by side as far as both sides have lines.

    Then how many lines came, how many went, and how much is left of the steps for their words.
    """
    rows: list[Row] = []
    a = b = added = removed = 0
    for next_a, next_b in (*common, (len(old), len(new))):
        gone, came = range(a, next_a), range(b, next_b)
        removed, added = removed + len(gone), added + len(came)
        for at in range(max(len(gone), len(came))):
            if at < len(gone) and at < len(came):
                here, there, spent = _pieces(old[gone[at]], new[came[at]], left)
                left -= spent
                rows.append(Row("changed", gone[at] + 1, came[at] + 1, here, there))
            elif at < len(gone):
                rows.append(Row("gone", gone[at] + 1, None, (_piece(old[gone[at]]),)))
            else:
                rows.append(Row("new", None, came[at] + 1, (), (_piece(new[came[at]]),)))
        if next_a < len(old) and next_b < len(new):
            line = (_piece(old[next_a]),)
            rows.append(Row("same", next_a + 1, next_b + 1, line, line))
        a, b = next_a + 1, next_b + 1
    return rows, added, removed, left


def _piece(line: str) -> Piece:
    return Piece(line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…")


def _pieces(old: str, new: str, left: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...], int]:
    """Both lines with what differs marked, and the work that it took."""
    if max(len(old), len(new)) > LINE_CHARS or left <= 0:
        return (_piece(old),), (_piece(new),), 0
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    common, _ = _common(before, after, min(_LINE_WORK, left))
    if common is None or not any(before[a].strip() for a, _ in common):
        return (_piece(old),), (_piece(new),), _LINE_WORK
    kept_old, kept_new = {a for a, _ in common}, {b for _, b in common}
    differences = len(before) + len(after) - 2 * len(common)
    return _marked(before, kept_old), _marked(after, kept_new), len(before) + len(after) + differences**2


def _marked(words: Sequence[str], kept: set[int]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    for at, word in enumerate(words):
        marked = at not in kept
        if pieces and pieces[-1].marked == marked:
            pieces[-1] = Piece(pieces[-1].text + word, marked)
        else:
            pieces.append(Piece(word, marked))
    return tuple(pieces)


def _folded(rows: Sequence[Row]) -> list[Row]:
    """The rows with long runs of unchanged lines left out."""
    near = bytearray(len(rows))
    for at, row in enumerate(rows):
        if row.kind != "same":
            for place in range(max(0, at - _AROUND), min(len(rows), at + _AROUND + 1)):
                near[place] = 1
    shown: list[Row] = []
    for at, row in enumerate(rows):
        if near[at]:
            shown.append(row)
        elif shown and shown[-1].kind == "skipped":
            shown[-1] = attrs.evolve(shown[-1], skipped=shown[-1].skipped + 1)
        else:
            shown.append(Row("skipped", skipped=1))
    return shown


def _within(rows: Sequence[Row], most_rows: int, most_chars: int) -> list[Row]:
    kept: list[Row] = []
    for row in rows[:most_rows]:
        most_chars -= _chars(row)
        if most_chars < 0:
            break
        kept.append(row)
    return kept
