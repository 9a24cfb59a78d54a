"""What waits for the engine's next commit, and who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs
import trio

from taskferry_protocol.cbor import Value
from taskferry_protocol.envelope import OneWrap
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Entry, Outcome, Refusal
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

__all__ = ["NO_ROOM", "Chore", "Deliver", "Job", "Sender", "entry_for", "too_much"]

NO_ROOM: Final = Refusal(
    RejectCode.INTERNAL, Detail(retry_after=10_000, text="the relay's disk is full; try again later")
)


Entries = Sequence[tuple[DeviceId, bytes]]
"""Each device that an envelope is for, with its key for it."""


def entry_for(entries: Entries, device: DeviceId) -> tuple[DeviceId, bytes]:
    """The entry of a device that has one."""
    return next(entry for entry in entries if entry[0] == device)


def too_much(wait_ms: int) -> Refusal:
    """What each parcel of a batch is answered whose account has sent as much as one may."""
    text = "your account has sent as much in a minute as one may here"
    return Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=wait_ms, text=text))


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


Deliver = Callable[[DeviceId, Sequence[Entry]], None]
"""Hands committed entries, in their order, to the device's session, if there is one."""


@attrs.define(eq=False)
class Job:
    """A batch on its way: outcomes known so far, and what is to be stored for the others."""

    sender: Sender
    batch: int
    parcels: Sequence[Value | OneWrap]
    weight: int = attrs.field(init=False)
    """Parcels, each as often as it has wraps: no more entries can come of them."""
    outcomes: list[Outcome | None] = attrs.field(init=False)
    stores: list[tuple[int, StoreEnvelope]] = attrs.field(factory=list)
    contacts: list[RecordContact] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.outcomes = [None] * len(self.parcels)
        self.weight = sum([_weight(parcel) for parcel in self.parcels])

    @property
    def entries(self) -> int:
        """How many mailbox entries it comes to, once it is decided on."""
        return sum([len(change.entries) for _, change in self.stores])


def _weight(parcel: Value | OneWrap) -> int:
    if type(parcel) is list and len(parcel) == 2 and type(parcel[1]) is list:
        return max(1, len(parcel[1]))
    return 1


@attrs.define(eq=False)
class Chore:
    """A change that keeps the store small, and whoever waits for it."""

    change: Expire | Sweep | PurgeSeen | SweepSignUps | PurgeInvites
    done: trio.Event = attrs.field(factory=trio.Event)
    result: RelayResult | None = None
