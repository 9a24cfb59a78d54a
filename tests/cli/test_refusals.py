"""What the command line says when something is not as it should be."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell


def test_no_daemon_is_said_with_the_remedy(nobody: Shell) -> None:
    """Without a daemon, a command names the address and how to start one."""
    ran = nobody("--help")
    assert ran.code == 0
    missing = nobody("inbox", "--url", "http://127.0.0.1:9")
    assert missing.code == 3
    assert "taskferry up" in missing.err


def test_something_else_at_the_address_is_said(nobody: Shell) -> None:
    """A program that does not speak the local API is not mistaken for the daemon."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(10)
        import threading

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")

        listener = threading.Thread(target=answer)
        listener.start()
        ran = nobody("inbox", "--url", f"http://127.0.0.1:{port}")
        listener.join(10)
    assert ran.code == 5
    assert "does not speak TaskFerry" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such-command"], 2, "No such command"),
        (["agnet", "list"], 2, "Did you mean agent?"),
        (["task", "send", "a", "b", "c", "--deadline", "soon"], 2, "30m, 2h, 3d"),
        (["task", "send", "a", "b", "c", "--deadline", "2026-12-24T18:00:00"], 2, "zone"),
        (["task", "send", "a", "b", "c", "--deadline", "2020-12-24T18:00:00Z"], 2, "has passed"),
        (["permissions", "set", "12345678", "--until", "2020-12-24T18:00:00Z"], 2, "has passed"),
        (["task", "submit", "12345678"], 2, "Nothing to submit"),
        (["task", "submit", "12345678", "missing.md"], 2, "cannot be read"),
        (["task", "show", "../health"], 2, "is no id"),
        (["task", "accept", ""], 2, "is no id"),
        (["approve", "3f9c"], 2, "8 or more"),
        (["inbox", "--ack", "a/b"], 2, "is no id"),
        (["verify", "missing.cbor"], 2, "cannot be read"),
        (["relay", "--addr", "nowhere"], 2, "127.0.0.1:8080"),
        (["up", "--addr", "nowhere"], 2, "127.0.0.1:4318"),
        (["up", "--relay", "ftp://x"], 2, "relay"),
        (["up", "--config", "missing.toml"], 2, "cannot be read"),
        (["demo", "--input", "missing.md"], 2, "cannot be read"),
    ],
)
def test_wrong_words_are_refused_before_anything_happens(
    nobody: Shell, words: list[str], code: int, said: str
) -> None:
    """A wrong command line ends with code 2 and one sentence."""
    ran = nobody(*words)
    assert ran.code == code
    assert said in ran.err


def test_input_that_the_demo_cannot_use(nobody: Shell) -> None:
    """Binary and huge files are refused with the reason."""
    (nobody.folder / "binary").write_bytes(b"\xff\xfe\x00")
    (nobody.folder / "huge.md").write_text("word " * 100_000)
    assert "not UTF-8" in nobody("demo", "--input", "binary").err
    assert "fit in one envelope" in nobody("demo", "--input", "huge.md").err


def test_too_large_a_file_is_refused_with_the_limit(nobody: Shell) -> None:
    """What does not fit in an envelope is refused here, with the number."""
    (nobody.folder / "huge.bin").write_bytes(bytes(200_000))
    ran = nobody("task", "send", "a", "@b/c", "title", "--file", "huge.bin")
    assert ran.code == 2
    assert "190,000" in ran.err


def test_taken_port_and_directory_in_use(stage: object, alice: Shell, relay: str, tmp_path: Path) -> None:
    """A second relay on the port, or a second daemon on the directory, ends with 7 and the remedy."""
    port = relay.rpartition(":")[2]
    taken = alice("relay", "--addr", f"127.0.0.1:{port}", "--db", str(tmp_path / "r.db"))
    assert taken.code == 7
    assert "already in use" in taken.err
    assert "--addr" in taken.err
    second = alice("up", "--addr", "127.0.0.1:0")
    assert second.code == 7
    assert "Another daemon" in second.err


