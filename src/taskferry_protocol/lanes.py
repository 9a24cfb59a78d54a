"""The usual envelope's way into its mailboxes: what was found for one is not asked again for those like it.

`admit` asks some twenty questions, and most answers are the same for every message of one device from one
agent to another, as long as nothing that they rest on changes. Whatever is different goes through `admit`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .admission import UNUSED, Admission, AdmissionFacts, Admitted, address, check_parties
from .envelope import Envelope, Wrap, verify_envelope_by_known_key
from .errors import RemoteProtocolError
from .frame_items import Refusal
from .ids import DeviceId, Instant, LogPosition
from .permissions import GRANTABLE, Grant
from .rates import RateState, take

__all__ = ["Lane"]


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
