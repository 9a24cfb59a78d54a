"""The standard streams, and text that is no Unicode text: bytes of the system's that are not UTF-8.

Python keeps such bytes as lone surrogates, which name files well and can be sent nowhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from .outcome import CommandFailed, Exit

__all__ = ["not_unicode", "open_streams", "print_anything", "read_text"]


def open_streams() -> None:
    """Put the null device in the place of a standard stream that whoever started this has closed.

    Python has None there, and the next file that is opened would be what others write their errors to.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def print_anything() -> None:
    """Let output say what its encoding cannot, a file's odd name say, by escapes instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def read_text(otherwise: str) -> str:
    """Standard input, which must be UTF-8; the refusal goes on with `otherwise`, the way for other bytes."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"Standard input is not UTF-8 text (byte {error.start + 1:,} is not). {otherwise}".rstrip(),
            Exit.USAGE,
        ) from None


def not_unicode(arguments: Sequence[str], environment: Mapping[str, str]) -> CommandFailed:
    """The refusal of a command that was given bytes which are no text; it names where they stand."""
    return CommandFailed(f"{_culprit(arguments, environment)} is not UTF-8 text.", Exit.USAGE)


def _culprit(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    for at, word in enumerate(arguments):
        if _is_text(word):
            continue
        before = arguments[at - 1] if at else ""
        if word.startswith("--"):
            before, word = word.split("=", 1) if "=" in word else ("", word)
        # The value of an option may be a secret.
        if before.startswith("--") and _is_text(before):
            return f"The value of {before}"
        return f"The argument {os.fsencode(word).decode(errors='backslashreplace')}"
    for name, value in sorted(environment.items()):
        if name.startswith("TASKFERRY_") and not _is_text(value):
            return f"The environment variable {name}"
    return "Something that was given to this command"


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
