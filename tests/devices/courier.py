"""A relay that keeps back what it should hand to one machine, and hands it over when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.envelope import Envelope, parse_envelope
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Entry, Mail, Notice
from taskferry_protocol.frames import DeliverFrame, Frame
from taskferry_protocol.ids import AccountId, DeviceId, Hash
from taskferry_protocol.records import Generation, Offset, RelayCursor
from taskferry_protocol.sealing import open_envelope


@attrs.define
class Courier:
    """A relay that hands a machine what it likes, and keeps the rest for later."""

    daemon: Daemon
    keeps: Callable[[Envelope], bool]
    kept: list[Mail] = attrs.field(factory=list)
    offset: int = 0

    def tamper(self, frame: Frame) -> Frame:
        """Put a notice about nothing in the place of what is kept back."""
        if not isinstance(frame, DeliverFrame):
            return frame
        return attrs.evolve(frame, entries=tuple(map(self._sift, frame.entries)))

    def _sift(self, entry: Entry) -> Entry:
        if not isinstance(entry, Mail):
            return entry
        envelope = parse_envelope(entry.envelope)
        if not self.keeps(envelope) or not self.is_for_it(envelope, entry.sealed):
            return entry
        self.kept.append(entry)
        return Notice(entry.offset, Hash(bytes(32)), RejectCode.EXPIRED)

    def is_for_it(self, envelope: Envelope, sealed: bytes) -> bool:
        """Whether the machine can open it."""
        try:
            open_envelope(envelope, sealed, self.daemon._core.keys.opening_keys())
        except RemoteProtocolError:
            return False
        return True

    async def deliver(self, of: DeviceId | None = None) -> None:
        """Hand over what was kept back, of one device or of all."""
        for mail in [mail for mail in self.kept if of in (None, parse_envelope(mail.envelope).device)]:
            self.kept.remove(mail)
            await self.hand_over(mail)

    async def hand_over(self, mail: Mail) -> None:
        """Hand something over, whatever it is and however often."""

        async def fetch(_: AccountId, __: int) -> Sequence[bytes]:
            await trio.lowlevel.checkpoint()
            return ()

        self.offset += 1
        at = RelayCursor("late", Generation(b"l" * 16), Offset(self.offset))
        await Inbound(self.daemon._core, fetch).take(mail, at)
