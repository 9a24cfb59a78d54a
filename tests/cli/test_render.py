"""Peers' text on the terminal, and times in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.cli.render import ago, clean, clean_lines

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@given(st.text())
def test_nothing_that_acts_on_a_terminal_passes(text: str) -> None:
    """No control character, escape or mark that turns text around is left."""
    shown = clean(text)
    assert all(character >= " " and not "\x7f" <= character <= "\x9f" for character in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert "\x1b" not in clean_lines(text)


def test_long_text_is_cut_visibly() -> None:
    """A cut ends with an ellipsis and keeps to the width."""
    assert clean("x" * 50, most=10) == "x" * 9 + "…"
    assert clean("line\nline", most=20) == "line line"


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-11-20T11:59:58.000Z", "just now"),
        ("2026-11-20T11:59:30.000Z", "30 s ago"),
        ("2026-11-20T11:50:00.000Z", "10 min ago"),
        ("2026-11-20T09:00:00.000Z", "3 h ago"),
        ("2026-11-10T12:00:00.000Z", "10 d ago"),
        ("2026-11-20T13:59:55.000Z", "in 2 h"),
        ("2026-11-20T12:00:30.000Z", "soon"),
        ("not a time", "not a time"),
        (None, ""),
    ],
)
def test_times_in_words(time: str | None, words: str) -> None:
    """Times are told as people say them."""
    assert ago(time, NOW) == words
