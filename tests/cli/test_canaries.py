"""No secret stands where others may read it: known ones go through a life of two machines and are sought."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import attrs
import httpx
import psutil
import pytest

from taskferry_apps.demo.stage import PROGRAM, Stage
from taskferry_apps.phrase import phrase_of, seed_of

pytestmark = pytest.mark.journey

PASSPHRASE = "canary passphrase of the owner"
OTHER_PASSPHRASE = "canary passphrase of the backup"


@attrs.define
class Life:
    """What was seen while it was lived: all that programs wrote and showed of themselves."""

    folder: Path
    secrets: dict[str, bytes] = attrs.field(factory=dict)
    seen: dict[str, bytes] = attrs.field(factory=dict)
    processes: dict[str, bytes] = attrs.field(factory=dict)
    modes: dict[str, int] = attrs.field(factory=dict)
    running: bool = True

    def know(self, name: str, secret: str | bytes) -> None:
        """A secret to look for, as text and as bytes in hexadecimal."""
        raw = secret.encode() if isinstance(secret, str) else secret
        self.secrets[name] = raw

    def watch(self) -> None:
        """Read command lines and environments of this test's processes, again and again."""
        while self.running:
            for process in psutil.Process().children(recursive=True):
                try:
                    line = "\0".join(process.cmdline()).encode()
                    environment = "\0".join(f"{key}={value}" for key, value in process.environ().items())
                except (psutil.Error, OSError):
                    continue
                self.processes[f"command line of {process.pid}"] = line
                self.processes[f"environment of {process.pid}"] = environment.encode()
            time.sleep(0.02)

    def run(self, data: Path, *words: str, stdin: str = "", expect: int = 0) -> str:
        """A command, with what it wrote kept; its standard output."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
        done = subprocess.run(
            [sys.executable, *PROGRAM[1:], *words, "--data", str(data)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env={**environment, "TASKFERRY_SECRETS": "files"},
        )
        assert done.returncode == expect, done.stderr
        number = len(self.seen)
        # What a command shows on purpose is on its standard output, on the owner's own terminal.
        self.seen[f"errors of {' '.join(words[:2])} {number}"] = done.stderr.encode()
        return done.stdout

    def ask(self, data: Path, method: str, path: str, body: object = None, *, known: bool = True) -> int:
        """A request to the local API, with its answer kept."""
        url = json.loads((data / "daemon.json").read_text())["url"]
        token = (data / "owner.token").read_text().strip() if known else "tfo_wrong"
        answer = httpx.request(
            method,
            url + path,
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=60,
        )
        self.seen[f"answer {len(self.seen)} of {method} {path}"] = (
            answer.content + str(answer.headers).encode()
        )
        return answer.status_code


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Set-up, a message, a locked key, a backup, a loss and a recovery, all at the most talkative level."""
    folder = tmp_path_factory.mktemp("canaries")
    life = Life(folder)
    watcher = threading.Thread(target=life.watch, daemon=True)
    watcher.start()
    mask = os.umask(0)
    try:
        with Stage(folder) as stage:
            relay, relay_folder = stage.start_relay()
            alice = stage.start_daemon("alice", log="debug").data
            made = json.loads(life.run(alice, "setup", "alice", "--relay", relay, "--json"))
            phrase = made["recovery_key"]
            life.know("recovery phrase", " ".join(phrase.split()[:4]))
            life.know("recovery seed", seed_of(phrase))
            keys = json.loads((alice / "keys" / "device.json").read_text())
            for name in ("signing", "manage", "encryption"):
                life.know(f"{name} key", bytes.fromhex(keys[name]))
            life.know("owner's credential", (alice / "owner.token").read_text().strip())
            for name in ("requester", "writer"):
                life.run(alice, "agent", "create", name)
            token = json.loads(life.run(alice, "token", "create", "writer", "--json"))["token"]
            life.know("agent's credential", token)
            life.run(alice, "message", "send", "requester", "@alice/writer", "canary message text")
            life.know("message", "canary message text")
            with closing(sqlite3.connect(f"file:{alice / 'daemon.db'}?mode=ro", uri=True)) as store:
                for number, (key,) in enumerate(store.execute("SELECT key FROM sealed")):
                    life.know(f"K {number}", key)
            life.know("passphrase", PASSPHRASE)
            life.know("backup's passphrase", OTHER_PASSPHRASE)
            life.run(alice, "manage", "passphrase", stdin=PASSPHRASE + "\n")
            life.run(alice, "manage", "unlock", stdin=PASSPHRASE + " \n", expect=4)
            life.run(alice, "agent", "create", "third", expect=4)
            assert "for 15 minutes" in life.run(alice, "manage", "unlock", stdin=PASSPHRASE + "\n")
            _misuse(life, alice, phrase)
            for name, more, words in (
                ("phrase.backup", (), ""),
                ("words.backup", ("--passphrase",), OTHER_PASSPHRASE + "\n"),
            ):
                life.run(alice, "backup", str(folder / name), *more, stdin=words)
                life.seen[name] = (folder / name).read_bytes()
            life.run(folder / "x", "restore", str(folder / "words.backup"), stdin=PASSPHRASE + "\n", expect=6)
            fresh = folder / "fresh"
            life.run(fresh, "restore", str(folder / "phrase.backup"), stdin=phrase + "\n")
            stage.start_daemon("fresh", log="debug")
            life.run(fresh, "recover", stdin=phrase_of(bytes(32)) + "\n", expect=5)
            life.run(fresh, "recover", stdin=phrase + "\n")
            again = json.loads((fresh / "keys" / "device.json").read_text())
            for name in ("signing", "manage", "encryption"):
                life.know(f"new {name} key", bytes.fromhex(again[name]))
            for path in ("health", "account", "openapi.json", "tokens", "audit", "agents", "connections"):
                assert life.ask(fresh, "GET", f"/{path}") == 200
            life.seen["status"] = life.run(fresh, "status").encode()
            life.seen["doctor"] = life.run(fresh, "doctor").encode()
            # A daemon that ends takes its own away.
            for machine in (alice, fresh):
                life.seen[f"{machine.name}'s whereabouts"] = (machine / "daemon.json").read_bytes()
            life.modes = {
                str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
                for data in (alice, fresh)
                for path in (data, *data.rglob("*"))
            }
        for log in folder.glob("*.log"):
            life.seen[log.name] = log.read_bytes()
        for file in relay_folder.iterdir():
            life.seen[f"relay's {file.name}"] = file.read_bytes()
    finally:
        os.umask(mask)
        life.running = False
        watcher.join(10)
    return life


