"""Telling the system who opens `taskferry:` links: files and programs of this user's alone."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs

from ..others_environment import without_ours
from .applet import BUNDLE_NAME, applet_script, with_links
from .desktop_entry import FILE_NAME, MIME_TYPE, desktop_entry, without_default
from .registry import ROOT, registry_values

__all__ = ["Handler", "HandlerFailed", "handler_for"]

_PATIENCE_S: Final = 30.0
_REGISTER: Final = (
    "/System/Library/Frameworks/CoreServices.framework/Frameworks/LaunchServices.framework/Support/lsregister"
)


class HandlerFailed(Exception):
    """The system would not take it; the text says what to do."""


class Handler(Protocol):
    """One system's way."""

    def install(self, command: Sequence[str]) -> str:
        """Let `command`, with a link behind it, open links; where that is written. Raises HandlerFailed."""

    def remove(self) -> bool:
        """Undo it; False if there was nothing to undo. Raises HandlerFailed."""

    def installed(self) -> str:
        """Where it is written that this program opens links; empty if it does not."""


def handler_for(platform: str = sys.platform) -> Handler:
    """The way of this system. Raises HandlerFailed where there is none."""
    if platform == "darwin":
        return _MacOs(Path.home() / "Applications" / BUNDLE_NAME)
    if platform == "win32":
        return _Windows()
    if platform.startswith(("linux", "freebsd")):
        return _Desktop.of_user()
    raise HandlerFailed("This system has no known way; open links with: taskferry open -")


def _run(*words: str) -> str:
    """A program's output. Raises HandlerFailed where it is missing or fails."""
    program = shutil.which(words[0])
    if program is None:
        raise HandlerFailed(f"{words[0]} is not here; install it, or open links with: taskferry open -")
    try:
        done = subprocess.run(  # noqa: S603 - words of ours, and no shell
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_S,
            env=without_ours(os.environ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HandlerFailed(f"{words[0]} failed: {type(error).__name__}") from error
    return done.stdout


@attrs.frozen
class _Desktop:
    """A desktop entry in the user's data folder, made the default by `xdg-mime`."""

    data: Path
    config: Path

    @classmethod
    def of_user(cls) -> _Desktop:
        """By the folders of the XDG Base Directory Specification."""
        home = Path.home()
        return cls(
            Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"),
            Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config"),
        )

    @property
    def _entry(self) -> Path:
        return self.data / "applications" / FILE_NAME

    def install(self, command: Sequence[str]) -> str:
        """Write the entry, then make it the default."""
        text = desktop_entry(command)
        self._entry.parent.mkdir(parents=True, exist_ok=True)
        self.config.mkdir(parents=True, exist_ok=True)
        self._entry.write_text(text, "utf-8")
        self._tell()
        _run("xdg-mime", "default", FILE_NAME, MIME_TYPE)
        return str(self._entry)

    def _tell(self) -> None:
        # Not every desktop has this; those without it read the entries themselves.
        if shutil.which("update-desktop-database"):
            _run("update-desktop-database", str(self._entry.parent))

    def remove(self) -> bool:
        """Take the entry away, and the line that made it the default."""
        was_there = self._entry.exists()
        self._entry.unlink(missing_ok=True)
        if was_there:
            self._tell()
        listed = self.config / "mimeapps.list"
        if listed.exists():
            before = listed.read_text("utf-8")
            after = without_default(before)
            if after != before:
                listed.write_text(after, "utf-8")
        return was_there

    def installed(self) -> str:
        """The entry, if it is there and the default."""
        if not self._entry.exists() or _run("xdg-mime", "query", "default", MIME_TYPE).strip() != FILE_NAME:
            return ""
        return str(self._entry)


@attrs.frozen
class _MacOs:
    """An applet in the user's own folder of applications."""

    bundle: Path

    def install(self, command: Sequence[str]) -> str:
        """Compile the applet, name its links, and register it."""
        script = applet_script(command)
        self.bundle.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "links.applescript"
            source.write_text(script, "utf-8")
            _run("osacompile", "-o", str(self.bundle), str(source))
        info = self.bundle / "Contents" / "Info.plist"
        info.write_bytes(plistlib.dumps(with_links(plistlib.loads(info.read_bytes()))))
        _run(
            _REGISTER,
            "-f",
            str(self.bundle),
        )
        return str(self.bundle)

    def remove(self) -> bool:
        """Take the applet away."""
        was_there = self.bundle.exists()
        if was_there:
            shutil.rmtree(self.bundle)
        return was_there

    def installed(self) -> str:
        """The applet, if it is there."""
        return str(self.bundle) if self.bundle.exists() else ""


class _Windows:
    """Values in the user's part of the registry."""

    def install(self, command: Sequence[str]) -> str:
        """Write them."""
        values = registry_values(command)
        if sys.platform == "win32":
            import winreg

            for key, name, text in values:
                with winreg.CreateKey(winreg.HKEY_CURRENT_USER, key) as opened:
                    winreg.SetValueEx(opened, name, 0, winreg.REG_SZ, text)
            return rf"HKEY_CURRENT_USER\{ROOT}"
        raise _no_registry()

    def remove(self) -> bool:
        """Delete the keys, the innermost first."""
        if not self.installed():
            return False
        if sys.platform == "win32":
            import winreg

            for below in (r"\shell\open\command", r"\shell\open", r"\shell", ""):
                winreg.DeleteKey(winreg.HKEY_CURRENT_USER, ROOT + below)
        return True

    def installed(self) -> str:
        """The key, if it is there."""
        if sys.platform == "win32":
            import winreg

            try:
                winreg.OpenKey(winreg.HKEY_CURRENT_USER, ROOT + r"\shell\open\command").Close()
            except FileNotFoundError:
                return ""
            return rf"HKEY_CURRENT_USER\{ROOT}"
        raise _no_registry()


def _no_registry() -> HandlerFailed:
    return HandlerFailed("There is no registry here: this is not Windows.")
