"""The feed's bytes: whole events only, however they are cut, and no daemon's where they are none."""

from __future__ import annotations

import pytest

from taskferry_apps.client import NotTaskFerry, Unauthorized
from taskferry_apps.client.feeds import Lines

RAW = (
    b": the feed of this daemon\nid: 7\n\n"
    b'id: 8\nevent: task\ndata: {"id":8,"title":"a: b"}\n\n'
    b": still here\n\n"
    b'id: 9\r\nevent: message\r\ndata: {"id":9}\r\n\r\n'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1_000])
def test_however_it_is_cut_each_event_is_told_once(size):
    """The place moves with whole events, and with the greeting."""
    lines = Lines()
    told = []
    for at in range(0, len(RAW), size):
        told += list(lines.take(RAW[at : at + size]))
    assert told == [{"id": 8, "title": "a: b"}, {"id": 9}]
    assert lines.place == 9


def test_an_event_that_was_cut_off_has_not_been_reached():
    """Its id came and its end did not: whoever resumes is given it again."""
    for end in range(RAW.index(b"id: 8"), RAW.index(b": still") - 1):
        lines = Lines()
        assert list(lines.take(RAW[:end])) == []
        assert lines.place == 7


def test_a_feed_that_is_refused_ends_with_the_reason():
    """The credential was revoked after the answer had begun."""
    told = (
        b'event: refused\ndata: {"ok":false,"error":{"code":"unauthorized","message":"No.","next":"x"}}\n\n'
    )
    with pytest.raises(Unauthorized):
        list(Lines().take(told))


@pytest.mark.parametrize(
    "raw",
    [
        b"data: <html>\n\n",
        b"data: []\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"event: refused\ndata: {}\n\n",
        b"event: refused\ndata: 7\n\n",
        b"x" * 1_100_000,
        b"data: " + b'"x' * 600_000,
    ],
    ids=lambda raw: ascii(raw[:20]),
)
def test_what_is_no_feed_of_ours_is_a_stranger(raw):
    """Other shapes, endless lines: one plain error, and no memory without end."""
    with pytest.raises(NotTaskFerry):
        list(Lines().take(raw))


def test_data_without_end_is_no_event():
    """Many short lines that never end their event are not collected without bound."""
    lines = Lines()
    with pytest.raises(NotTaskFerry):
        for _ in range(100):
            list(lines.take(b"data: xxxxxxxx\n" * 10_000))


@pytest.mark.parametrize("id", [b"-1", b"1.5", b"9" * 5_000, "\u0663".encode(), b""])
def test_a_strange_id_is_no_place(id):
    """Only a plain number can be gone on from."""
    lines = Lines(3)
    assert list(lines.take(b"id: " + id + b"\ndata: {}\n\n")) == [{}]
    assert lines.place == 3
