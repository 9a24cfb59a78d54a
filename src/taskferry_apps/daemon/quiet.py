"""Whether the mailbox at the relay has run dry: then everything sent to this device has surely been taken."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.ids import Instant

from .core import Core

__all__ = ["QUIET_MS", "Quiet"]

#: How long the mailbox has been quiet before it counts as drained.
QUIET_MS: Final = 2_000


@attrs.define
class Quiet:
    """Since when the relay has had nothing for this device.

    `heard_at` is None while there is no session, and while something that has come is being taken.
    """

    heard_at: Instant | None = None

    def holds(self, now: Instant) -> bool:
        """Whether it has been quiet for long enough."""
        return self.heard_at is not None and now - self.heard_at >= QUIET_MS

    def note(self, core: Core) -> None:
        """Remember, if it is so, that this device holds all that the relay has for it."""
        now = core.now()
        if self.holds(now):
            core.caught_up = now
