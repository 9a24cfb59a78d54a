"""An owner's worst day, with real processes: the machine is lost, the backup and the paper are not."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskferry_apps.demo.stage import Stage
from tests.warm import WarmStage

from .conftest import Ran, Shell, _shell, items

pytestmark = pytest.mark.journey


def until(found: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def waiting(shell: Shell, state: str) -> list[str]:
    """The ids of the connections in a state."""
    listed = json.loads(shell("connections", "--json").out)["connections"]
    return [one["id"] for one in listed if one["state"] == state]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory):
    """Processes of this module's own: one of its owners loses a machine."""
    with WarmStage(tmp_path_factory.mktemp("lost")) as stage:
        yield stage


@pytest.fixture(scope="module")
def relay(stage: Stage) -> str:
    """A relay's address."""
    url, _ = stage.start_relay()
    return url


@pytest.fixture(scope="module")
def people(stage: Stage, relay: str) -> tuple[Shell, Shell, str]:
    """Alice and Bob, connected; and what Alice wrote down."""
    alice, bob = (_shell(stage, stage.start_daemon(name)) for name in ("alice", "bob"))
    made = alice("setup", "alice", "--relay", relay, "--json")
    assert made.code == 0
    phrase = str(made.json()["recovery_key"])
    assert bob("setup", "bob", "--relay", relay).code == 0
    assert alice("agent", "create", "requester").code == 0
    assert bob("agent", "create", "writer").code == 0
    assert alice("connect", "requester", "@bob/writer").code == 0

    until(lambda: bool(waiting(bob, "requested_in")))
    assert bob("approve", waiting(bob, "requested_in")[0]).code == 0
    until(lambda: bool(waiting(alice, "accepted")))
    return alice, bob, phrase


@pytest.fixture(scope="module")
def backup(people: tuple[Shell, Shell, str], stage: Stage) -> Path:
    """Alice's backup, made while her daemon runs."""
    alice, _, _ = people
    file = stage.folder / "alice.backup"
    before = os.umask(0)
    try:
        done = alice("backup", str(file))
    finally:
        os.umask(before)
    assert done.code == 0, done.err
    return file


def restored(stage: Stage, file: Path, name: str, secret: str, *more: str) -> tuple[Shell, Ran]:
    """A shell on what a backup was restored to."""
    shell = Shell(stage.folder, stage.folder / name)
    return shell, shell("restore", str(file), *more, stdin=secret + "\n")


def test_a_backup_is_private_and_holds_nothing_in_the_clear(
    people: tuple[Shell, Shell, str], backup: Path
) -> None:
    """Mode 0600 under any umask; neither names nor keys are in it; another one does not replace it."""
    alice, _, _ = people
    content = backup.read_bytes()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    for clear in (b"requester", b"SQLite format 3", b'"signing"', b"@bob"):
        assert clear not in content
    assert alice("backup", str(backup)).code == 2
    assert [path.name for path in backup.parent.glob(".*part*")] == []
    assert not list(alice.data.glob(".backup-copy*"))


def test_a_wrong_phrase_or_a_damaged_file_restores_nothing(
    people: tuple[Shell, Shell, str], backup: Path, stage: Stage
) -> None:
    """Each with a sentence and its exit code; no folder is left, not even half of one."""
    _, _, phrase = people
    other = "abandon " * 23 + "art"
    content = backup.read_bytes()
    damaged, cut = stage.folder / "damaged", stage.folder / "cut"
    damaged.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    cut.write_bytes(content[:-1])
    for file, secret, says, code in (
        (backup, other, "not the phrase", 6),
        (backup, "abandn " * 24, "word 1: abandn; did you mean abandon", 2),
        (damaged, phrase, "damaged", 6),
        (cut, phrase, "cut off", 6),
        (Path(__file__), phrase, "no whole backup", 6),
        (stage.folder / "missing", phrase, "No such file", 2),
    ):
        shell, done = restored(stage, file, "nothing", secret)
        assert done.code == code, done.err
        assert says in done.err
        assert " ".join(phrase.split()[:3]) not in done.err
        assert not shell.data.exists()
    assert not list(stage.folder.glob(".nothing*"))
    _, done = restored(stage, backup, "alice", phrase)
    assert done.code == 2
    assert "not empty" in done.err


