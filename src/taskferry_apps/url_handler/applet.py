"""What macOS is told: an AppleScript applet that gets links as events, and which links it opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["BUNDLE_ID", "BUNDLE_NAME", "applet_script", "with_links"]

BUNDLE_NAME: Final = "TaskFerry Links.app"
BUNDLE_ID: Final = "io.github.taskferry.links"


def applet_script(command: Sequence[str]) -> str:
    """The applet's source: it hands a link to `command`, which reads it from its standard input.

    Raises ValueError for a command with control characters.
    """
    words = " & space & ".join(f"quoted form of {_text(word)}" for word in [*command, "-"])
    return (
        "on open location theLink\n"
        f'  do shell script "printf %s " & quoted form of theLink & " | " & {words}\n'
        "end open location\n"
    )


def _text(word: str) -> str:
    """A word as an AppleScript text."""
    if any(ord(character) < 32 or ord(character) == 127 for character in word):
        raise ValueError("a control character in a command")
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def with_links(info: Mapping[str, object]) -> dict[str, object]:
    """An applet's `Info.plist` with what makes it the one that opens these links."""
    return {
        **info,
        "CFBundleIdentifier": BUNDLE_ID,
        "CFBundleName": "TaskFerry Links",
        # It has no window and no place in the dock.
        "LSUIElement": True,
        "CFBundleURLTypes": [{"CFBundleURLName": "TaskFerry link", "CFBundleURLSchemes": ["taskferry"]}],
    }
