"""The relay of a world: real sessions and real admission over a store in memory."""

from __future__ import annotations

from typing import Final

import attrs

from ..account_state import DeviceStatus
from ..admission import Admitted, admit, read_for_admission
from ..calls import AccountFound, CallAnswer, CallRequest, GetAccount
from ..cbor import Value
from ..envelope import OneWrap, read_parcel
from ..errors import LocalProtocolError, RejectCode, RemoteProtocolError
from ..frame_items import Outcome, ParcelAccepted, Refusal, statement_page
from ..ids import AccountId, DeviceId
from ..session_base import Goaway, Phase, SessionBroken, Side, Step, TimedOut, WentAway
from ..sessions import (
    Acked,
    Admit,
    AuthRequested,
    CallReceived,
    Deliver,
    ParcelsReceived,
    RelayCommand,
    RelayEvent,
    RelaySession,
    Reply,
    SendResult,
)
from .chance import Chance
from .faults import Lies, Network
from .liar import Liar
from .logs import grown
from .relay_store import RelayStore
from .timeline import Timeline
from .wire import End, Wire

__all__ = ["ORIGIN", "TRANSPORT", "Relay"]

ORIGIN: Final = "ws://relay.test:80"
TRANSPORT: Final = "memory"
#: How long what came may wait for a commit that it shares.
_COMMIT_MS: Final = (0, 3)


@attrs.define(eq=False)
class _Link:
    """One session and its connection. `device` is whose it is, from `ready` on; `sent` the last offset."""

    session: RelaySession
    wire: Wire
    device: DeviceId | None = None
    account: AccountId | None = None
    sent: int = 0


_Batch = tuple[_Link, int, tuple[Value | OneWrap, ...]]


