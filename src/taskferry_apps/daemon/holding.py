"""A daemon's start: it holds its data directory before anything heavy is loaded.

So a command that is typed in the same moment sees that a daemon is coming, and waits for it. `compose` is
loaded by whoever holds the directory, and not before.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..terminal import columns_of, fitted_to
from .private_files import DataInUse, UnsafeFile, hold_directory, make_private_directory

if TYPE_CHECKING:
    from ..settings import DaemonSettings

__all__ = ["run_daemon"]

#: What a user can do about a refusal of the system's, by its number.
_CAUSES: Final = {
    errno.ENOSPC: ("the disk is full", "Free some space and start again"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space and start again"),
    errno.EROFS: ("the file system is read-only", "Name another one with --data"),
    errno.EACCES: ("it, or a folder or file in it, is not yours to write", "Name another one with --data"),
}


def run_daemon(settings: DaemonSettings) -> int:
    """Run a daemon until SIGTERM or SIGINT. 0 after a good stop, else 1 and a sentence on standard error."""
    failure: BaseException | None
    try:
        failure = _hold_and_run(settings)
    except (DataInUse, UnsafeFile, OSError) as error:
        failure = error
    if failure is None:
        return 0
    said = _unusable(settings.data, failure) if isinstance(failure, OSError) else str(failure)
    sys.stderr.write(fitted_to(columns_of(sys.stderr), f"taskferry up: {said}") + "\n")
    return 1


def _hold_and_run(settings: DaemonSettings) -> BaseException | None:
    _leave_no_core()
    make_private_directory(settings.data)
    with hold_directory(settings.data):
        from .compose import run_held

        return run_held(settings)


def _leave_no_core() -> None:
    """Have the system write no image of this process's memory, where its keys are, should it ever crash."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _unusable(data: Path, error: OSError) -> str:
    """Why the daemon cannot keep its files where it should, and what to do."""
    words = os.strerror(error.errno).lower() if error.errno is not None else "the system refuses it"
    cause, remedy = _CAUSES.get(error.errno or 0, (words, "Name another one with --data"))
    return f"The data directory {data} cannot be used: {cause}. {remedy}."
