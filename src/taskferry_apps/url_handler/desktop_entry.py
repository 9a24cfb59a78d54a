"""What a Linux desktop is told: an entry (Desktop Entry Specification), and which links it opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["FILE_NAME", "MIME_TYPE", "desktop_entry", "without_default"]

FILE_NAME: Final = "taskferry-links.desktop"
MIME_TYPE: Final = "x-scheme-handler/taskferry"
_QUOTED: Final = frozenset(" \t\n\"'\\><~|&;$*?#()`")


def desktop_entry(command: Sequence[str]) -> str:
    """The file that lets a desktop start `command` with a link as its last argument.

    Raises ValueError for a command with control characters, which no entry can hold.
    """
    words = " ".join(_argument(word) for word in command)
    return (
        "[Desktop Entry]\n"
        "Type=Application\n"
        "Version=1.0\n"
        "Name=TaskFerry links\n"
        "Comment=Shows whom an invite leads to, and asks before anything is sent\n"
        # A link is one argument behind --, so that none can be taken for an option.
        f"Exec={words} -- %u\n"
        "NoDisplay=true\n"
        "Terminal=false\n"
        f"MimeType={MIME_TYPE};\n"
    )


def _argument(word: str) -> str:
    """One argument as `Exec` writes it: quoted, then escaped as every value of the file is."""
    if any(ord(character) < 32 or ord(character) == 127 for character in word):
        raise ValueError("a control character in a command")
    # What begins with % stands for something; a literal one is doubled.
    text = word.replace("%", "%%")
    if not text or _QUOTED & set(text):
        for character in '\\"`$':
            text = text.replace(character, "\\" + character)
        text = f'"{text}"'
    return text.replace("\\", "\\\\")


def without_default(mimeapps: str) -> str:
    """The text of a `mimeapps.list` without our entry as the one that opens these links."""
    kept = []
    for line in mimeapps.splitlines(keepends=True):
        key, sign, value = line.partition("=")
        if sign and key.strip() == MIME_TYPE:
            others = [name for name in value.strip().split(";") if name and name != FILE_NAME]
            if not others:
                continue
            line = f"{MIME_TYPE}={';'.join(others)};\n"
        kept.append(line)
    return "".join(kept)
