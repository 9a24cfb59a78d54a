"""A file of messages, each in a line, sent by one command."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from tests.cli.conftest import Ran, Shell, items, until

pytestmark = pytest.mark.journey


def _lines(messages: Iterable[object]) -> str:
    return "".join(f"{json.dumps(message)}\n" for message in messages)


def _heard(shell: Shell, mark: str) -> list[str]:
    """The texts with a mark that an agent of Bob's has, oldest first."""
    ran = shell("inbox", "--agent", "helper", "--all", "--limit", "200", "--json")
    texts = [
        str(item["payload"]["text"]) for item in items(ran, "messages") if isinstance(item["payload"], dict)
    ]
    return [text for text in texts if mark in text]


def test_each_line_of_a_file_is_sent_in_its_order(connected: tuple[Shell, Shell]) -> None:
    """In requests of as many as the daemon takes at once; what a line does not say stands in options."""
    alice, bob = connected
    # More than fit in a request by their size, fewer than by their number.
    long = "x" * 40_000
    (alice.folder / "news.jsonl").write_text(_lines({"text": f"order {n:02} {long}"} for n in range(40)))
    ran = alice("message", "batch", "news.jsonl", "--from", "leaver", "--to", "@bob/helper")
    assert (ran.code, ran.out, ran.err) == (0, "Sent 40 of 40.\n", "")
    until(lambda: bob("status"), lambda _: len(_heard(bob, "order")) == 40)
    assert [text[:8] for text in _heard(bob, "order")] == [f"order {n:02}" for n in range(40)]


def test_a_repeated_file_is_sent_once_and_new_lines_with_it(connected: tuple[Shell, Shell]) -> None:
    """By keys made of what is said: lines that were put in between are new; --again sends all."""
    alice, bob = connected
    said = [{"to": "@bob/helper", "text": f"once {n}"} for n in (1, 1, 2)]
    first = alice("message", "batch", "-", "--from", "leaver", "--json", stdin=_lines(said)).json()
    more = [{"to": "@bob/helper", "text": "once 0"}, *said]
    second = alice("message", "batch", "-", "--from", "leaver", "--json", stdin=_lines(more)).json()
    ids = [
        [one["message_id"] for one in items(Ran(0, json.dumps(told), ""), "results")]
        for told in (first, second)
    ]
    assert ids[0] == ids[1][1:]
    until(lambda: bob("status"), lambda _: len(_heard(bob, "once")) == 4)
    again = alice("message", "batch", "-", "--from", "leaver", "--again", stdin=_lines(said))
    assert again.out == "Sent 3 of 3.\n"
    until(lambda: bob("status"), lambda _: len(_heard(bob, "once")) == 7)


def test_a_line_that_is_refused_keeps_no_other_back(connected: tuple[Shell, Shell]) -> None:
    """It is named with the reason, and the exit code says that something was refused."""
    alice, _ = connected
    said = [{"to": "@bob/helper", "text": "kind"}, {"to": "@nobody/here", "text": "lost"}]
    ran = alice("message", "batch", "-", "--from", "leaver", "--again", stdin=_lines(said))
    assert ran.code == 4
    assert ran.out == "Sent 1 of 2.\n"
    assert "Line 2: " in ran.err
    told = alice("message", "batch", "-", "--from", "leaver", "--again", "--json", stdin=_lines(said)).json()
    assert (told["sent"], told["failed"]) == (1, 1)
    assert [one["line"] for one in items(Ran(0, json.dumps(told), ""), "results")] == [1, 2]


@pytest.mark.parametrize(
    ("stdin", "words", "said"),
    [
        ("", (), "FILE has no lines"),
        ("{}\nnot json\n", ("--from", "leaver", "--to", "@bob/helper"), "Line 2 is no JSON."),
        ("[1]\n", (), "Line 1 is no JSON object such as"),
        ('{"text": "a", "to": "@bob/helper"}\n', (), "Line 1 has no `from`"),
        ('{"text": "a", "from": "leaver"}\n', (), "for all lines with --to"),
        ('{"text": "fine"}\n{"text": 7}\n', ("--from", "leaver", "--to", "@bob/helper"), "Line 2: `text` "),
        (
            '{"text": "fine"}\n{"txt": "a"}\n',
            ("--from", "leaver", "--to", "@bob/helper"),
            "Line 2, `txt`: There is no field",
        ),
    ],
)
def test_nothing_is_sent_of_a_file_that_is_not_understood(
    connected: tuple[Shell, Shell], stdin: str, words: tuple[str, ...], said: str
) -> None:
    """The line is named."""
    alice, _ = connected
    ran = alice("message", "batch", "-", *words, stdin=stdin)
    assert ran.code == 2, ran
    assert said in ran.err
    assert ran.out == ""
