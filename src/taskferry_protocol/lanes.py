"""The usual envelope's way into its mailboxes: what was found for one is not asked again for those like it.

`admit` asks some twenty questions, and most answers are the same for every message of one device from one
agent to another, as long as nothing that they rest on changes. Whatever is different goes through `admit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .admission import UNUSED, Admission, AdmissionFacts, Admitted, address, check_parties
from .crypto import Kind, check_signature
from .envelope import Envelope, Wrap, verify_envelope_by_known_key
from .errors import RemoteProtocolError
from .frame_items import Refusal
from .ids import DeviceId, Instant, LogPosition, sha256
from .likeness import Like
from .permissions import GRANTABLE, Grant
from .rates import RateState, take
from .records import StoreEnvelope

__all__ = ["Lane"]

#: What one envelope takes of a rate, in thousandths.
_ONE: Final = 1_000


class Lane:
    """What holds at one moment for every envelope that is like a first one. Throw it away before you wait.

    Like it are those by the same device from the same agent to the same other one of another account, as of
    the same log position, with wraps for the same keys, and of a class and size that the grant between the
    two allows.
    """

    __slots__ = ("_classes", "_entries", "_facts", "_first", "_grant", "_keys", "_log", "_now")

    def __init__(
        self,
        first: Envelope,
        keys: Sequence[bytes],
        entries: Sequence[tuple[DeviceId, int, int]],
        grant: Grant,
        facts: AdmissionFacts,
        now: Instant,
    ) -> None:
        """`entries` are devices, each with the place of its wrap and how many bytes its mailbox may hold."""
        self._first = first
        self._log: LogPosition = first.header.log
        self._keys = keys
        self._entries = entries
        self._grant = grant
        self._classes = grant.classes & GRANTABLE
        self._facts = facts
        self._now = now

    @classmethod
    def of(
        cls, envelope: Envelope, wraps: Sequence[Wrap], facts: AdmissionFacts, now: Instant
    ) -> Lane | None:
        """The lane of an envelope with its wraps; None if it is not of the usual kind, or to be refused."""
        header, connection = envelope.header, facts.connection
        grant = None if connection is None else connection.grant
        if grant is None or header.cls not in GRANTABLE or (grant.until is not None and now >= grant.until):
            return None
        to = header.to.account
        if header.from_.account == to or to in facts.suspended:
            return None
        try:
            recipient = check_parties(envelope, facts)
            entries = address(envelope, wraps, facts.sender.state, recipient, now)
        except RemoteProtocolError:
            return None
        sealed = [wrap.sealed for wrap in wraps]
        if len({*sealed}) < len(sealed):
            return None
        placed: list[tuple[DeviceId, int, int]] = []
        for device, key in entries:
            owner = recipient.state if device in recipient.state.devices else facts.sender.state
            placed.append((device, sealed.index(key), min(facts.limits.size, facts.limits.most_of(owner))))
        return cls(envelope, [wrap.key for wrap in wraps], placed, grant, facts, now)

    def admit(self, envelope: Envelope, wraps: Sequence[Wrap], rate: RateState | None) -> Admission | None:
        """The decision of `admit` on an envelope that was never sent before; None if it is not alike.

        `rate` is the flow's, what waits for its devices is looked up in the facts that the lane was made of.
        """
        header, first, facts, grant = envelope.header, self._first, self._facts, self._grant
        size = len(envelope.raw)
        if (
            envelope.device != first.device
            # Names and positions of one meaning are mostly one object.
            or (header.from_ is not first.header.from_ and header.from_ != first.header.from_)
            or (header.to is not first.header.to and header.to != first.header.to)
            or (header.log is not self._log and header.log != self._log)
            or header.cls not in self._classes
            or size > grant.largest
            or [wrap.key for wrap in wraps] != self._keys
        ):
            return None
        entries: list[tuple[DeviceId, bytes]] = []
        most = facts.limits.entries
        for device, at, largest in self._entries:
            sealed = wraps[at].sealed
            usage, share = facts.usage.get(device, UNUSED), facts.shares.get(device, UNUSED)
            if usage.count + share.count >= most or usage.bytes + share.bytes + size + len(sealed) > largest:
                return None
            entries.append((device, sealed))
        now = self._now
        spent, wait = take(rate if rate is not None else RateState.full(grant.rate, now), grant.rate, now)
        if wait:
            return None
        try:
            verify_envelope_by_known_key(envelope)
        except RemoteProtocolError as error:
            return Refusal.of(error)
        return Admitted(envelope, tuple(entries), spent)

    def carry(
        self, likes: Sequence[Like], rate: RateState | None
    ) -> tuple[list[StoreEnvelope | Refusal], RateState | None]:
        """What `admit` decides on envelopes with one wrap that are like the first, one behind the other.

        As many of the first as there is certainly rate and room for, with what is left of the rate. Each
        signature is checked. The caller counts what is to be stored.
        """
        decided: list[StoreEnvelope | Refusal] = []
        now, grant, key = self._now, self._grant, self._first.device
        before, wait = take(rate if rate is not None else RateState.full(grant.rate, now), grant.rate, now, 0)
        if wait or len(self._keys) != 1:
            return decided, rate
        # At one moment nothing flows in, so that each takes one from what there is.
        tokens, (room, free, step) = before.tokens_milli, self._left()
        to, largest = self._first.header.to, grant.largest
        devices = [device for device, _, _ in self._entries]
        only = devices[0] if len(devices) == 1 else None
        for raw, sealed, id, seq, created_at, expires_at in likes:
            size = len(raw)
            taken = size + len(sealed)
            if tokens < _ONE or room < 1 or taken > free or size > largest:
                break
            try:
                check_signature(raw, key, Kind.ENVELOPE)
            except RemoteProtocolError as error:
                decided.append(Refusal.of(error))
                continue
            tokens -= _ONE
            room -= step
            free -= taken * step
            entries = ((only, sealed),) if only is not None else tuple([(one, sealed) for one in devices])
            decided.append(
                StoreEnvelope(key, id, to, seq, sha256(raw), created_at, expires_at, now, raw, entries)
            )
        return decided, rate if tokens == before.tokens_milli else RateState(tokens, now)

    def _left(self) -> tuple[int, int, int]:
        """How many entries and bytes the fullest of the mailboxes takes; and how often each one counts."""
        facts, step = self._facts, 1
        room, free = facts.limits.entries, facts.limits.size
        for device, _, largest in self._entries:
            usage, share = facts.usage.get(device, UNUSED), facts.shares.get(device)
            count, size = usage.count, usage.bytes
            if share is not None:
                # It is part of the usage as well, and both grow.
                count, size, step = count + share.count, size + share.bytes, 2
            room, free = min(room, facts.limits.entries - count), min(free, largest - size)
        return room, free, step
