"""The honest carrier: passes every frame on, notes it, and holds both sides to what they say in it.

Persist, then speak: when an acknowledgement is on the wire, what it acknowledges is on a disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import attrs

from taskferry_protocol.cbor import encode
from taskferry_protocol.envelope import read_parcel
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.frame_items import Mail, ParcelAccepted
from taskferry_protocol.frame_types import (
    AckFrame,
    DeliverFrame,
    Frame,
    FrameType,
    HelloFrame,
    ReadyFrame,
    ResultFrame,
    SendFrame,
)
from taskferry_protocol.frames import open_frame, read_frame
from taskferry_protocol.ids import DeviceId, Hash, sha256

from .company import of_delivery, of_result, of_sending
from .ledger import Ledger
from .trace import Trace

__all__ = ["Observer"]


@attrs.define
class Observer:
    """Sees all frames of a world."""

    trace: Trace
    ledger: Ledger
    durable_offset: Callable[[str], int | None]
    """Up to where a machine's disk holds its mailbox, in the generation of now; None if unknown."""
    relayed: dict[Hash, DeviceId] = attrs.field(factory=dict)
    """What the relay has said to have, and of whom."""
    delivered: dict[Hash, int] = attrs.field(factory=dict)
    """How often each envelope was put on a wire to a recipient."""
    moved: int = 0
    """How many frames that carry mail, or an answer to it, were seen."""
    together: Counter[str] = attrs.field(factory=Counter)
    """How much such frames held, by kind and size."""
    _devices: dict[str, DeviceId] = attrs.field(factory=dict)
    _batches: dict[tuple[str, int], list[Hash]] = attrs.field(factory=dict)

    def up(self, machine: str, frame: bytes) -> Iterable[bytes]:
        """From a machine to the relay."""
        read = _read(frame)
        match read:
            case HelloFrame(device=device):
                self._devices[machine] = device
            case SendFrame(batch=batch, parcels=parcels):
                self._batches[machine, batch] = [_hash_of(parcel) for parcel in parcels]
                self.together.update(of_sending(parcels))
            case AckFrame(offset=offset):
                held = self.durable_offset(machine)
                if held is not None and held < offset:
                    self.ledger.broken.append(
                        f"{machine} acknowledged its mailbox up to {offset} and holds it up to {held}"
                    )
        self._note(machine, "->", read, frame)
        return (frame,)

    def down(self, machine: str, frame: bytes) -> Iterable[bytes]:
        """From the relay to a machine."""
        read = _read(frame)
        match read:
            case ResultFrame(batch=batch, outcomes=outcomes):
                hashes = self._batches.pop((machine, batch), [])
                self.together.update(of_result(outcomes))
                for hash, outcome in zip(hashes, outcomes, strict=False):
                    if isinstance(outcome, ParcelAccepted):
                        self.relayed.setdefault(hash, self._devices[machine])
            case DeliverFrame(entries=entries):
                self.together.update(of_delivery(entries))
                for entry in entries:
                    if isinstance(entry, Mail):
                        hash = sha256(entry.envelope)
                        self.delivered[hash] = self.delivered.get(hash, 0) + 1
            case ReadyFrame():
                pass
        self._note(machine, "<-", read, frame)
        return (frame,)

    def closed(self, machine: str) -> None:
        """Batches that were under way have no answer."""
        for key in [key for key in self._batches if key[0] == machine]:
            del self._batches[key]

    def _note(self, machine: str, way: str, read: Frame | None, frame: bytes) -> None:
        kind = FrameType(open_frame(frame)[0]).name.lower() if read is not None else "?"
        self.moved += isinstance(read, SendFrame | ResultFrame | DeliverFrame)
        self.trace.tell(machine, f"{way} {kind} {len(frame)} {sha256(frame).hex()[:8]}", fine=True)


def _read(frame: bytes) -> Frame | None:
    try:
        return read_frame(*open_frame(frame))
    except RemoteProtocolError:
        return None


def _hash_of(parcel: object) -> Hash:
    try:
        return sha256(read_parcel(parcel).envelope)  # type: ignore[arg-type]
    except RemoteProtocolError:
        return sha256(encode(parcel))
