"""A relay's spans: of calls, of batches, and of each message from its admission to its delivery.

The parts in here stand in for the usual ones, and only where a collector is named. They see what those show
anyway: what is handed in, who is told, and what devices acknowledge.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from taskferry_protocol.admission import AdmissionFacts, MailboxLimits
from taskferry_protocol.calls import CallAnswer, CallRequest
from taskferry_protocol.cbor import Value
from taskferry_protocol.envelope import Envelope, OneWrap
from taskferry_protocol.frame_items import Entry, Mail, Outcome, Refusal
from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant, fingerprint, sha256
from taskferry_stores.port import RelayStore

from .. import system
from ..disk import disk_of
from ..settings import RelaySettings
from ..telemetry.spans import Fact, Spans
from .accounts import Accounts
from .audit import RelayAudit
from .calls import Calls
from .engine import Engine
from .facts import Facts
from .invites import Invites
from .jobs import Deliver, Sender
from .lru import Lru
from .meter import Meter
from .presence import Presence
from .reading import Reader
from .senders import Senders
from .snapshot import Snapshots
from .witness import Witness

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ..telemetry.exporter import Collect
    from .core import Relay

__all__ = ["TracedCalls", "TracedEngine", "collector_of"]

#: Messages between admission and disk, and those on disk whose devices have not acknowledged them.
MOST_ADMITTED: Final = 8_192
MOST_OF_DEVICE: Final = 256
MOST_DEVICES: Final = 512


def collector_of(relay: Relay, store: RelayStore, limits: MailboxLimits, settings: RelaySettings) -> Collect:
    """What gathers the numbers of `/metrics`."""
    snapshots = Snapshots(relay, store, limits, system.now, settings.database)

    async def collect() -> Sequence[Metric]:
        from ..exposition import process_families
        from .metrics import relay_families

        families = relay_families(
            relay.meter,
            await snapshots.latest(),
            await snapshots.spread(),
            disk_of(settings.database),
            relay.spans,
        )
        return (*families, *process_families())

    return collect


class Followed:
    """Follows messages through the relay. What it cannot hold any more gets no span; nothing else suffers."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._admitted: Lru[Hash, int] = Lru(MOST_ADMITTED)
        self._handed: OrderedDict[DeviceId, deque[tuple[int, Hash, int]]] = OrderedDict()

    def witness(self, then: Witness | None) -> Witness:
        """Hears of what is admitted."""

        def heard(facts: AdmissionFacts, envelope: Envelope) -> None:
            if self._spans.follows(envelope.hash):
                self._admitted.put(envelope.hash, self._spans.now())
            if then is not None:
                then(facts, envelope)

        return heard

    def deliver(self, then: Deliver) -> Deliver:
        """Hears of what is on disk."""

        def heard(device: DeviceId, entries: Sequence[Entry]) -> None:
            then(device, entries)
            for entry in entries:
                if isinstance(entry, Mail):
                    self._committed(device, entry)

        return heard

    def _committed(self, device: DeviceId, mail: Mail) -> None:
        hash = Hash(sha256(mail.envelope))
        if not self._spans.follows(hash):
            return
        began = self._admitted.get(hash)
        if began is not None:
            self._admitted.drop(hash)
            self._spans.of_message("relay stored message", hash, began)
        handed = self._handed.setdefault(device, deque(maxlen=MOST_OF_DEVICE))
        self._handed.move_to_end(device)
        handed.append((mail.offset, hash, self._spans.now()))
        if len(self._handed) > MOST_DEVICES:
            self._handed.popitem(last=False)

    def acknowledged(self, device: DeviceId, offset: int) -> None:
        """A device has all up to here."""
        handed = self._handed.get(device)
        while handed and handed[0][0] <= offset:
            _, hash, began = handed.popleft()
            self._spans.of_message("relay delivered message", hash, began, {"device": fingerprint(device)})
        if handed is not None and not handed:
            del self._handed[device]


@attrs.frozen(eq=False)
class _Batches:
    """A sender whose answers are timed."""

    sender: Sender
    spans: Spans
    began: int

    @property
    def account(self) -> AccountId:
        """The account of the session."""
        return self.sender.account

    @property
    def device(self) -> DeviceId:
        """The device of the session."""
        return self.sender.device

    def answer(self, batch: int, outcomes: Sequence[Outcome]) -> None:
        """Pass it on, and say how it went."""
        self.sender.answer(batch, outcomes)
        codes = Counter([outcome.code.value for outcome in outcomes if isinstance(outcome, Refusal)])
        facts: dict[str, Fact] = {"device": fingerprint(self.device), "count": len(outcomes)}
        code = ""
        if codes:
            code = codes.most_common(1)[0][0]
            facts |= {"refused": codes.total(), "code": code}
        self.spans.of_work("relay took batch", self.began, facts, code)


class TracedEngine(Engine):
    """An engine whose batches and messages are followed."""

    def __init__(
        self,
        spans: Spans,
        store: RelayStore,
        facts: Facts,
        deliver: Deliver,
        now: Callable[[], Instant],
        witness: Witness | None,
        audit: RelayAudit,
        meter: Meter,
        senders: Senders,
    ) -> None:
        self._spans = spans
        self._followed = followed = Followed(spans)
        super().__init__(
            store, facts, followed.deliver(deliver), now, followed.witness(witness), audit, meter, senders
        )

    async def take(self, sender: Sender, batches: Sequence[tuple[int, Sequence[Value | OneWrap]]]) -> None:
        """As the engine's."""
        await super().take(_Batches(sender, self._spans, self._spans.now()), batches)

    def acknowledge(self, device: DeviceId, offset: int) -> None:
        """As the engine's."""
        self._followed.acknowledged(device, offset)
        super().acknowledge(device, offset)


class TracedCalls(Calls):
    """Calls, each with a span."""

    def __init__(
        self,
        spans: Spans,
        store: RelayStore,
        facts: Facts,
        accounts: Accounts,
        presence: Presence,
        invites: Invites,
        most_connections: int,
    ) -> None:
        super().__init__(store, facts, accounts, presence, invites, most_connections)
        self._spans = spans

    async def answer(self, caller: Reader, request: CallRequest) -> CallAnswer | Refusal:
        """As the calls'."""
        began = self._spans.now()
        answer = await super().answer(caller, request)
        facts: dict[str, Fact] = {"account": fingerprint(caller.account)}
        code = answer.code.value if isinstance(answer, Refusal) else ""
        if code:
            facts["code"] = code
        self._spans.of_work(f"relay answered {type(request).__name__}", began, facts, code)
        return answer
