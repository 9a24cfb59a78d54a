"""Peers' text on the terminal, and times in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from click import unstyle
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.cli.render import ago, clean, clean_lines, table_lines

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@given(st.text())
def test_nothing_that_acts_on_a_terminal_passes(text: str) -> None:
    """No control character, escape or mark that turns text around is left."""
    shown = clean(text)
    assert all(character >= " " and not "\x7f" <= character <= "\x9f" for character in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in clean_lines(text)


def test_no_letter_of_a_line_goes_unseen() -> None:
    """Programs read what people do not see: that there is something is shown. What shapes letters stays."""
    assert clean("a\u200bb\u2028c\ufeffd\U000e0041") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    shaped = "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f52c"
    assert clean(shaped) == shaped


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


HEADERS = ("id", "state", "title", "with")
ROWS = [("3f9c01ab", "accepted", "Report on README", "@bob/writer"), ("6b12e0d4", "sent", "", "@carl/x")]


def test_a_table_that_fits_has_one_line_a_row() -> None:
    """Columns stand under each other, and nothing is left at the ends of lines."""
    lines = [unstyle(line) for line in table_lines(HEADERS, ROWS, 60)]
    assert lines == [
        "ID        STATE     TITLE             WITH",
        "3f9c01ab  accepted  Report on README  @bob/writer",
        "6b12e0d4  sent                        @carl/x",
    ]


@pytest.mark.parametrize("width", [20, 30, 40])
def test_a_narrow_terminal_breaks_no_cell(width: int) -> None:
    """What does not fit goes beneath its row with its name: texts first, ids and names whole."""
    lines = [unstyle(line) for line in table_lines(HEADERS, ROWS, width)]
    assert "    title: Report on README" in lines
    assert any("@bob/writer" in line for line in lines)
    assert lines[1].startswith("3f9c01ab")
    assert "    title: " not in lines
    beside = [line for line in lines if not line.startswith(" ")]
    assert len(beside) == 3
    assert max(map(len, beside)) <= width


def test_cells_beneath_a_row_share_lines() -> None:
    """Short ones stand together, and a longer text has the rest of a line or its own."""
    headers = ("id", "type", "from", "to", "about", "when")
    row = ("3f9c01ab", "revision_request", "@alice/requester", "@bob/writer", "A report", "3 min ago")
    lines = [unstyle(line) for line in table_lines(headers, [row], 48)]
    assert lines == [
        "ID        TYPE              FROM",
        "3f9c01ab  revision_request  @alice/requester",
        "    to: @bob/writer   when: 3 min ago",
        "    about: A report",
    ]


def test_a_cell_of_many_names_is_broken_between_them() -> None:
    """A list that fits into no line goes on in the next, set in, and every name is whole."""
    agents = [f"helper-{number:02}" for number in range(20)]
    row = ("3f9c01ab", ", ".join(agents), "desk")
    lines = [unstyle(line) for line in table_lines(("id", "agents", "name"), [row], 60)]
    assert max(map(len, lines)) <= 60
    assert all(line.startswith("      helper-") for line in lines[3:])
    assert all(name in "\n".join(lines).replace(",", "").split() for name in [*agents, "desk"])


def test_what_is_cut_fits_though_its_characters_take_two_columns() -> None:
    """A text is cut to columns, and the mark of it counted."""
    assert [clean(text, most=4) for text in ("日本", "日本語", "abcd", "abcde")] == [
        "日本",
        "日…",
        "abcd",
        "abc…",
    ]


def test_a_table_for_programs_is_never_folded() -> None:
    """Without a terminal, each row is one line however long, for grep and awk."""
    long = [("3f9c01ab", "sent", "x" * 300, "@bob/writer")]
    assert len(list(table_lines(HEADERS, long, None))) == 2


def test_wide_characters_keep_the_columns_straight() -> None:
    """A character that takes two columns is counted as two."""
    lines = [unstyle(line) for line in table_lines(("title", "n"), [("日本", "1"), ("four", "2")], None)]
    assert lines[1:] == ["日本   1", "four   2"]
