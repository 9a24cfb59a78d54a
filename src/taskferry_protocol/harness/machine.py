"""The machine under a device: what it keeps, when it is up, and how a commit can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..accounts import DeviceKeys
from .chance import Chance
from .device_store import DeviceStore
from .draft import Draft
from .faults import Crash, DeviceDown, Network
from .timeline import Timeline
from .uplink import Uplink
from .wire import Wire

__all__ = ["Machine"]

#: How long a device waits before it dials again; doubled with each failure, six times at most.
_REDIAL_MS: Final = 50
_DOUBLINGS: Final = 6


class Machine:
    """One device's computer. Its store survives everything, its session nothing."""

    def __init__(
        self,
        name: str,
        keys: DeviceKeys,
        store: DeviceStore,
        *,
        timeline: Timeline,
        network: Network,
        chance: Chance,
        listen: Callable[[Wire], None],
    ) -> None:
        self.name = name
        self.keys = keys
        self.store = store
        self.timeline = timeline
        self.chance = chance
        self.is_up = False
        self._returning = False
        self.commits = 0
        self.network = network
        self._listen = listen
        self._planned: dict[int, Crash] = {}
        self._uplink: Uplink | None = None
        self._failures = 0
        self._dials = 0

    def note(self, what: str) -> None:
        """Write into the trace."""
        self.timeline.note(self.name, what)

    # --- Power

    def start(self) -> None:
        """Come up, if it is down, and dial."""
        if not self.is_up:
            self.is_up = True
            self._returning = False
            self.note("starts")
            self._dial_in(self.chance.between(self.network.delay_ms))

    def lose_power(self) -> None:
        """Go down; what is not in the store is lost."""
        if self.is_up:
            self.is_up = False
            self.note("loses power")
            self._hang_up()

    def plan(self, commits: int, moment: Crash) -> None:
        """Lose power at the commit that comes after `commits` - 1 more, counted from now, and come back."""
        self._planned[self.commits + commits] = moment

    # --- Storing

    def draft(self) -> Draft:
        """A change to begin with. Raises DeviceDown."""
        if not self.is_up:
            raise DeviceDown(f"{self.name} is down")
        return Draft(self.keys, self.store, self.chance, self.timeline.now)

    def commit(self, draft: Draft) -> None:
        """Commit what the network caused; raises DeviceDown if the machine fails at it."""
        crash = None
        if self.chance.happens(self.network.crash):
            crash = Crash.BEFORE if self.chance.happens(0.5) else Crash.AFTER
        self._commit(draft, crash)

    def commit_own(self, draft: Draft) -> None:
        """Commit what its own agent asked for: at this the machine fails only where that was planned."""
        self._commit(draft, None)

    def _commit(self, draft: Draft, by_chance: Crash | None) -> None:
        self.commits += 1
        crash = self._planned.pop(self.commits, by_chance)
        if crash is not Crash.BEFORE:
            self.store = draft.store
        if crash is not None:
            self.lose_power()
            self._returning = True
            self.timeline.after(self.chance.between(self.network.restart_ms), self.start)
            raise DeviceDown(f"{self.name} went down {crash.value} its commit {self.commits}")

    # --- The connection

    def pump(self) -> None:
        """Send what waits, if there is a session."""
        if self._uplink is not None:
            self._uplink.pump()

    def redial(self) -> None:
        """Begin a new session, with all that the relay may lack."""
        if self._uplink is not None:
            self._hang_up()
            self._dial_in(0)

    def is_linked(self, uplink: Uplink) -> bool:
        """Whether this is the present session: what comes over an earlier one is not heard."""
        return self._uplink is uplink

    def linked(self) -> None:
        """The session stands."""
        self._failures = 0

    def unlinked(self) -> None:
        """The session is over; dial again, later with every failure."""
        self._hang_up()
        self._failures = min(self._failures + 1, _DOUBLINGS)
        self._dial_in(self.chance.between((_REDIAL_MS, _REDIAL_MS << self._failures)))

    def is_idle(self) -> bool:
        """Whether all that it can do for now is done; one that is down for good has nothing to do."""
        if not self.is_up:
            return not self._returning
        return self._uplink is not None and self._uplink.is_idle()

    def _hang_up(self) -> None:
        uplink, self._uplink = self._uplink, None
        if uplink is not None:
            uplink.leave()

    def _dial_in(self, wait_ms: int) -> None:
        self.timeline.after(wait_ms, self._dial)

    def _dial(self) -> None:
        if not self.is_up or self._uplink is not None:
            return
        self._dials += 1
        luck = self.chance.stream(f"wire {self._dials}")
        wire = Wire(self.name, self.timeline, self.network, luck)
        self._listen(wire)
        self._uplink = Uplink(self, wire)
        self._uplink.begin()
