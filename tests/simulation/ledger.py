"""What was promised in a world, as it was promised: by daemons to agents, and by programs to each other."""

from __future__ import annotations

from collections import Counter

import attrs

from taskferry_apps.daemon.sending_port import NewMessage
from taskferry_protocol.ids import Hash

__all__ = ["Accepted", "Keyed", "Ledger"]


@attrs.frozen
class Accepted:
    """A daemon has told an agent that it has this message."""

    machine: str
    agent: str
    peer: str
    hash: Hash
    what: str
    at_s: float
    task: Hash | None = None


@attrs.define
class Keyed:
    """An agent has asked a daemon to send this under a key."""

    machine: str
    key: str
    text: str
    hash: Hash | None = None
    """What it was told that it was sent as, once it was told."""


@attrs.define
class Ledger:
    """Kept while the world runs, and read by the auditor."""

    accepted: list[Accepted] = attrs.field(factory=list)
    keyed: dict[tuple[str, str], Keyed] = attrs.field(factory=dict)
    """By machine and key."""
    broken: list[str] = attrs.field(factory=list)
    """Promises that were seen to be broken while the world ran."""
    done: Counter[str] = attrs.field(factory=Counter)
    """Deeds that were done, by name."""
    refused: Counter[str] = attrs.field(factory=Counter)
    """Deeds that were refused, by code."""
    befell: Counter[str] = attrs.field(factory=Counter)
    """Faults that happened, by kind."""

    def accepted_by(self, machine: str) -> set[Hash]:
        """What a machine has accepted so far."""
        return {one.hash for one in self.accepted if one.machine == machine}

    def hash_of(self, machine: str, message: NewMessage) -> Hash | None:
        """As what a message under a key is known to have been sent."""
        kept = self.keyed.get((machine, message.key))
        return kept.hash if kept is not None and kept.text == message.text else None
