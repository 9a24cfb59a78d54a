"""What every page of the dashboard shows in its frame: how the link is, and how much waits for the owner."""

from __future__ import annotations

import attrs

from ...transport_words import transport_word
from ..port import DaemonService
from ..views import Status
from .owner import OWNER

__all__ = ["Standing", "look"]


@attrs.frozen
class Standing:
    """The daemon's status, and what waits for the owner's word, by kind."""

    status: Status
    questions: int = 0
    requests: int = 0
    tasks: int = 0
    stops: int = 0
    identities: int = 0

    @property
    def waiting(self) -> int:
        """All of it together."""
        return self.questions + self.requests + self.tasks + self.stops + self.identities

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


async def look(daemon: DaemonService, status: Status) -> Standing:
    """How things stand, given the status."""
    if not status.set_up:
        return Standing(status)
    counts = await daemon.gates.counts(OWNER)
    return Standing(
        status,
        questions=counts.questions,
        requests=counts.requests,
        tasks=counts.tasks,
        stops=status.stopped,
        identities=len(status.changed),
    )
