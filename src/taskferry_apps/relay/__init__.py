"""The relay: moves sealed envelopes between daemons, and keeps them until they are fetched.

`run_relay(settings)` runs one in this process, by the concrete parts that `compose` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..settings import RelaySettings

__all__ = ["run_relay", "run_restored_relay"]


def run_relay(settings: RelaySettings, reread: Callable[[], RelaySettings] | None = None) -> int:
    """Run a relay until it is told to stop. Failures are one sentence on standard error.

    0 after a good stop, 2 where a setting has to be changed first, 1 for any other trouble. `reread` gives
    the settings as they are written now, and is asked at SIGHUP; it raises SettingsError.
    """
    # Imported late: the command line names this function without paying for a server.
    from .compose import run

    return run(settings, reread)


def run_restored_relay(settings: RelaySettings, reread: Callable[[], RelaySettings] | None = None) -> int:
    """As `run_relay`, on a database that was put back from an older copy: its mailboxes begin anew."""
    from .compose import run_restored

    return run_restored(settings, reread)
