"""A relay that lies: what arrives is not what its honest half sent, one frame at a time, as a plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from taskferry_protocol.cbor import Value
from taskferry_protocol.envelope import OneWrap
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Mail, Notice, ParcelAccepted, Refusal
from taskferry_protocol.frame_types import (
    DeliverFrame,
    Frame,
    GoawayFrame,
    ReplyFrame,
    ResultFrame,
    SendFrame,
)
from taskferry_protocol.frames import encode_frame, open_frame, read_frame

from .ledger import Ledger
from .observer import Observer
from .trace import Trace
from .workload import LIES

__all__ = ["Liar"]


@attrs.define
class Liar:
    """Between the network and the observer, who hears the honest half."""

    observer: Observer
    trace: Trace
    ledger: Ledger
    _due: dict[str, list[tuple[int, int]]] = attrs.field(factory=dict)
    """By machine: from which frame on which lie is to be told."""
    _frames: dict[str, int] = attrs.field(factory=dict)
    _seen: dict[str, list[Mail]] = attrs.field(factory=dict)
    """All mail that a machine was sent, to be sent again."""
    _sent: dict[str, Value | OneWrap] = attrs.field(factory=dict)
    """The first parcel of each machine."""
    _logs: dict[bytes, list[Value]] = attrs.field(factory=dict)

    def arm(self, machine: str, frame: int, lie: int) -> None:
        """Tell a lie to a machine with the first frame from this one on that it can be told with."""
        self._due.setdefault(machine, []).append((frame, lie))

    def stop(self) -> None:
        """Lie no more."""
        self._due.clear()

    def closed(self, machine: str) -> None:
        """A link is over."""
        self.observer.closed(machine)

    def up(self, machine: str, frame: bytes) -> Iterable[bytes]:
        """From a machine to the relay: some of it never gets there."""
        self._count(machine)
        passed = tuple(self.observer.up(machine, frame))
        read = read_frame(*open_frame(frame))
        if not isinstance(read, SendFrame):
            return passed
        known = self._sent.setdefault(machine, read.parcels[0])
        for due in self._due.get(machine, []):
            if LIES[due[1] % len(LIES)] == "swallow" and self._frames[machine] >= due[0]:
                # The honest half knows this one and says so, which its sender takes for these.
                self._tell(machine, due)
                return (encode_frame(SendFrame(read.batch, (known,) * len(read.parcels))),)
            wrong = _wrong_parcel(LIES[due[1] % len(LIES)], read.parcels)
            if wrong is not None and self._frames[machine] >= due[0]:
                self._tell(machine, due)
                middle = len(read.parcels) // 2
                parcels = (*read.parcels[:middle], wrong, *read.parcels[middle + 1 :])
                return (encode_frame(SendFrame(read.batch, parcels)),)
        return passed

    def down(self, machine: str, frame: bytes) -> Iterable[bytes]:
        """From the relay to a machine."""
        self._count(machine)
        passed = tuple(self.observer.down(machine, frame))
        read = read_frame(*open_frame(frame))
        if isinstance(read, DeliverFrame):
            self._seen.setdefault(machine, []).extend(e for e in read.entries if isinstance(e, Mail))
        number = self._frames[machine]
        for due in self._due.get(machine, []):
            from_frame, lie = due
            if number < from_frame:
                continue
            tell = _TOLD.get(LIES[lie % len(LIES)])
            told = tell(self, machine, read) if tell is not None else None
            if told is not None:
                self._tell(machine, due)
                return tuple(encode_frame(one) for one in told)
        return passed

    def _tell(self, machine: str, due: tuple[int, int]) -> None:
        self._due[machine].remove(due)
        name = LIES[due[1] % len(LIES)]
        self.ledger.befell[f"lie: {name}"] += 1
        self.trace.tell(machine, f"* the relay lies: {name}")

    def _count(self, machine: str) -> None:
        self._frames[machine] = self._frames.get(machine, 0) + 1

    # --- lies: what is sent in a frame's place; None where it offers no occasion

    def _drop(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, DeliverFrame):
            return None
        return (DeliverFrame(frame.entries[1:]),) if len(frame.entries) > 1 else ()

    def _replay(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        seen = self._seen.get(machine, [])
        if not isinstance(frame, DeliverFrame) or len(seen) < 2:
            return None
        old = seen[len(seen) // 2 - 1]
        last = frame.entries[-1]
        return (DeliverFrame((*frame.entries[:-1], attrs.evolve(old, offset=last.offset))),)

    def _reorder(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, DeliverFrame) or len(frame.entries) < 2:
            return None
        offsets = [entry.offset for entry in frame.entries]
        turned = [attrs.evolve(e, offset=o) for e, o in zip(reversed(frame.entries), offsets, strict=True)]
        return (DeliverFrame(tuple(turned)),)

    def _spoil_mail(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, DeliverFrame) or len(frame.entries) < 3:
            return None
        middle = len(frame.entries) // 2
        entry = frame.entries[middle]
        if not isinstance(entry, Mail):
            return None
        if self._frames[machine] % 2:
            wrong = attrs.evolve(entry, envelope=_spoilt(entry.envelope))
        else:
            wrong = attrs.evolve(entry, sealed=_spoilt(entry.sealed))
        return (DeliverFrame((*frame.entries[:middle], wrong, *frame.entries[middle + 1 :])),)

    def _false_accept(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, ResultFrame) or not any(isinstance(o, Refusal) for o in frame.outcomes):
            return None
        return (ResultFrame(frame.batch, tuple(ParcelAccepted(1) for _ in frame.outcomes)),)

    def _false_refuse(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, ResultFrame):
            return None
        refusals = tuple(Refusal(RejectCode.BAD_SIGNATURE) for _ in frame.outcomes)
        return (ResultFrame(frame.batch, refusals),)

    def _truncate_log(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, ReplyFrame) or not isinstance(frame.outcome, dict):
            return None
        statements = frame.outcome.get("statements")
        if not isinstance(statements, list) or not statements:
            return None
        return (ReplyFrame(frame.id, {**frame.outcome, "statements": statements[:-1]}),)

    def _other_log(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        if not isinstance(frame, ReplyFrame) or not isinstance(frame.outcome, dict):
            return None
        statements, account = frame.outcome.get("statements"), frame.outcome.get("account")
        if not isinstance(statements, list) or not statements or not isinstance(account, bytes):
            return None
        known = self._logs
        known.setdefault(account, statements)
        others = [log for other, log in known.items() if other != account]
        if not others:
            return None
        return (ReplyFrame(frame.id, {**frame.outcome, "statements": others[0]}),)

    def _false_notice(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        own = [hash for hash, device in self.observer.relayed.items() if device == self._device(machine)]
        if not isinstance(frame, DeliverFrame) or not own:
            return None
        last = frame.entries[-1]
        return (DeliverFrame((*frame.entries[:-1], Notice(last.offset, own[-1], RejectCode.EXPIRED))),)

    def _device(self, machine: str) -> bytes:
        return self.observer._devices.get(machine, b"")

    def _goaway(self, machine: str, frame: Frame) -> tuple[Frame, ...] | None:
        codes = sorted(RejectCode, key=lambda code: code.value)
        return (GoawayFrame(codes[self._frames[machine] % len(codes)], "lies", 2_000),)


def _wrong_parcel(lie: str, parcels: Sequence[Value | OneWrap]) -> Value | OneWrap | None:
    """What stands in the midst of many in place of what was sent; None where a lie offers none."""
    if len(parcels) < 3:
        return None
    match lie, parcels[len(parcels) // 2]:
        case "swallow-one", _:
            return parcels[0]
        case "spoil-parcel", [bytes(envelope), bytes(key), bytes(sealed)]:
            return (_spoilt(envelope), key, sealed)
        case "spoil-parcel", [bytes(envelope), wraps]:
            return [_spoilt(envelope), wraps]
        case _:
            return None


def _spoilt(raw: bytes) -> bytes:
    """With one bit turned over near its end: in an envelope, of its signature."""
    at = len(raw) - 5
    return raw[:at] + bytes((raw[at] ^ 4,)) + raw[at + 1 :]


_TOLD: dict[str, Callable[[Liar, str, Frame], tuple[Frame, ...] | None]] = {
    "drop": Liar._drop,
    "replay": Liar._replay,
    "reorder": Liar._reorder,
    "spoil-mail": Liar._spoil_mail,
    "false-accept": Liar._false_accept,
    "false-refuse": Liar._false_refuse,
    "truncate-log": Liar._truncate_log,
    "other-log": Liar._other_log,
    "false-notice": Liar._false_notice,
    "goaway": Liar._goaway,
}
