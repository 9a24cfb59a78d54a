"""A bell: wakes whoever waits for news. What the news is stands in the store; a ring is only a hint."""

from __future__ import annotations

import trio

__all__ = ["Bell"]


class Bell:
    """Take `next` before looking, look, and wait for what was taken: no ring in between is missed."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self.rings = 0
        """How often it has rung: who looked at one number and comes back at another has missed some."""

    @property
    def next(self) -> trio.Event:
        """Set by the next ring."""
        return self._event

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.rings += 1
        self._event.set()
        self._event = trio.Event()
