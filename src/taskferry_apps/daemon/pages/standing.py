"""What every page of the dashboard shows in its frame: how the link is, and how much waits for the owner."""

from __future__ import annotations

import attrs

from taskferry_protocol.records import WaitingCounts

from ...transport_words import transport_word
from ..views import Status

__all__ = ["Standing", "standing"]


@attrs.frozen
class Standing:
    """The daemon's status, and what waits for the owner's word, by kind."""

    status: Status
    counts: WaitingCounts = attrs.field(factory=WaitingCounts)

    @property
    def identities(self) -> int:
        """Owners whose identity is in question."""
        return len(self.status.changed)

    @property
    def waiting(self) -> int:
        """All that waits together."""
        return self.counts.undecided + self.identities

    @property
    def by(self) -> str:
        """By what the relay is reached, as people call it."""
        relay = self.status.relay
        return transport_word(relay.transport) if relay is not None else ""

    @property
    def tone(self) -> str:
        """`good` where nothing is wrong, else `mine` or `bad`."""
        status = self.status
        if status.alarms or status.changed:
            return "bad"
        if not status.set_up or status.relay is None or not status.relay.connected:
            return "mine"
        return "good"

    @property
    def words(self) -> str:
        """The same in words, the worst first."""
        status = self.status
        if not status.set_up:
            return "not set up yet"
        if status.alarms:
            return "alarm"
        if status.changed:
            return "an identity is in question"
        if status.relay is None or not status.relay.connected:
            return "relay not reached"
        return "connected"


def standing(status: Status) -> Standing:
    """How things stand, by the status as the owner is told it."""
    return Standing(status, status.waiting or WaitingCounts())
