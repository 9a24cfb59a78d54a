"""`taskferry watch`: a line an event, and a place that is kept or refused at the start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Shell, items, until


@contextmanager
def watching(shell: Shell, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A watch that runs while the block lasts."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")},
        "TASKFERRY_DATA": str(shell.data),
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "taskferry_apps.cli", "watch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=shell.folder,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_events(process: subprocess.Popen[str], last: str) -> list[dict[str, object]]:
    """Its lines of JSON up to the one about the agent `last`."""
    assert process.stdout is not None
    events: list[dict[str, object]] = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1].get("agent") == last:
            return events
    raise AssertionError(events)


def test_watch_prints_each_event_once_and_goes_on_from_its_place(alice: Shell, tmp_path: Path) -> None:
    """Stopped and started again on its file, it misses nothing that happened between, and repeats nothing."""
    place = tmp_path / "place"
    place.write_text("0")
    options = ("--format", "json", "--state", str(place))
    assert alice("agent", "create", "seen-first").code == 0
    with watching(alice, *options) as process:
        first = read_events(process, "seen-first")
        until(lambda: alice("status"), lambda _: place.read_text() == str(first[-1]["id"]))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert alice("agent", "create", "seen-second").code == 0
    with watching(alice, *options) as process:
        second = read_events(process, "seen-second")
    numbers = [event["id"] for event in (*first, *second)]
    assert len(set(map(str, numbers))) == len(numbers)
    assert "seen-first" not in {event.get("agent") for event in second}
    with watching(alice, "--after", "0") as process:
        assert process.stdout is not None
        assert "account" in process.stdout.readline()


@pytest.mark.parametrize("place", ["missing/place", ".", "/proc/place"])
def test_a_place_that_cannot_be_kept_is_refused_at_the_start(alice: Shell, place: str) -> None:
    """Before the first event, with the file's name."""
    ran = alice("watch", "--state", place)
    assert ran.code in (2, 7)
    assert ran.out == ""
    assert f"taskferry: {place}" in ran.err


def test_a_place_of_nonsense_is_refused(alice: Shell, tmp_path: Path) -> None:
    """It might be somebody's file: it is not written over."""
    (tmp_path / "place").write_text("notes")
    ran = alice("watch", "--state", str(tmp_path / "place"))
    assert ran.code == 2
    assert (tmp_path / "place").read_text() == "notes"


def test_an_agents_watch_shows_its_own_alone(alice: Shell) -> None:
    """With an agent's credential, another agent's events do not appear, and its feed is refused."""
    alice("agent", "create", "apart")
    token = str(alice("token", "create", "apart", "--json").json()["token"])
    refused = alice("watch", "--agent", "requester", "--token", token)
    assert refused.code == 5
    assert items(alice("agent", "list", "--json"), "agents")
