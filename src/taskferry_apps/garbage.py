"""How often the cycle collector of a program that runs for long looks for garbage."""

from __future__ import annotations

import gc

__all__ = ["collect_seldom"]


def collect_seldom() -> None:
    """Let the cycle collector run less often, and pass over what is there already.

    What passes through a relay or a daemon are values without cycles, which counting frees at once.
    Collecting every 700 allocations would walk all that waits many times a second, to find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
