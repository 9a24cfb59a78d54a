"""A connection between a device and the relay: whole frames both ways, as well as the network lets them."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..ids import Instant, sha256
from ..session_base import Side
from .chance import Chance
from .faults import Network
from .timeline import Timeline

__all__ = ["End", "Wire"]


@attrs.frozen
class End:
    """What one side does when a frame comes, and when the connection is over."""

    take: Callable[[bytes], None]
    ended: Callable[[], None]


class Wire:
    """One connection. A side that left hears nothing more; what it sent before may still arrive."""

    def __init__(self, name: str, timeline: Timeline, network: Network, chance: Chance) -> None:
        self._name = name
        self._timeline = timeline
        self._network = network
        self._chance = chance
        self._ends: dict[Side, End] = {}
        self._arrived = {Side.DAEMON: timeline.now, Side.RELAY: timeline.now}
        self._broken = False

    def attach(self, side: Side, end: End) -> None:
        """Let a side hear."""
        self._ends[side] = end

    def send(self, side: Side, frame: bytes) -> None:
        """Give a frame to the network."""
        if self._broken or side not in self._ends:
            return
        arrow = ">" if side is Side.DAEMON else "<"
        self._timeline.note(self._name, f"{arrow} {len(frame)} bytes {sha256(frame).hex()[:8]}")
        if self._chance.happens(self._network.cut):
            self._break()
            return
        self._carry(side, lambda end: end.take(frame))
        if self._chance.happens(self._network.duplicate):
            self._carry(side, lambda end: end.take(frame))

    def leave(self, side: Side) -> None:
        """Hang up: the other side hears of it after all that was sent."""
        if self._ends.pop(side, None) is not None and not self._broken:
            self._carry(side, lambda end: end.ended())

    def _carry(self, side: Side, deed: Callable[[End], None]) -> None:
        """Have the other side take it, after all that was sent before: a transport keeps the order."""
        other = Side.RELAY if side is Side.DAEMON else Side.DAEMON
        now = self._timeline.now
        at = max(self._arrived[side], Instant(now + self._chance.between(self._network.delay_ms)))
        self._arrived[side] = at
        self._timeline.after(at - now, lambda: self._arrive(other, deed))

    def _arrive(self, side: Side, deed: Callable[[End], None]) -> None:
        end = self._ends.get(side)
        if end is not None and not self._broken:
            deed(end)

    def _break(self) -> None:
        """What is under way is lost; each side finds out in its own time."""
        self._broken = True
        self._timeline.note(self._name, "cut")
        for end in self._ends.values():
            self._timeline.after(self._chance.between(self._network.delay_ms), end.ended)
