"""A daemon's spans: of messages from the outbox to their delivery, as commits tell of it; and of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from taskferry_protocol.calls import CallRequest
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import (
    DaemonChange,
    Direction,
    DropOutbox,
    PutOutbox,
    RelayedOutbox,
    Rung,
    SetRung,
    StoreMessage,
)

from ..disk import disk_of
from ..relay.lru import Lru
from ..settings import DaemonSettings
from ..telemetry.spans import Spans
from .port import DaemonService

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ..telemetry.exporter import Collect

__all__ = ["Followed", "collector_of"]

#: Messages on their way; those that wait for a peer whose machine is off stay longest.
MOST: Final = 4_096


def collector_of(daemon: DaemonService, settings: DaemonSettings, spans: Spans) -> Collect:
    """What gathers the numbers of `/metrics`."""

    async def collect() -> Sequence[Metric]:
        from ..exposition import process_families
        from .api.metrics import daemon_families

        families = daemon_families(await daemon.numbers.read(), disk_of(settings.database), spans)
        return (*families, *process_families())

    return collect


class Followed:
    """Follows messages by what is committed of them, since this start of the daemon; and an `Ear`."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._queued: Lru[Hash, int] = Lru(MOST)
        self._relayed: Lru[Hash, int] = Lru(MOST)

    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self._spans.now()

    def asked(self, request: CallRequest, began: int, code: str) -> None:
        """A call to the relay is over."""
        self._spans.of_work(
            f"daemon asked {type(request).__name__}", began, {"code": code} if code else None, code
        )

    def took(self, changes: Sequence[DaemonChange]) -> None:
        """These are on disk."""
        for change in changes:
            # First, since it has the reason: a message that ends leaves the outbox with the same commit.
            if isinstance(change, SetRung) and change.rung in _ENDS:
                self._ended(change.hash, change.code or _ENDS[change.rung])
        for change in changes:
            match change:
                case PutOutbox(entry=entry):
                    if self._spans.follows(entry.hash) and self._queued.get(entry.hash) is None:
                        self._queued.put(entry.hash, self._spans.now())
                case StoreMessage(message=message) if message.direction is Direction.IN:
                    self._spans.of_message(
                        "daemon stored message", message.hash, self._spans.now(), {"class": message.cls}
                    )
                case RelayedOutbox(hashes=hashes):
                    for hash in hashes:
                        self._sent(hash)
                case DropOutbox(hashes=hashes):
                    for hash in hashes:
                        self._ended(hash, "")

    def _sent(self, hash: Hash) -> None:
        began = self._queued.get(hash)
        if began is not None:
            self._queued.drop(hash)
            self._relayed.put(hash, self._spans.now())
            self._spans.of_message("daemon sent message", hash, began)

    def _ended(self, hash: Hash, code: str) -> None:
        """Delivered, given up, or of a class that is over once the relay has it; said once."""
        for held, name in (
            (self._relayed, "daemon heard of delivery"),
            (self._queued, "daemon sent message"),
        ):
            began = held.get(hash)
            if began is not None:
                held.drop(hash)
                self._spans.of_message(name, hash, began, {"code": code} if code else None, code)


#: What is said of a message that ended so, unless its code says more.
_ENDS: Final = {Rung.DELIVERED: "", Rung.FAILED: Rung.FAILED.value, Rung.EXPIRED: Rung.EXPIRED.value}