def _misuse(life: Life, data: Path, phrase: str) -> None:
    """Secrets in places where they do not belong, each refused without being quoted."""
    for path, body in (
        ("/recovery", {"phrase": phrase + " more"}),
        ("/recovery", {"phrase": phrase, "relay": "ftp://x"}),
        ("/recovery", {"phrase": [phrase]}),
        ("/recovery", {"phrase": phrase, "account": "zz"}),
        ("/recovery/check", {"phrase": phrase.replace(" ", "x", 1)}),
        ("/recovery/phrase", {"phrase": phrase, "new_phrase": phrase}),
        ("/recovery/phrase", {"phrase": phrase_of(bytes(32)), "new_phrase": phrase}),
        ("/manage/unlock", {"passphrase": PASSPHRASE * 100}),
        ("/manage/unlock", {"passphrase": PASSPHRASE + "x"}),
        ("/manage/unlock", {PASSPHRASE: "x"}),
        ("/manage/passphrase", {"passphrase": PASSPHRASE + "x", "new_passphrase": OTHER_PASSPHRASE}),
        ("/backup", {"passphrase": [OTHER_PASSPHRASE]}),
    ):
        # A field of that name is the one thing that its sender is told again.
        if PASSPHRASE not in body:
            assert life.ask(data, "POST", path, body) >= 400, path
        assert life.ask(data, "POST", path, body, known=False) == 401


def forms(secret: bytes) -> set[bytes]:
    """As it is, and in hexadecimal and base64."""
    plain = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    return plain | {base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")}


def test_enough_was_seen(life: Life) -> None:
    """Logs at debug level, answers, errors, command lines, environments and the relay's database."""
    assert len(life.seen) > 40
    assert len(life.secrets) >= 14
    assert any(b'"level": "debug"' in content for name, content in life.seen.items() if name.endswith(".log"))
    assert any(name.startswith("relay's relay.db") for name in life.seen)
    assert sum(name.startswith("command line") for name in life.processes) > 10


def test_no_secret_is_written_or_answered(life: Life) -> None:
    """Neither in logs, nor in answers and errors, nor in backups, nor at the relay."""
    found = [
        (where, name)
        for where, content in life.seen.items()
        for name, secret in life.secrets.items()
        if any(form in content for form in forms(secret))
    ]
    assert found == []


def test_no_secret_is_shown_to_other_users_of_the_machine(life: Life) -> None:
    """What everybody may read of a process has none of them; its environment neither."""
    found = [
        (where, name)
        for where, content in life.processes.items()
        for name, secret in life.secrets.items()
        if name != "message" and any(form in content for form in forms(secret))
    ]
    assert found == []


def test_nothing_in_a_data_directory_is_open_to_others(life: Life) -> None:
    """Under an umask that takes nothing away: folders 0700, files 0600, the restored ones too."""
    assert len(life.modes) > 10
    assert {name: oct(mode) for name, mode in life.modes.items() if mode not in (0o600, 0o700)} == {}
