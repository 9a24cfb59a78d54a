"""Keys in a real Secret Service: kept, found again, moved with no copy left, never replaced in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskferry_apps import system
from taskferry_apps.daemon import secret_service
from taskferry_apps.daemon.keys import decode_keys, encode_keys, make_keys
from taskferry_apps.daemon.secret_choice import (
    SecretsMisplaced,
    find_secrets,
    move_secrets,
    open_secrets,
    read_mark,
)
from taskferry_apps.daemon.secret_files import FileSecrets
from taskferry_apps.daemon.secret_port import DEVICE, OWNER, SecretsUnavailable

from .secret_service import Desktop, a_desktop

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    """A session whose keyring can be locked."""
    with a_desktop(tmp_path_factory.mktemp("desktop")) as desktop:
        yield desktop


@pytest.fixture
def open_desktop(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    """The session as after a login, in this process's environment too."""
    for name, value in desktop.environment.items():
        monkeypatch.setenv(name, value)
    if desktop.keyring is None or desktop.keyring.poll() is not None:
        desktop.unlock()
    wait_for(True)
    return desktop


def wait_for(there: bool) -> None:
    """Wait until the store answers and is open, or is no more."""
    deadline = time.monotonic() + 20
    while True:
        try:
            secret_service.find_open_backend()
            found = True
        except SecretsUnavailable:
            found = False
        if found == there:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def a_folder(tmp_path: Path) -> Path:
    """A data directory."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    return data


def files_in(data: Path) -> set[str]:
    """Every file below a folder."""
    return {path.name for path in data.rglob("*") if path.is_file()}


def test_auto_chooses_an_open_store_and_keeps_to_it(open_desktop, tmp_path):
    """Keys written there come back in a new process; the folder has no secret."""
    data = a_folder(tmp_path)
    secrets = open_secrets(data, "auto")
    assert secrets.kind == "keyring"
    ring = make_keys("laptop", system.entropy, system.now())
    secrets.write(DEVICE, encode_keys(ring))
    secrets.write(OWNER, b"tfo_secret\n")
    again = open_secrets(data, "auto").read(DEVICE)
    assert again is not None
    assert decode_keys(again, "") == ring
    assert find_secrets(data).read(OWNER) == b"tfo_secret\n"
    assert files_in(data) == {"secrets.json"}
    other = tmp_path / "other"
    other.mkdir()
    assert open_secrets(other, "keyring").read(DEVICE) is None
    secrets.erase(OWNER)
    secrets.erase(OWNER)
    assert secrets.read(OWNER) is None


def test_what_is_in_files_stays_until_it_is_moved(open_desktop, tmp_path):
    """There and back again; each time nothing is left where it was."""
    data = a_folder(tmp_path)
    files = FileSecrets(data)
    files.write(DEVICE, b"{}")
    files.write(OWNER, b"tfo_x\n")
    assert open_secrets(data, "auto").kind == "files"
    with pytest.raises(SecretsMisplaced, match="secrets move --to keyring"):
        open_secrets(data, "keyring")
    assert move_secrets(data, "keyring")
    assert not move_secrets(data, "keyring")
    assert files_in(data) == {"secrets.json"}
    kept = open_secrets(data, "auto")
    assert (kept.kind, kept.read(DEVICE), kept.read(OWNER)) == ("keyring", b"{}", b"tfo_x\n")
    with pytest.raises(SecretsMisplaced, match="secrets move --to files"):
        open_secrets(data, "files")
    assert move_secrets(data, "files")
    assert kept.read(DEVICE) is None
    assert files.read(DEVICE) == b"{}"
    assert open_secrets(data, "auto").kind == "files"


def test_a_move_that_was_cut_off_leaves_one_copy_that_counts(open_desktop, tmp_path):
    """Cut off before the note, the files count; after it, what is left of them goes at the next start."""
    data = a_folder(tmp_path)
    files = FileSecrets(data)
    files.write(DEVICE, b"{}")
    open_secrets(data, "auto")
    mark = read_mark(data)
    assert mark is not None
    move_secrets(data, "keyring")
    files.write(DEVICE, b"{}")
    assert open_secrets(data, "auto").kind == "keyring"
    assert files.read(DEVICE) is None
    files.write(DEVICE, b'{"other": 1}')
    assert open_secrets(data, "auto").read(DEVICE) == b"{}"
    assert files.read(DEVICE) is not None


def test_a_daemon_keeps_its_keys_there_and_makes_none_without(open_desktop, tmp_path):
    """Start, stop, lock the store, start: a sentence and no new keys; unlocked, it is the same daemon."""
    data = tmp_path / "data"
    first = run(open_desktop, data)
    assert first.health()["secrets"] == "keyring"
    first.stop()
    assert not (data / "keys").exists()
    assert not (data / "owner.token").exists()
    told = cli(open_desktop, data, "doctor", "--json")
    assert any("system's secret store" in line["text"] for line in json.loads(told.stdout))
    open_desktop.end()
    wait_for(False)
    failed = run(open_desktop, data, expect=7)
    assert "No new keys were made" in failed.error
    assert "Traceback" not in failed.error
    assert not (data / "keys").exists()
    moved = cli(open_desktop, data, "secrets", "move", "--to", "files")
    assert moved.returncode == 7
    assert "Traceback" not in moved.stderr
    open_desktop.unlock()
    wait_for(True)
    again = run(open_desktop, data)
    assert again.health()["secrets"] == "keyring"
    again.stop()


def test_a_locked_store_is_not_waited_for(open_desktop, tmp_path):
    """`auto` uses files at once rather than open a window for somebody who is not there."""
    open_desktop.start_locked()
    deadline = time.monotonic() + 20
    while True:
        with pytest.raises(SecretsUnavailable) as failure:
            secret_service.find_open_backend()
        if "locked" in str(failure.value) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    begun = time.monotonic()
    assert open_secrets(a_folder(tmp_path), "auto").kind == "files"
    assert time.monotonic() - begun < 8
    open_desktop.end()


class Running:
    """A daemon's process."""

    def __init__(self, process: subprocess.Popen[str], desktop: Desktop, data: Path) -> None:
        self._process = process
        self._desktop = desktop
        self._data = data
        self.error = ""

    def health(self) -> dict[str, object]:
        """What it says of itself to its owner, whose credential is in the store."""
        done = cli(self._desktop, self._data, "status", "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate(timeout=20)


def run(desktop: Desktop, data: Path, expect: int | None = None) -> Running:
    """Start a daemon, and wait until it answers or has ended as expected."""
    (data / "daemon.json").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "taskferry_apps.cli", "up", "--addr", "127.0.0.1:0", "--data", str(data)],
        env=desktop.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(process, desktop, data)
    if expect is not None:
        _, running.error = process.communicate(timeout=30)
        assert process.returncode == expect
        return running
    deadline = time.monotonic() + 30
    while not (data / "daemon.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return running


def cli(desktop: Desktop, data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the same user."""
    return subprocess.run(
        [sys.executable, "-m", "taskferry_apps.cli", *words, "--data", str(data)],
        env=desktop.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# --- Without a store


def test_without_a_store_there_are_files(tmp_path, monkeypatch):
    """A server without D-Bus is the common case: nothing is imported, nothing is waited for."""
    monkeypatch.setattr(secret_service, "_may_have_one", lambda: False)
    data = a_folder(tmp_path)
    assert open_secrets(data, "auto").kind == "files"
    assert os.stat(data / "secrets.json").st_mode & 0o777 == 0o600
    # Whoever asked for one by name is told how to go on without.
    with pytest.raises(SecretsUnavailable, match=r"no secret store .* taskferry up --secrets files"):
        open_secrets(tmp_path, "keyring")


def test_who_has_not_installed_the_extra_is_told_its_name(tmp_path, monkeypatch):
    """A desktop has a store, and the program as it is installed by default does not speak to it."""
    monkeypatch.setattr(secret_service, "_may_have_one", lambda: True)
    monkeypatch.setitem(sys.modules, "keyring", None)
    data = a_folder(tmp_path)
    with pytest.raises(SecretsUnavailable, match=r"taskferry\[keyring\].* --secrets files"):
        open_secrets(data, "keyring")
    assert open_secrets(data, "auto").kind == "files"


def test_a_store_that_hangs_is_given_up():
    """Whoever waits is told in time, and the thread that hangs holds nobody."""
    with pytest.raises(SecretsUnavailable, match="did not answer"):
        secret_service.within(0.05, lambda: time.sleep(2))

    def fails() -> None:
        raise ValueError("the secret is hunter2")

    with pytest.raises(SecretsUnavailable) as failure:
        secret_service.within(1, fails)
    assert "hunter2" not in str(failure.value)


def test_a_damaged_note_is_no_reason_for_new_keys(tmp_path):
    """Where the secrets are cannot be guessed."""
    data = a_folder(tmp_path)
    open_secrets(data, "files")
    for content in ("", "{}", '{"kept": "cloud", "directory": "x"}'):
        (data / "secrets.json").write_text(content)
        with pytest.raises(SecretsMisplaced):
            open_secrets(data, "auto")
