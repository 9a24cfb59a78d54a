"""The end of a program: whoever tells it to end is back before its port and its directory are let go of."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["has_ended", "wait_ended"]

PATIENCE_S = 30.0


def has_ended(pid: int) -> bool:
    """Whether a process is no more; one whose parent has not asked how it ended holds nothing, either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_ended(pid: int) -> None:
    """Wait until a process that was told to end has done so."""
    deadline = time.monotonic() + PATIENCE_S
    while not has_ended(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.01)
