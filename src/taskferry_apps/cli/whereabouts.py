"""Where the daemon of a data directory listens, also while it is still starting."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

from .outcome import CommandFailed, Exit

__all__ = ["find_daemon"]

#: How long a daemon that holds its directory may take until it listens.
PATIENCE_S: Final = 15.0
#: How long one that was started in the same moment may take until it holds its directory.
_GRACE_S: Final = 0.5
_BETWEEN_S: Final = 0.05


def find_daemon(data: Path, patience_s: float = PATIENCE_S) -> str | None:
    """The URL of the daemon that holds `data`; None where none does.

    One that is still starting is waited for. Raises CommandFailed where it does not listen after
    `patience_s` seconds. Only a held directory counts: at an address that a former daemon left behind may
    be anybody.
    """
    from ..daemon.private_files import is_directory_held

    begun = time.monotonic()
    while True:
        waited = time.monotonic() - begun
        if is_directory_held(data):
            url = _written(data)
            if url is not None:
                return url
            if waited > patience_s:
                raise CommandFailed(
                    f"A daemon was started with the data directory {data} and does not listen yet. "
                    "See what it says, and try again.",
                    Exit.UNREACHABLE,
                )
        elif waited > _GRACE_S:
            return None
        time.sleep(_BETWEEN_S)


def _written(data: Path) -> str | None:
    from ..daemon.holding import WHEREABOUTS

    try:
        return str(json.loads((data / WHEREABOUTS).read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
