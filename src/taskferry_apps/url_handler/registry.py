"""What Windows is told: the values below HKEY_CURRENT_USER that make a program open these links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["ROOT", "command_line", "registry_values"]

ROOT: Final = r"Software\Classes\taskferry"


def registry_values(command: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    """(key, name, text) of every value; an empty name is a key's default. Raises ValueError for a quote."""
    return (
        (ROOT, "", "URL:TaskFerry link"),
        (ROOT, "URL Protocol", ""),
        (rf"{ROOT}\shell\open\command", "", command_line(command)),
    )


def command_line(command: Sequence[str]) -> str:
    """The command with the link behind --, every argument in quotes."""
    if any('"' in word or any(ord(character) < 32 for character in word) for word in command):
        raise ValueError("a quote or a control character in a command")
    # A backslash before the closing quote would escape it (CommandLineToArgvW).
    quoted = (f'"{word}{_trailing(word)}"' for word in command)
    # Browsers encode quotes in links as %22, so %1 cannot end its own quotes.
    return " ".join(quoted) + ' -- "%1"'


def _trailing(word: str) -> str:
    return "\\" * (len(word) - len(word.rstrip("\\")))
