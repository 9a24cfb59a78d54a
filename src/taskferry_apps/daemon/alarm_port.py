"""The owner's alarms, as callers see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from taskferry_protocol.ids import Hash, Instant

if TYPE_CHECKING:
    from .port import Caller

__all__ = ["AlarmService", "AlarmView"]


@attrs.frozen
class AlarmView:
    """An alarm that stands: `id` is of all that was raised so far, and `at` when it was last."""

    id: Hash
    text: str
    at: Instant | None
    times: int
    until: str = ""
    """What it stands until, in a sentence; "" for one that the owner may dismiss."""


class AlarmService(Protocol):
    """All of it is the owner's alone."""

    async def alarms(self, caller: Caller) -> tuple[AlarmView, ...]:
        """Those that stand, oldest first."""

    async def dismiss(self, caller: Caller, alarm: str) -> AlarmView:
        """Let an alarm stand no longer, by its id or the beginning of it. Raised again, it stands again.

        Raises DaemonRefusal: bad-value, not-found, ambiguous; conflict for one whose cause is still there.
        One that was raised again since has another id, so that nobody dismisses what they have not seen.
        """
