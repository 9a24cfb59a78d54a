"""Where the daemon of a data directory listens, also while it is still starting."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from ..client.address import DaemonStarting, Holder, NoDaemon
from ..client.errors import DaemonAway
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
    `patience_s` seconds, or others can write into the directory. Only a held directory counts: at an address
    that a former daemon left behind may be anybody.
    """
    holder = Holder(data)
    begun = time.monotonic()
    while True:
        waited = time.monotonic() - begun
        try:
            return holder()
        except DaemonStarting:
            if waited > patience_s:
                raise CommandFailed(
                    f"A daemon was started with the data directory {data} and does not listen yet. "
                    "See what it says, and try again.",
                    Exit.UNREACHABLE,
                ) from None
        except NoDaemon:
            if waited > _GRACE_S:
                return None
        except DaemonAway as error:
            raise CommandFailed(str(error), Exit.UNREACHABLE) from None
        time.sleep(_BETWEEN_S)
