"""`taskferry quarantine`: pages of what came and had no effect, by the command itself and by its `list`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest
from click.testing import CliRunner, Result

# The package's own name for it is the command.
module = import_module("taskferry_apps.cli.quarantine")

ITEMS = [
    {
        "id": f"{number:064x}",
        "code": "not-permitted",
        "peer": "@alice/requester",
        "reason": "no\x1b[2J",
        "received_at": None,
        "barred": number == 2,
    }
    for number in (3, 2, 1)
]


class Daemon:
    """Holds three items, and gives at most `limit` of them beyond a cursor."""

    def get(self, path: str, **query: object) -> dict[str, object]:
        """A page, as the local API gives it."""
        assert path == "/quarantine"
        start, limit = int(str(query["cursor"] or 0)), int(str(query["limit"]))
        page = ITEMS[start : start + limit]
        full = len(page) == limit
        return {"items": page, "cursor": str(start + limit) if full else "", "more": full}


@pytest.fixture(autouse=True)
def daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon that the command finds."""

    @contextmanager
    def client() -> Iterator[Daemon]:
        yield Daemon()

    monkeypatch.setattr(module, "local_client", client)


def quarantine(*words: str) -> Result:
    """Run the command."""
    ran = CliRunner().invoke(module.quarantine, words, obj={})
    assert ran.exit_code == 0, ran.output
    return ran


@pytest.mark.parametrize("way", [[], ["list"]])
def test_pages_are_listed_by_either_way(way: list[str]) -> None:
    """The page ends with how to go on; the last one does not, and beyond it is nothing older."""
    first = quarantine(*way, "--limit", "2").output
    assert "ID" in first.splitlines()[0]
    assert "000001" not in first
    assert "\x1b" not in first
    assert [line.endswith("once you allow it") for line in first.splitlines()[1:3]] == [False, True]
    assert first.endswith("\nOlder ones: --cursor 2\n")
    last = quarantine(*way, "--limit", "2", "--cursor", "2").output
    assert "Older ones" not in last
    assert quarantine(*way, "--cursor", "3").output == "Nothing older is in quarantine.\n"


@pytest.mark.parametrize("words", [["--limit", "1", "--json"], ["list", "--limit", "1", "--json"]])
def test_json_is_the_daemons_page(words: list[str]) -> None:
    """With the cursor that leads on."""
    assert json.loads(quarantine(*words).output) == {"items": ITEMS[:1], "cursor": "1", "more": True}


def test_what_stands_before_list_counts_for_it_too() -> None:
    """Whoever adds the word to a command that works has the same page."""
    assert quarantine("--limit", "1", "--json", "list").output == quarantine("--limit", "1", "--json").output


def test_nothing_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty quarantine is no empty table."""
    monkeypatch.setitem(globals(), "ITEMS", [])
    assert quarantine("list").output == "Nothing is in quarantine.\n"


def test_what_can_be_done_stands_beneath_once_for_all_it_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the ids of the items, and without what acts on a terminal."""
    step = "Ask @alice/requester to send it again.\x1b[2J"
    items = [{**item, "next": step if number else ""} for number, item in enumerate(ITEMS)]
    monkeypatch.setitem(globals(), "ITEMS", items)
    said = quarantine("list").output
    assert said.count("send it again") == 1
    assert "\x1b" not in said
    assert f"{'0' * 8}, {'0' * 8}: Ask @alice/requester" in said
