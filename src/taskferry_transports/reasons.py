"""Why a connection could not be made, in the system's words, which libraries hide behind their own."""

from __future__ import annotations

import os
import socket
import ssl

__all__ = ["reason_of"]


def reason_of(error: BaseException) -> str:
    """The system's words for a failure to connect, of several tries each once; else what `error` says."""
    found = list(dict.fromkeys(_words(error)))
    return ", ".join(found) or str(error) or type(error).__name__


def _words(error: BaseException | None) -> list[str]:
    """What the system said, at the root of an error that wraps it."""
    if error is None:
        return []
    if isinstance(error, BaseExceptionGroup):
        return [words for one in error.exceptions for words in _words(one)]
    deeper = _words(error.__cause__) or _words(error.__context__)
    if deeper:
        return deeper
    if not isinstance(error, OSError) or not error.errno:
        return []
    if isinstance(error, (socket.gaierror, ssl.SSLError)):
        # Their numbers are no system's.
        return [error.strerror] if error.strerror else []
    # Not its `strerror`, which trio fills with the address once more.
    return [os.strerror(error.errno)]