def test_a_relay_is_not_taken_for_the_daemon(nobody: Shell, relay: str) -> None:
    """What answers is recognised, and named."""
    for words in (["status"], ["doctor"]):
        ran = nobody(*words, "--url", relay)
        assert "A relay answers at" in ran.out + ran.err
        assert "--url" in ran.out + ran.err
    assert nobody("status", "--url", relay).code == 3


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["watch", "--agent", "nobody"], "taskferry agent list"),
        (["agent", "list", "--token", "wrong"], "Check --token"),
        (["permissions", "show", "00000000"], "taskferry connections"),
        (["message", "send", "requester", "@bob/writer", ""], "give a TEXT"),
    ],
)
def test_next_steps_are_commands(alice: Shell, words: list[str], step: str) -> None:
    """A person at a terminal is told what to type, in words of the command line."""
    ran = alice(*words)
    assert ran.code != 0
    assert step in ran.err
    for foreign in ("GET /", "POST /", "Authorization", "payload"):
        assert foreign not in ran.err


def test_without_any_credential_the_way_to_one_is_told(alice: Shell, nobody: Shell) -> None:
    """The command cannot know whose daemon it is: it names both options."""
    url = json.loads((alice.data / "daemon.json").read_text())["url"]
    ran = nobody("agent", "list", "--url", url)
    assert ran.code == 4
    assert "--data" in ran.err
    assert "--token" in ran.err


def test_help_of_every_command_teaches(nobody: Shell) -> None:
    """Each command explains itself, and those with arguments show an example."""
    from taskferry_apps.cli.__main__ import COMMANDS

    for command in COMMANDS:
        ran = nobody(command, "--help")
        assert ran.code == 0, command
        assert "Usage: taskferry" in ran.out


def test_status_without_a_credential_is_not_taken_for_no_account(alice: Shell, nobody: Shell) -> None:
    """Whoever may not know how the daemon stands hears that, not that there is nothing."""
    url = json.loads((alice.data / "daemon.json").read_text())["url"]
    ran = nobody("status", "--url", url)
    assert ran.code == 4
    assert "credential" in ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["agent", "create", "requester", "--tagline", "Another"], 4),
        (["agent", "create", "Requester"], 2),
        (["setup", "alice", "--relay", "http://127.0.0.1:1"], 4),
        (["setup", "alice", "--relay", "relay.example"], 2),
        (["task", "show", "00000000"], 5),
        (["message", "show", "00000000"], 5),
        (["approve", "00000000"], 5),
        (["token", "revoke", "00000000"], 5),
        (["message", "send", "nobody", "@bob/writer", "Hello"], 5),
        (["message", "send", "requester", "bob/writer", "Hello"], 2),
        (["connect", "requester", "@nobody/writer"], 5),
        (["agent", "list", "--token", "wrong"], 4),
    ],
)
def test_exit_codes_are_as_documented(alice: Shell, words: list[str], code: int) -> None:
    """What the daemon refuses ends with the code of docs/cli.md, and a next step."""
    ran = alice(*words)
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert ran.err.startswith("taskferry: ")


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["doctor"],
        ["agent", "list"],
        ["token", "list"],
        ["connections"],
        ["inbox"],
        ["task", "list"],
        ["message", "list"],
        ["quarantine"],
        ["quarantine", "list"],
        ["audit", "list"],
        ["audit", "verify"],
    ],
)
def test_json_is_one_value_and_empty_tables_are_words(alice: Shell, words: list[str]) -> None:
    """With --json a program reads one value, also of nothing; people are told in words."""
    json.loads(alice(*words, "--json").out)
    shown = alice(*words)
    assert shown.out.strip()
    assert not [line for line in shown.out.splitlines() if line != line.rstrip()]


def test_a_relay_that_does_not_answer_at_set_up_is_said(stage: Stage) -> None:
    """The account is made; the name is not claimed, and the remedy for a wrong address stands there."""
    shell = Shell(stage.folder, stage.start_daemon("early").data)
    begun = time.monotonic()
    made = shell("setup", "early", "--relay", "http://127.0.0.1:9")
    assert made.code == 0
    assert time.monotonic() - begun < 10
    assert "not claimed yet: cannot connect to 127.0.0.1 port 9: Connection refused" in made.out
    for word in ("Done:", "Waits: the name @early", "To do:", "taskferry setup early --relay URL"):
        assert word in made.out
    agent = shell("agent", "create", "first")
    assert agent.code == 0, agent.err
    assert "is ready" not in agent.out
    assert "the relay is not reached now" in agent.out
    assert "@early/first" in shell("agent", "list").out
    assert "what you send waits here" in shell("status").out
    again = shell("setup", "early", "--relay", "http://127.0.0.1:9")
    assert again.code == 4
    assert "taskferry up --relay URL" in again.err
