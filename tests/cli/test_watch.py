"""`taskferry watch`: one line when an agent is needed, nothing twice, over restarts of watch and daemon."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taskferry_apps.cli.outcome import CommandFailed
from taskferry_apps.cli.watch_place import WatchPlace
from taskferry_apps.local_client import LocalClient
from tests.cli.conftest import PATIENCE_S, Shell, connect, items, until


class Watching:
    """A watch that runs, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=lambda s, t: t.extend(iter(s.readline, "")), args=(stream, said))
            for stream, said in ((process.stdout, self.lines), (process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def end(self) -> None:
        """Kill it, and read what it had said."""
        self.process.kill()
        for reader in self._readers:
            reader.join(PATIENCE_S)

    def when(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so; fails with what was said."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, (self.lines, self.errors)
            time.sleep(0.02)

    def events(self) -> list[dict[str, object]]:
        """Its lines of JSON."""
        return [json.loads(line) for line in list(self.lines)]


@contextmanager
def watching(shell: Shell, *words: str) -> Iterator[Watching]:
    """A watch that runs while the block lasts, as a program starts it: through pipes."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")},
        "TASKFERRY_DATA": str(shell.data),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "taskferry_apps.cli", "watch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=shell.folder,
    ) as process:
        watch = Watching(process)
        try:
            yield watch
        finally:
            # Before the streams are closed, which their readers would not take well.
            watch.end()


def agents(watch: Watching) -> set[object]:
    """The agents that its events are about."""
    return {event.get("agent") for event in watch.events()}


def place_of(shell: Shell, name: str) -> Path:
    """Where the place of a watch is kept by itself."""
    return shell.data / "watch" / name


@pytest.fixture(scope="module")
def pair(alice: Shell, bob: Shell) -> tuple[Shell, Shell]:
    """Alice's `teller` and Bob's `watched`, connected: nobody else does anything that would wake them."""
    assert alice("agent", "create", "teller").code == 0
    assert bob("agent", "create", "watched").code == 0
    connect(alice, "@alice/teller", bob, "@bob/watched")
    return alice, bob


def say(pair: tuple[Shell, Shell], text: str) -> None:
    """A message to the watched agent."""
    sent = pair[0]("message", "send", "teller", "@bob/watched", text)
    assert sent.code == 0, sent


def test_watch_prints_each_event_once_and_goes_on_from_its_place(alice: Shell, tmp_path: Path) -> None:
    """Stopped and started again on its file, it misses nothing that happened between, and repeats nothing."""
    place = tmp_path / "place"
    place.write_text("0")
    options = ("--all", "--format", "json", "--state", str(place))
    assert alice("agent", "create", "seen-first").code == 0
    with watching(alice, *options) as watch:
        watch.when(lambda: "seen-first" in agents(watch))
        watch.when(lambda: place.read_text() == f"{watch.events()[-1]['id']}\n")
        watch.process.send_signal(signal.SIGINT)
        assert watch.process.wait(20) == 130
        assert watch.errors == []
    assert alice("agent", "create", "seen-second").code == 0
    with watching(alice, *options) as again:
        again.when(lambda: "seen-second" in agents(again))
    numbers = [event["id"] for event in (*watch.events(), *again.events())]
    assert len(set(map(str, numbers))) == len(numbers)
    assert "seen-first" not in agents(again)
    with watching(alice, "--all", "--after", "0") as watch:
        watch.when(lambda: any("account" in line for line in watch.lines))


def test_a_watch_goes_on_by_itself_where_the_last_one_ended(pair: tuple[Shell, Shell]) -> None:
    """By itself: what came meanwhile is one line with a count, and what was told is not told again."""
    _, bob = pair
    bob("agent", "list")
    options = ("--agent", "watched")
    with watching(bob, *options) as watch:
        say(pair, "first")
        watch.when(lambda: any("from @alice/teller" in line for line in watch.lines))
        told = watch.lines[-1].split("  ")
        assert told[1] == "watched"
        assert told[2].endswith(" new")
        assert told[3:5] == ["message", "from @alice/teller"]
        assert told[5].startswith("message ")
        assert "first" not in watch.lines[-1]
        watch.when(lambda: place_of(bob, "watched.wake").read_text().strip() not in {"", "0"})
    for text in ("second", "third"):
        say(pair, text)
    until(
        lambda: bob("message", "list", "--agent", "watched", "--json"),
        lambda ran: "third" in ran.out,
    )
    with watching(bob, *options) as watch:
        watch.when(lambda: bool(watch.lines))
        assert [line.split("  ")[2] for line in watch.lines] == ["2 new"]
    # What is read is not announced any more, wherever the watch begins.
    assert bob("inbox", "--agent", "watched").code == 0
    with watching(bob, *options, "--from", "start") as watch:
        say(pair, "fourth")
        watch.when(lambda: bool(watch.lines))
        listed = items(bob("message", "list", "--agent", "watched", "--json"), "messages")
        fourth = [str(item["id"]) for item in listed if "fourth" in str(item["payload"])]
        named = [line.split("  ")[-1].removeprefix("message ").strip() for line in watch.lines]
        assert len(named) == 1, watch.lines
        assert fourth[0].startswith(named[0]), watch.lines


def test_a_watch_for_one_program_says_nothing_of_what_another_has(pair: tuple[Shell, Shell]) -> None:
    """By the program's name, with a place of its own; what it is not for is refused."""
    _, bob = pair
    url = json.loads((bob.data / "daemon.json").read_text())["url"]
    with LocalClient(url, (bob.data / "owner.token").read_text().strip()) as daemon:
        one, two = (
            daemon.post("/runtimes", {"agent": "watched", "program": name})["runtime"]
            for name in ("first", "second")
        )
        assert isinstance(one, dict)
        assert isinstance(two, dict)
        said = "for one of them"
        say(pair, said)
        until(lambda: bob("message", "list", "--agent", "watched", "--json"), lambda ran: said in ran.out)
        daemon.get("/inbox", agent="watched", unprocessed="true", limit=200, runtime=str(one["id"]))
        options = ("--agent", "watched", "--format", "json", "--runtime")
        with watching(bob, *options, "second") as watch:
            watch.when(lambda: place_of(bob, "watched.second.wake").exists())
            daemon.delete(f"/runtimes/{one['id']}")
            watch.when(lambda: bool(watch.lines))
        daemon.delete(f"/runtimes/{two['id']}")
    gone = bob("watch", *options, "second")
    assert (gone.code, "agent runtimes" in gone.err) == (5, True), gone
    for other in ("--once", "--all"):
        assert bob("watch", "--runtime", "second", other).code == 2


def test_a_reader_that_has_enough_ends_the_watch_quietly(alice: Shell) -> None:
    """When nobody reads its lines any more it ends with 0 and says nothing."""
    environment = {**os.environ, "TASKFERRY_DATA": str(alice.data)}
    watch = f"{sys.executable} -m taskferry_apps.cli watch --all --after 0"
    command = f"{watch} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * 2,
        env=environment,
        cwd=alice.folder,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


class _Quiet(BaseHTTPRequestHandler):
    """A daemon at which nothing happens, and whose heart beats fast."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(b": the feed\nid: 7\n\n")
            while True:
                self.wfile.write(b": still here\n\n")
                time.sleep(0.02)
        except OSError:
            pass  # the watch has ended

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("is_there", [True, False], ids=["quiet daemon", "no daemon"])
def test_a_watch_whose_host_was_killed_ends_although_nothing_happens(tmp_path: Path, is_there: bool) -> None:
    """Else it would stand for an agent that runs, for as long as nothing comes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")} | {
        "TASKFERRY_DATA": str(tmp_path),
        "TASKFERRY_LOCAL_URL": f"http://127.0.0.1:{server.server_port if is_there else 9}",
        "TASKFERRY_LOCAL_API_TOKEN": "tfa_" + "a" * 43,
    }
    place = tmp_path / "place"
    host = subprocess.Popen(
        [sys.executable, "-m", "taskferry_apps.cli", "watch", "--state", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        assert host.stdout is not None
        assert host.stderr is not None
        if is_there:
            deadline = time.monotonic() + PATIENCE_S
            while not place.exists() or place.read_text() != "7\n":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        else:
            assert host.stderr.readline()
        host.stdout.close()
        assert host.wait(PATIENCE_S) == 0
    finally:
        host.kill()
        host.communicate()
        server.shutdown()
        server.server_close()
        thread.join()


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


def test_a_place_that_a_loss_of_power_left_empty_is_none(tmp_path: Path) -> None:
    """The watch begins with what is unread, and waits for nobody to remove a file."""
    empty = tmp_path / "place"
    empty.touch()
    assert WatchPlace.choose(empty, "writer", wake=True).start(None, wake=True) == 0


def test_a_full_disk_leaves_nothing_beside_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept stays, and no half file with it."""
    place = WatchPlace.choose(tmp_path / "place", "writer", wake=True)
    place.keep(7)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CommandFailed):
        place.keep(8)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("place", "7\n")]


def test_watches_that_keep_one_place_do_not_end_each_other(tmp_path: Path) -> None:
    """Two sessions of one agent follow the same feed, and come to each line in the same moment."""
    failures: list[Exception] = []

    def keep() -> None:
        try:
            place = WatchPlace.choose(tmp_path / "place", "writer", wake=True)
            for number in range(300):
                place.keep(number)
        except CommandFailed as failure:
            failures.append(failure)

    watches = [threading.Thread(target=keep) for _ in range(2)]
    for watch in watches:
        watch.start()
    for watch in watches:
        watch.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert WatchPlace(tmp_path / "place").start(None, wake=True) == 299