class Relay:
    """Takes parcels, commits them, then says so; delivers what is committed."""

    def __init__(self, timeline: Timeline, network: Network, lies: Lies, chance: Chance) -> None:
        self._timeline = timeline
        self._network = network
        self._chance = chance
        self._liar = Liar(lies, chance.stream("lies"))
        self.store = RelayStore(chance.entropy(16))
        self._links: list[_Link] = []
        self._batches: list[_Batch] = []
        self.is_up = True

    # --- Its fate

    def lose_power(self) -> None:
        """Fail and be back at once: what was not committed is lost, and so is every connection."""
        self.stop()
        self.start()

    def back_up(self) -> RelayStore:
        """A copy of all that it keeps now."""
        return self.store.copy()

    def restore(self, backup: RelayStore) -> None:
        """Lose power and go on from a backup, under a new generation, so that nothing since then is missed.

        Devices read their mailboxes from the start and offer again what they know no delivery of. Accounts
        and connections stay as they are: owners publish them again.
        """
        self.stop()
        accounts, connections = self.store.accounts, self.store.connections
        self.store = backup.copy()
        self.store.accounts, self.store.connections = accounts, connections
        self.store.generation = self._chance.entropy(16)
        self.start()

    def become_honest(self) -> None:
        """End all lies, and draw a new generation so that whatever was lost by them is offered again."""
        self._liar = Liar(Lies(), self._chance.stream("honest"))
        # What it said of its mailboxes was not true: whatever is offered again is put there again.
        self.store.placed.clear()
        self.restore(self.store)

    def stop(self) -> None:
        """Fail and stay down: whoever dials is turned away, and devices keep what they have to send."""
        self._timeline.note("relay", "loses power")
        self.is_up = False
        self._batches = []
        links, self._links = self._links, []
        for link in links:
            link.wire.leave(Side.RELAY)

    def start(self) -> None:
        """Come up again with what was committed."""
        self.is_up = True

    # --- Connections

    def accept(self, wire: Wire) -> None:
        """A device has connected; while the relay is down it is turned away."""
        if not self.is_up:
            wire.attach(Side.RELAY, End(_ignore, _nothing))
            wire.leave(Side.RELAY)
            return
        session = RelaySession(
            nonce=self._chance.entropy(32), origins=[ORIGIN], transport=TRANSPORT, now=self._timeline.now
        )
        link = _Link(session, wire)
        self._links.append(link)
        wire.attach(Side.RELAY, End(lambda frame: self._hear(link, frame), lambda: self._drop(link)))
        self._watch(link)

    def _drop(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
            link.wire.leave(Side.RELAY)

    def _watch(self, link: _Link) -> None:
        """Have the session told when its deadline comes."""
        deadline = link.session.deadline
        if deadline is not None and link in self._links:
            self._timeline.after(deadline - self._timeline.now, lambda: self._elapse(link))

    def _elapse(self, link: _Link) -> None:
        if link in self._links:
            self._play(link, link.session.elapse(now=self._timeline.now))
            self._watch(link)

    def _hear(self, link: _Link, frame: bytes) -> None:
        try:
            self._play(link, link.session.receive(frame, now=self._timeline.now))
        except SessionBroken as broken:
            self._timeline.note("relay", f"hangs up: {broken.code.value}")
            if broken.reply is not None:
                link.wire.send(Side.RELAY, broken.reply)
            self._drop(link)

    def _order(self, link: _Link, command: RelayCommand) -> None:
        self._play(link, link.session.submit(command, now=self._timeline.now))

    def _play(self, link: _Link, step: Step[RelayEvent]) -> None:
        for frame in step.frames:
            link.wire.send(Side.RELAY, frame)
        for event in step.events:
            match event:
                case AuthRequested():
                    self._authorize(link, event)
                case ParcelsReceived(batch=batch, parcels=parcels):
                    self._gather((link, batch, parcels))
                case Acked(offset=offset):
                    if link.device is not None:
                        self.store.acknowledge(link.device, offset)
                    self._deliver(link)
                case CallReceived(id=number, request=request):
                    self._order(link, Reply(number, self._answer(request)))
                case WentAway() | TimedOut():
                    self._drop(link)

    # --- Opening

    def _authorize(self, link: _Link, event: AuthRequested) -> None:
        hello = event.hello
        try:
            held = self.store.accounts.get(hello.account)
            log = grown(held, hello.account, event.start, event.statements)
            found = log.state.devices.get(hello.device)
            if found is None or found.status is not DeviceStatus.ACTIVE:
                code = RejectCode.UNKNOWN_DEVICE if found is None else RejectCode.DEVICE_GONE
                raise RemoteProtocolError(code, "not an active device of the account")
        except RemoteProtocolError as error:
            self._timeline.note("relay", f"turns a device away: {error.code.value}")
            self._order(link, Goaway(error.code, error.text))
            self._drop(link)
            return
        self.store.accounts[hello.account] = log
        for other in [other for other in self._links if other.device == hello.device]:
            self._order(other, Goaway(RejectCode.REPLACED))
            self._drop(other)
        link.account, link.device = hello.account, hello.device
        cursor = hello.cursor
        if cursor is not None and cursor.generation == self.store.generation:
            self.store.acknowledge(hello.device, cursor.offset)
            link.sent = cursor.offset
        self._order(link, Admit(log.position, self.store.generation, link.sent + 1))
        self._deliver(link)

    # --- Mail

    def _gather(self, batch: _Batch) -> None:
        if not self._batches:
            self._timeline.after(self._chance.between(_COMMIT_MS), self._commit)
        self._batches.append(batch)

    def _commit(self) -> None:
        """Decide on all that has come, store what is admitted, and only then speak."""
        batches, self._batches = self._batches, []
        if not batches:
            return  # power was lost since
        crashes = self._chance.happens(self._network.crash)
        if crashes and self._chance.happens(0.5):
            self._pause()
            return
        self.store.expire(self._timeline.now)
        results = [
            (link, SendResult(number, tuple(self._judge(link, parcel) for parcel in parcels)))
            for link, number, parcels in batches
        ]
        if crashes:
            self._pause()
            return
        for link, result in results:
            if link in self._links and link.session.phase is Phase.OPEN:
                self._order(link, result)
        for link in list(self._links):
            self._deliver(link)

    def _pause(self) -> None:
        """Fail by chance, and be back after a while."""
        self.stop()
        self._timeline.after(self._chance.between(self._network.restart_ms), self.start)

    def _judge(self, link: _Link, value: Value | OneWrap) -> Outcome:
        now = self._timeline.now
        if link.device is None or link.account is None:
            raise LocalProtocolError("the session let parcels in before it was open")
        try:
            parcel = read_parcel(value)
            envelope = read_for_admission(parcel, now=now)
        except RemoteProtocolError as error:
            return Refusal.of(error)
        facts = self.store.facts(link.account, link.device, envelope)
        admission = admit(envelope, parcel.wraps, facts, now=now)
        name = envelope.hash.hex()[:8]
        if not isinstance(admission, Admitted):
            self._timeline.note("relay", f"refuses {name}: {admission.code.value}")
            return admission
        place, entries = self.store.take(admission)
        for device, sealed in entries:
            done = self._liar.put(self.store, device, envelope, sealed)
            self._timeline.note("relay", f"accepts {name} for {device.hex()[:8]}: {done}")
        return ParcelAccepted(place)

    def _deliver(self, link: _Link) -> None:
        if link.device is None or link.session.phase is not Phase.OPEN:
            return
        while entries := self.store.waiting(link.device, link.sent):
            count = link.session.fitting(entries)
            if not count:
                return
            link.sent = entries[count - 1].offset
            self._order(link, Deliver(entries[:count]))

    # --- Calls

    def _answer(self, request: CallRequest) -> CallAnswer | Refusal:
        """Of all calls, the devices of a world ask for logs only: the rest its owners have settled before."""
        if not isinstance(request, GetAccount):
            return Refusal(RejectCode.UNKNOWN_METHOD)
        log = self.store.accounts.get(request.account)
        if log is None:
            return Refusal(RejectCode.UNKNOWN_ACCOUNT)
        return AccountFound(request.account, request.start, statement_page(log.after(request.start)))

    def is_done_with(self, device: DeviceId) -> bool:
        """Whether a device has its session, nothing that came from it waits, and nothing for it is left."""
        links = [link for link in self._links if link.device == device]
        return bool(links) and not self._batches and not self.store.waiting(device, 0)


def _ignore(frame: bytes) -> None:
    """A machine that is down hears nothing."""


def _nothing() -> None:
    """Nor does it mind that a connection ends."""
