"""What the command line says when something is not as it should be."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

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
        (["task", "send", "a", "b", "c", "--deadline", "soon"], 2, "30m, 2h, 3d"),
        (["task", "send", "a", "b", "c", "--deadline", "2026-12-24T18:00:00"], 2, "zone"),
        (["task", "submit", "12345678"], 2, "Nothing to submit"),
        (["task", "submit", "12345678", "missing.md"], 2, "cannot be read"),
        (["verify", "missing.cbor"], 2, "cannot be read"),
        (["relay", "--addr", "nowhere"], 2, "127.0.0.1:4318"),
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
    second = alice("up", "--addr", "127.0.0.1:0")
    assert second.code == 7
    assert "Another daemon" in second.err


def test_help_of_every_command_teaches(nobody: Shell) -> None:
    """Each command explains itself, and those with arguments show an example."""
    from taskferry_apps.cli.__main__ import COMMANDS

    for command in COMMANDS:
        ran = nobody(command, "--help")
        assert ran.code == 0, command
        assert "Usage: taskferry" in ran.out
