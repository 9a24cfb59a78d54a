"""The outside world's clock and entropy: the only module that reads either."""

from __future__ import annotations

import os
import random
import time

from taskferry_protocol.ids import Instant

__all__ = ["entropy", "jitter", "now", "uptime"]


def now() -> Instant:
    """The wall clock in UTC milliseconds."""
    return Instant(time.time_ns() // 1_000_000)


def uptime() -> float:
    """Seconds on a clock that nobody sets, and that stands while the machine sleeps, where it can be had."""
    return time.monotonic()


def entropy(count: int) -> bytes:
    """`count` bytes from the operating system's generator."""
    return os.urandom(count)


def jitter() -> float:
    """A number from 0 to 1 that spreads retries; no secret depends on it."""
    return random.random()
