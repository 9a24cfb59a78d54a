"""How often a program's cycle collector looks for garbage."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["collect_seldom", "start_quietly"]

_THRESHOLDS: Final = (50_000, 20, 100)


def start_quietly() -> None:
    """Let the cycle collector run less often: what modules make while they are imported is no garbage.

    Looking through all of it again and again is a tenth of a command's time.
    """
    gc.set_threshold(*_THRESHOLDS)


def collect_seldom() -> None:
    """Let the cycle collector run less often, and pass over what is there already.

    What passes through a relay or a daemon are values without cycles, which counting frees at once.
    Collecting every 700 allocations would walk all that waits many times a second, to find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
