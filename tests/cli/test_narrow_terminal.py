"""What people see on a terminal of 60 columns: a real one, as the system has them."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from click import unstyle

from tests.cli.conftest import Shell, items
from tests.cli.test_ways_to_end import sent

COLUMNS = 60


def on_terminal(shell: Shell, *words: str, typed: str = "", code: int = 0) -> list[str]:
    """The lines that a command shows there, without colours; `typed` is what is typed in."""
    return unstyle(shown_on_terminal(shell, *words, typed=typed, code=code)).splitlines()


def shown_on_terminal(shell: Shell, *words: str, typed: str = "", code: int = 0, **variables: str) -> str:
    """All that it shows, with the codes of its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")
    }
    os.write(ours, typed.encode())
    with subprocess.Popen(
        [sys.executable, "-m", "taskferry_apps.cli", *words],
        stdin=theirs if typed else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TASKFERRY_DATA": str(shell.data), **variables},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass  # Linux says so when the other end is closed
        os.close(ours)
        assert process.wait(30) == code, shown
    return shown.decode()


def test_tables_and_facts_fit(connected: tuple[Shell, Shell]) -> None:
    """No line is broken by the terminal, and what belongs together stands together."""
    alice, bob = connected
    task = sent(alice, bob, "A report on the README with everything in it")
    inbox = on_terminal(bob, "inbox", "--agent", "helper")
    assert "    about: A report on the README with everything in it" in inbox
    assert any(line.startswith("    ") and "when: " in line for line in inbox)
    log = on_terminal(bob, "task", "log", task)
    connection = str(items(bob("connections", "--agent", "helper", "--json"), "connections")[0]["id"])
    shown = on_terminal(bob, "permissions", "show", connection)
    assert shown[shown.index("What the other side allows") - 1] == ""
    for lines in (inbox, log, shown):
        assert max(map(len, lines)) <= COLUMNS


def test_a_refusal_is_broken_between_its_words(connected: tuple[Shell, Shell]) -> None:
    """Where it goes elsewhere, it is one line."""
    _, bob = connected
    said = on_terminal(bob, "inbox", "--agent", "nobody-here", code=5)
    assert len(said) > 1
    assert max(map(len, said)) <= COLUMNS
    assert " ".join(said) + "\n" == bob("inbox", "--agent", "nobody-here").err


def test_sentences_are_broken_between_words(connected: tuple[Shell, Shell]) -> None:
    """What follows a step, and what a new agent's owner is told, fits; a command has its own line."""
    alice, bob = connected
    asked = on_terminal(alice, "task", "send", "leaver", "@bob/helper", "Report", "--brief", "Write it.")
    told = on_terminal(bob, "agent", "create", "another-helper")
    assert any(line.startswith("Note: ") for line in asked)
    assert asked[-1].startswith("How it goes: taskferry task show ")
    assert told[-1] == "  taskferry connect THEIR-AGENT @bob/another-helper"
    for lines in (asked, told):
        assert max(map(len, lines)) <= COLUMNS


def test_what_checks_and_what_cannot_start_is_broken_between_words(
    connected: tuple[Shell, Shell], relay: str, tmp_path: Path
) -> None:
    """What verify and doctor found, and why neither daemon nor relay starts; ids and paths stay whole."""
    alice, bob = connected
    task, file = sent(alice, bob, "A task to be verified"), tmp_path / "handoff.cbor"
    assert alice("task", "export", task, "-o", str(file)).code == 0
    taken = relay.removeprefix("http://")
    nowhere = Shell(tmp_path, tmp_path / "fresh")
    shown = [
        on_terminal(alice, "verify", str(file)),
        on_terminal(alice, "doctor"),
        on_terminal(nowhere, "up", "--addr", taken, code=7)[-3:],
        on_terminal(nowhere, "relay", "--addr", taken, "--db", str(tmp_path / "relay.db"), code=7)[-3:],
    ]
    for lines in shown:
        assert all(len(line) <= COLUMNS or max(map(len, line.split())) > 40 for line in lines)


@pytest.mark.parametrize(
    ("words", "code"), [(("inbox", "--agent", "nobody-here"), 5), (("agent", "list"), 0)]
)
def test_no_color_turns_colours_off_in_tables_and_in_refusals(
    connected: tuple[Shell, Shell], words: tuple[str, ...], code: int
) -> None:
    """There are some without it."""
    _, bob = connected
    assert "\x1b[" in shown_on_terminal(bob, *words, code=code)
    assert "\x1b[" not in shown_on_terminal(bob, *words, code=code, NO_COLOR="1")
