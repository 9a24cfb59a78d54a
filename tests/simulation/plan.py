"""What is to happen in a world, written down before it begins: who lives there, what they do, and what fails.

Each entry stands for itself: a plan without any of them is a plan, so that a failing one can be made short.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

__all__ = ["Deed", "Fault", "Kind", "Owner", "Plan", "Step"]


class Deed(StrEnum):
    """What an owner or an agent may do."""

    ASK = "ask"
    """A new task."""
    ASK_BRIEFLY = "ask-briefly"
    """A new task with a deadline that may pass."""
    ACT = "act"
    """Something that is possible in an open task."""
    ACT_BLINDLY = "act-blindly"
    """Anything in any task, possible or not."""
    SAY = "say"
    SAY_MANY = "say-many"
    """Many messages in one request."""
    SAY_AGAIN = "say-again"
    """Such a request once more, under the keys that it had."""
    SAY_AT_ONCE = "say-at-once"
    """Many messages in as many requests at the same time."""
    READ = "read"
    """Look into the inbox, and mark what is there as processed."""
    PERMIT = "permit"
    """Change what a peer may send."""
    ROTATE = "rotate"
    """A fresh encryption key for the device."""
    LINK = "link"
    """A second device of the owner."""
    REVOKE = "revoke"
    """Put the second device out."""
    SEVER = "sever"
    """End a connection."""
    RECONNECT = "reconnect"
    """Ask for one that was ended."""
    ACCEPT = "accept"
    """Accept what was asked for."""
    APPROVE = "approve"
    """Let through what waits for the owner."""
    INTRODUCE = "introduce"
    """Another card for an agent."""
    PROVE = "prove"
    """Export a task, and verify it."""


class Kind(StrEnum):
    """What may fail."""

    KILL = "kill"
    """The program ends at its n-th touch of the world, and comes back after a while."""
    POWER = "power"
    """The machine goes dark at the n-th call of its disk: what was not synchronised is lost or torn."""
    CUT = "cut"
    """The link breaks at the n-th frame, and what was under way is lost."""
    SILENCE = "silence"
    """From the n-th frame on nothing comes through, though both ends believe in the link."""
    DEAF = "deaf"
    """As silence, from the relay to the machine alone."""
    MUTE = "mute"
    """As silence, from the machine to the relay alone."""
    PARTITION = "partition"
    """The machine reaches nobody for a while."""
    JUMP = "jump"
    """The machine's clock jumps."""
    FULL = "full"
    """The disk is full for a while."""
    SYNC = "sync"
    """The next commit fails, and whether it is on the disk nobody knows."""
    SLOW = "slow"
    """Each commit takes long for a while."""
    RESTORE = "restore"
    """The relay goes on from an older copy, and says so by a new generation."""
    LIE = "lie"
    """The relay lies about the next thing that it can lie about in one way."""
    ROLLBACK = "rollback"
    """The relay goes on from an older copy, and says nothing."""


@attrs.frozen
class Step:
    """At a second of the world's life somebody does something at a machine; `pick` decides what exactly."""

    at_s: float
    who: str
    deed: Deed
    pick: int

    def __str__(self) -> str:
        return f"step   {self.at_s:8.3f} {self.who:<7} {self.deed.value} {self.pick}"


@attrs.frozen
class Fault:
    """`at` is a number of touches or frames for those that count them, and a second for all others.

    `amount` is how many seconds it lasts, how far a clock jumps, or which lie is told.
    """

    kind: Kind
    who: str
    at: float
    amount: float

    def __str__(self) -> str:
        return f"fault  {self.at:8g} {self.who:<7} {self.kind.value} {self.amount:g}"


@attrs.frozen
class Owner:
    """An owner with one agent. A second machine stands ready where `devices` is 2."""

    name: str
    agent: str
    devices: int = 1
    store: str = "memory"
    skew_s: float = 0.0
    quiet: bool = False
    """Nothing of this owner's fails, so that its mail may not be held up."""
    lax: bool = False
    """Whether no breaker of this owner's ever stops anything."""

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines' names."""
        return tuple(f"{self.name}{number}" for number in range(1, self.devices + 1))


@attrs.frozen
class Plan:
    """A whole world."""

    seed: int
    owners: tuple[Owner, ...]
    relay_store: str
    delay_s: tuple[float, float]
    ends_s: float
    """When the troubles are over and all that is left settles."""
    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]
    roomy: bool = False
    """Whether so much may be sent that no rate ever stops it."""

    @property
    def lies(self) -> bool:
        """Whether the relay is a liar: what it was trusted with may be lost, though never silently."""
        return any(fault.kind in (Kind.LIE, Kind.ROLLBACK) for fault in self.faults)

    def __str__(self) -> str:
        people = [
            f"owner  {one.name} as {one.agent}, {one.devices} device(s), {one.store} store, "
            f"clock {one.skew_s:+g} s{', quiet' if one.quiet else ''}{', lax' if one.lax else ''}"
            for one in self.owners
        ]
        net = f"relay  {self.relay_store} store, frames take {self.delay_s[0]:g} to {self.delay_s[1]:g} s"
        net += ", no rate is ever reached" if self.roomy else ""
        return "\n".join((net, *people, *map(str, self.steps), *map(str, self.faults)))