def test_a_lost_machine_is_replaced(
    people: tuple[Shell, Shell, str], backup: Path, stage: Stage, relay: str
) -> None:
    """Restored and recovered, Alice's next machine gets Bob's next message; the lost one is turned away."""
    lost, bob, phrase = people
    fresh, done = restored(stage, backup, "alice-again", phrase)
    assert done.code == 0, done.err
    assert "@alice" in done.out
    assert stat.S_IMODE(fresh.data.stat().st_mode) == 0o700
    assert not (fresh.data / "keys").exists()
    stage.start_daemon("alice-again")
    for words in (["status"], ["doctor"], ["agent", "list"], ["setup", "alice", "--relay", relay]):
        told = fresh(*words)
        assert "taskferry recover" in told.out + told.err, words
        assert "taskferry setup" not in told.out + told.err
    assert fresh("setup", "alice", "--relay", relay).code == 4
    assert fresh("recover", stdin="abandon " * 23 + "art\n").code == 5
    back = fresh("recover", stdin=phrase + "\n")
    assert back.code == 0, back.err
    assert "@alice" in back.out
    # The log is for all to read: what nobody named is called by words that tell nothing of the machine.
    labels = [item["label"] for item in items(fresh("device", "list", "--json"), "devices")]
    assert sorted(map(str, labels)) == ["first device", "recovered device"]
    assert bob("message", "send", "writer", "@alice/requester", "are you there?").code == 0
    until(lambda: "are you there?" in fresh("inbox", "--json").out)
    until(lambda: "device-gone" in lost("status").out)
    assert fresh("recovery", "check", stdin=phrase + "\n").code == 0
    again = stage.folder / "again.backup"
    assert fresh("backup", str(again)).code == 0


def test_a_passphrase_backup_needs_no_paper(
    people: tuple[Shell, Shell, str], backup: Path, stage: Stage
) -> None:
    """Made and opened by a passphrase on standard input; as the same device only with the owner's word."""
    alice, _, _ = people
    file = stage.folder / "words.backup"
    short = alice("backup", str(file), "--passphrase", stdin="short\n")
    assert short.code == 2
    done = alice("backup", str(file), "--passphrase", stdin="correct horse battery\n")
    assert done.code == 0, done.err
    _, refused = restored(stage, file, "same", "correct horse battery", "--same-device")
    assert refused.code == 2
    assert "--old-is-gone" in refused.err
    _, wrong = restored(stage, file, "same", "correct horse batter", "--same-device", "--old-is-gone")
    assert wrong.code == 6
    same, done = restored(stage, file, "same", "correct horse battery", "--same-device", "--old-is-gone")
    assert done.code == 0, done.err
    assert stat.S_IMODE((same.data / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((same.data / "keys" / "device.json").stat().st_mode) == 0o600
    kept = (same.data / "keys" / "device.json").read_text()
    assert kept == (alice.data / "keys" / "device.json").read_text()


def test_without_a_backup_the_connections_come_back(
    people: tuple[Shell, Shell, str], stage: Stage, relay: str
) -> None:
    """On an empty machine the phrase is enough; Bob may write again once Alice has said so."""
    _, bob, phrase = people
    stage.start_daemon("alice-empty")
    empty = Shell(stage.folder, stage.folder / "alice-empty")
    back = empty("recover", "alice", "--relay", relay, stdin=phrase + "\n")
    assert back.code == 0, back.err
    assert "some peers may send nothing yet" in back.out
    (id,) = waiting(empty, "accepted")
    assert "may send nothing" in empty("permissions", "show", id).out
    assert empty("message", "send", "requester", "@bob/writer", "I am back").code == 0
    until(lambda: "I am back" in bob("inbox", "--json").out)
    assert empty("permissions", "set", id, "--classes", "artifact,message,task").code == 0
    until(lambda: bob("message", "send", "writer", "@alice/requester", "good to hear").code == 0)
    until(lambda: "good to hear" in empty("inbox", "--json").out)
