"""What waits for the engine's next commit, and who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import trio

from taskferry_protocol.cbor import Value
from taskferry_protocol.frame_items import Entry, Outcome
from taskferry_protocol.ids import AccountId, DeviceId
from taskferry_protocol.records import (
    Expire,
    PurgeInvites,
    PurgeSeen,
    RecordContact,
    RelayResult,
    StoreEnvelope,
    Sweep,
    SweepSignUps,
)

__all__ = ["Chore", "Deliver", "Job", "Sender"]


class Sender(Protocol):
    """Who handed in a batch, and gets its outcomes."""

    @property
    def account(self) -> AccountId:
        """The account of the session."""

    @property
    def device(self) -> DeviceId:
        """The device of the session."""

    def answer(self, batch: int, outcomes: Sequence[Outcome]) -> None:
        """Everything in the batch is decided on, and what was accepted is on disk."""


Deliver = Callable[[DeviceId, Entry], None]
"""Hands a committed entry to the device's session, if there is one."""


@attrs.define(eq=False)
class Job:
    """A batch on its way: outcomes known so far, and what is to be stored for the others."""

    sender: Sender
    batch: int
    parcels: Sequence[Value]
    outcomes: list[Outcome | None] = attrs.field(init=False)
    stores: list[tuple[int, StoreEnvelope]] = attrs.field(factory=list)
    contacts: list[RecordContact] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.outcomes = [None] * len(self.parcels)


@attrs.define(eq=False)
class Chore:
    """A change that keeps the store small, and whoever waits for it."""

    change: Expire | Sweep | PurgeSeen | SweepSignUps | PurgeInvites
    done: trio.Event = attrs.field(factory=trio.Event)
    result: RelayResult | None = None
