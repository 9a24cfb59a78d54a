"""Settings that a running relay takes anew at SIGHUP, and those that it says need a restart."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from taskferry_apps.relay.reloading import LIVE, Difference, Reloading, difference
from taskferry_apps.settings import RelaySettings, SettingsError, load_relay

FIRST, SECOND = "first-token-of-the-operator", "second-token-of-the-operator"


@attrs.frozen
class Running:
    """A relay by its command, on a file of settings."""

    process: subprocess.Popen[str]
    url: str

    def told(self) -> dict[str, object]:
        """The next line of its log."""
        assert self.process.stderr is not None
        line: dict[str, object] = json.loads(self.process.stderr.readline())
        return line

    def hang_up(self) -> dict[str, object]:
        """SIGHUP, and what it says of it."""
        self.process.send_signal(signal.SIGHUP)
        return self.told()

    def reads(self, token: str) -> int:
        """How it answers whoever reads the numbers with a token."""
        return httpx.get(
            f"{self.url}/metrics", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ).status_code


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """It ends by itself in a minute, so that no line is waited for in vain."""
    words = [sys.executable, "-m", "taskferry_apps.cli", "relay", "--config", str(folder / "relay.toml")]
    process = subprocess.Popen(["timeout", "--foreground", "60", *words], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield Running(process, str(json.loads(process.stderr.readline())["url"]))
    finally:
        process.terminate()
        process.communicate()


def write(folder: Path, **settings: object) -> None:
    """The file as it is now."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "relay.toml").write_text("\n".join(["[relay]", *lines, ""]))


def test_a_relay_takes_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    """A token and the log's level at once; another database at the next start; a bad file not at all."""
    common = {"addr": "127.0.0.1:0", "db": str(tmp_path / "relay.db")}
    write(tmp_path, **common, ops_token=FIRST)
    with running(tmp_path) as relay:
        assert (relay.reads(FIRST), relay.reads(SECOND)) == (200, 401)
        write(tmp_path, **common, ops_token=SECOND, community="no", signups_per_hour=7)
        said = relay.hang_up()
        assert (said["taken"], said["needs_restart"]) == (["signups_per_hour", "ops_token"], ["community"])
        assert (relay.reads(FIRST), relay.reads(SECOND)) == (401, 200)

        for bad in ({"signups_per_hour": "many"}, {"no_such": 1}, {"ops_token": "short"}):
            write(tmp_path, **{**common, "ops_token": FIRST, **bad})
            said = relay.hang_up()
            assert said["level"] == "error"
            assert str(next(iter(bad))) in str(said["reason"])
            assert relay.reads(SECOND) == 200
        write(tmp_path, **common, ops_token=FIRST, log="warning")
        relay.process.send_signal(signal.SIGHUP)
        while relay.reads(FIRST) != 200:
            pass
        # At this level what it would say next is left out.
        write(tmp_path, **common, ops_token=FIRST, log="info")
        assert relay.hang_up()["taken"] == ["log"]


LOADING = """
import sys
class Slow:
    def find_spec(self, name, path, target=None):
        if name == "taskferry_apps.relay.compose":
            print("loading", flush=True)
            sys.stdin.readline()
sys.meta_path.insert(0, Slow())
from taskferry_apps.cli.__main__ import main
main()
"""


@pytest.mark.parametrize("bad", [False, True])
def test_a_relay_that_is_still_starting_takes_what_is_written_meanwhile(tmp_path: Path, bad: bool) -> None:
    """SIGHUP does not end it before it can be heeded, and a file that is wrong by then is said to be."""
    common = {"addr": "127.0.0.1:0", "db": str(tmp_path / "relay.db")}
    write(tmp_path, **common, ops_token=FIRST)
    words = [sys.executable, "-c", LOADING, "relay", "--config", str(tmp_path / "relay.toml")]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["timeout", "--foreground", "60", *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "loading\n"
            write(tmp_path, **common, ops_token="short" if bad else SECOND)
            process.send_signal(signal.SIGHUP)
            process.stdin.write("\n")
            process.stdin.flush()
            said, listening = json.loads(process.stderr.readline()), json.loads(process.stderr.readline())
            assert said.get("taken") == (None if bad else ["ops_token"])
            assert ("reason" in said) == bad
            relay = Running(process, listening["url"])
            assert relay.reads(FIRST if bad else SECOND) == 200
        finally:
            process.terminate()


def test_tokens_that_close_the_door_say_that_they_wait_for_a_restart() -> None:
    """Without a policy in the file, the first token changes it: accounts without one join until a restart."""
    held = load_relay({}, {})
    read = load_relay({"client_tokens": f"client_alice={FIRST}"}, {})
    assert difference(held, read) == Difference(("client_tokens",), ("signup",))
    assert difference(read, held) == Difference(("client_tokens",), ("signup",))
    chosen = load_relay({"client_tokens": f"client_alice={FIRST}", "signup": "open"}, {})
    assert difference(held, chosen) == Difference(("client_tokens",), ())


def test_a_file_that_nests_too_deep_changes_nothing(tmp_path: Path) -> None:
    """It is no better than another that cannot be read."""
    file = tmp_path / "relay.toml"
    file.write_text("[relay]\ncommunity = " + "[" * 100_000)
    with pytest.raises(SettingsError, match="TOML"):
        load_relay({}, {}, file)


def test_every_setting_is_live_or_waits() -> None:
    """Nothing that changed goes unmentioned, whichever it is."""
    held = RelaySettings()
    for field in attrs.fields(RelaySettings):
        if field.name == "sources":
            continue
        changed: dict[str, Any] = {field.name: object()}
        found = difference(held, attrs.evolve(held, **changed))
        assert found.live + found.waiting == (field.name,)
        assert bool(found.live) is (field.name in LIVE)
    assert difference(held, held) == Difference((), ())


@pytest.mark.parametrize("trouble", [SettingsError("it cannot be read."), None])
def test_what_waits_for_a_restart_is_named_again_each_time(trouble: SettingsError | None) -> None:
    """A restart that was not made is not forgotten, also after a file that was no good."""
    applied: list[RelaySettings] = []
    held = RelaySettings()
    read = attrs.evolve(held, community=False, signups_per_hour=1)
    answers: list[RelaySettings | SettingsError] = [read, *([trouble] if trouble else []), read]

    def reread() -> RelaySettings:
        answer = answers.pop(0)
        if isinstance(answer, SettingsError):
            raise answer
        return answer

    reloading = Reloading(held, reread, applied.append)
    for _ in tuple(answers):
        reloading.reload()
    assert applied == [attrs.evolve(held, signups_per_hour=1)]
