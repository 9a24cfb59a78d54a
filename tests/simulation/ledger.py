"""What was promised in a world, as it was promised: by daemons to agents, and by programs to each other."""

from __future__ import annotations

from collections import Counter

import attrs

from taskferry_protocol.ids import Hash

__all__ = ["Accepted", "Ledger"]


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
class Ledger:
    """Kept while the world runs, and read by the auditor."""

    accepted: list[Accepted] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)
    """Promises that were seen to be broken while the world ran."""
    done: Counter[str] = attrs.field(factory=Counter)
    """Deeds that were done, by name."""
    refused: Counter[str] = attrs.field(factory=Counter)
    """Deeds that were refused, by code."""
    befell: Counter[str] = attrs.field(factory=Counter)
    """Faults that happened, by kind."""
