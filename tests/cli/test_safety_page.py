"""A safety code on terminals of several widths."""

from __future__ import annotations

import pytest

from taskferry_apps.cli import safety_page
from taskferry_protocol.safety import typed_code
from taskferry_protocol.words import WORDS

LONGEST = [word for word in WORDS if len(word) == max(map(len, WORDS))]
PEER = {
    "safety_words": (LONGEST * 24)[:24],
    "safety_code": " ".join(f"{number:05}" for number in range(12)),
}


@pytest.mark.parametrize(
    ("width", "rows"),
    [(None, 4), (80, 4), (62, 4), (61, 6), (44, 6), (41, 8), (36, 8), (24, 12), (20, 24), (5, 24)],
)
def test_the_words_stand_in_even_rows_that_fit(
    monkeypatch: pytest.MonkeyPatch, width: int | None, rows: int
) -> None:
    """As many in each row, so that two owners can count rows; no word is broken, none is left out."""
    monkeypatch.setattr(safety_page, "columns", lambda: width)
    words, digits = safety_page.code_lines(PEER)
    assert len(words) == rows
    assert typed_code(" ".join(words)) == tuple(PEER["safety_words"])
    assert "".join(typed_code(" ".join(digits))) == str(PEER["safety_code"]).replace(" ", "")
    if width is not None and width >= 20:
        assert max(map(len, [*words, *digits])) <= width
