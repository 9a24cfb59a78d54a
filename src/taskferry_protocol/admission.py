"""The relay's one decision: may this parcel enter, and into whose mailboxes (spec/session.md section 7).

Pure: facts in, decision out. Everything cheap is asked before the signature, and nothing may be stored before
it; so a parcel with several faults can be refused for another of them than a relay with other habits names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import attrs

from .account_state import AccountState, DeviceState, DeviceStatus
from .accounts import AccountLog
from .envelope import (
    Envelope,
    Parcel,
    Wrap,
    check_clock,
    is_channel,
    parse_envelope,
    verify_envelope_by_known_key,
)
from .errors import EnvelopeRejected, RejectCode, RemoteProtocolError
from .frame_items import Refusal, statement_page
from .ids import AccountId, DeviceId, Hash, Instant
from .limits import CONTACT_RECEIPTS, CONTACTS, DEVICES, LIFETIME_MS, SERVICE_RATE
from .messages.base import MessageClass
from .permissions import Grant, permits
from .rates import RateState, take
from .records import ContactState, Flow, MailboxUsage
from .values import value

__all__ = [
    "UNUSED",
    "Admission",
    "AdmissionFacts",
    "Admitted",
    "Load",
    "MailboxLimits",
    "Prior",
    "RelayConnection",
    "address",
    "admit",
    "check_parties",
    "read_for_admission",
]


class Load(Protocol):
    """Entries that wait for a device, and their bytes; a `MailboxUsage` is one."""

    @property
    def count(self) -> int:
        """How many."""

    @property
    def bytes(self) -> int:
        """Of envelopes and wraps."""


@attrs.frozen
class MailboxLimits:
    """How much may wait for one device: entries and bytes, and those beyond which strangers are refused.

    Strangers have a smaller share of both, so that no crowd of them keeps out those whom the owner let in.
    And no account may have more waiting than there is room left: one alone fills a half, which is more than
    20,000 messages of a device that was away, two fill two thirds. Of `account_size` each of an account's n
    active devices has an n-th, so that more devices hold no more than four full ones.
    """

    entries: int = 65_536
    size: int = 256 * 1_048_576
    strangers: int = 2_000
    strangers_size: int = 32 * 1_048_576
    account_size: int = 1_024 * 1_048_576

    def most_of(self, account: AccountState) -> int:
        """How many bytes the mailbox of one of the account's devices may hold, whatever else bounds them."""
        # Every account's share is at least that of one with the most devices there may be.
        return self.account_size // min(DEVICES, max(1, len(account.active_devices())))


@attrs.frozen
class RelayConnection:
    """A connection in force: accepted, and not ended. `grant` is what the recipient lets the sender send."""

    request: Hash
    grant: Grant | None


@attrs.frozen
class Prior:
    """Hashes that this device sent before under the same id, and under the same `(to, seq)`, if any."""

    by_id: Hash | None = None
    by_seq: Hash | None = None


_NO_CONTACT: Final = ContactState()
UNUSED: Final = MailboxUsage()
"""What waits for a device of which nothing is known."""


@value
class AdmissionFacts:
    """What the relay knows when it decides on one envelope, all of it looked up by the envelope's header.

    `account` and `device` are the session's; `sender` is that account's log, `recipient` that of the header's
    `to`, None if there is none; `held` are those of both that are held, `suspended` those that the operator
    has suspended. `connection` is between the two agents, `acquainted` whether any agents of the two accounts
    are connected. `contact` is the state of the
    flow from sender to recipient, `reverse` of the other way. `rate` is the flow's, None for one unused.
    `service` is the rate of what no grant names. `usage` is by device, for all that the wraps may name;
    `shares` is what of it is from the sender's account, for devices of another account where that is known.
    """

    account: AccountId
    device: DeviceId
    sender: AccountLog
    recipient: AccountLog | None
    held: frozenset[AccountId] = frozenset()
    connection: RelayConnection | None = None
    acquainted: bool = False
    contact: ContactState = _NO_CONTACT
    reverse: ContactState = _NO_CONTACT
    rate: RateState | None = None
    usage: Mapping[DeviceId, Load] = attrs.field(factory=dict)
    prior: Prior = Prior()
    limits: MailboxLimits = MailboxLimits()
    service: RateState | None = None
    shares: Mapping[DeviceId, Load] = attrs.field(factory=dict)
    suspended: frozenset[AccountId] = frozenset()


@value
class Admitted:
    """Store this: the envelope, an entry for each device, and the states that it changed.

    `rate` and `service` are None and `contacts` empty where nothing was spent, as for an envelope that was
    accepted before.
    """

    envelope: Envelope
    entries: tuple[tuple[DeviceId, bytes], ...]
    rate: RateState | None = None
    contacts: tuple[tuple[Flow, ContactState], ...] = ()
    service: RateState | None = None


Admission = Admitted | Refusal
"""What becomes of one parcel. A refusal's detail helps its sender to do better."""


def read_for_admission(parcel: Parcel, *, now: Instant) -> Envelope:
    """The parcel's envelope, so that the facts for many can be looked up at once; its signature is unchecked.

    Raises RemoteProtocolError: the envelope's codes but bad-key and bad-signature, bad-time and expired.
    """
    envelope = parse_envelope(parcel.envelope)
    check_clock(envelope.header, now)
    return envelope


def admit(envelope: Envelope, wraps: Iterable[Wrap], facts: AdmissionFacts, *, now: Instant) -> Admission:
    """Decide on one envelope that `read_for_admission` gave, with its parcel's wraps.

    The same envelope again (`facts.prior`) is admitted at no cost whatever its permission has become: it was
    accepted, and its sender must not be told otherwise. Never raises for anything that a sender can do.
    """
    try:
        recipient = check_parties(envelope, facts)
        entries = address(envelope, wraps, facts.sender.state, recipient, now)
        if facts.prior.by_id == envelope.hash:
            return Admitted(envelope, entries)
        _check_prior(envelope, facts.prior)
        rate, service = _check_permission(envelope, facts, now)
        entries = _fit(envelope, entries, recipient.state, facts)
        verify_envelope_by_known_key(envelope)
        return Admitted(envelope, entries, rate, _contacts_after(envelope, facts), service)
    except RemoteProtocolError as error:
        return Refusal.of(error)


def _refuse(code: RejectCode, text: str, field: str = "") -> RemoteProtocolError:
    return RemoteProtocolError(code, text, field=field)


# --- Who and where ------------------------------------------------------------------------------------------


def check_parties(envelope: Envelope, facts: AdmissionFacts) -> AccountLog:
    """The recipient's log, once sender and recipient are who they must be."""
    header, state = envelope.header, facts.sender.state
    if envelope.device != facts.device:
        raise _refuse(RejectCode.NOT_YOUR_DEVICE, "signed by another device than this session's")
    if header.from_.account != facts.account:
        raise _refuse(RejectCode.WRONG_SENDER, "from another account than this session's", "from")
    if facts.account in facts.suspended:
        raise _refuse(RejectCode.SUSPENDED, "this relay's operator has suspended the sender", "from")
    if facts.account in facts.held:
        raise _refuse(RejectCode.ACCOUNT_HELD, "the sender's log is forked", "from")
    device = state.devices.get(facts.device)
    if device is None or device.status is not DeviceStatus.ACTIVE:
        raise _refuse(RejectCode.DEVICE_GONE, "this device is active no more")
    if device not in state.serving(header.from_.name):
        raise _refuse(RejectCode.UNKNOWN_AGENT, "this device does not serve that agent", "from")
    recipient = facts.recipient
    if recipient is None or is_channel(header.to) or not recipient.state.serving(header.to.name):
        raise _refuse(RejectCode.UNKNOWN_RECIPIENT, "no such agent here", "to")
    if recipient.account in facts.held:
        raise _refuse(RejectCode.ACCOUNT_HELD, "the recipient's log is forked", "to")
    if not facts.sender.contains(header.log):
        raise _refuse(RejectCode.NOT_AN_EXTENSION, "not a position of the log held", "log")
    return recipient


# --- Whose mailboxes ----------------------------------------------------------------------------------------


def address(
    envelope: Envelope, wraps: Iterable[Wrap], sender: AccountState, recipient: AccountLog, now: Instant
) -> tuple[tuple[DeviceId, bytes], ...]:
    """An entry for each device that a wrap is for. Raises EnvelopeRejected(stale-log)."""
    header = envelope.header
    by_key = {wrap.key: wrap.sealed for wrap in wraps}
    entries: dict[DeviceId, bytes] = {}
    used: set[bytes] = set()
    for device in recipient.state.serving(header.to.name):
        if device.id == envelope.device and header.cls is MessageClass.ACCOUNT:
            continue  # it has no news for itself
        key = _key_for(device, by_key, now)
        if key is None:
            raise _stale(envelope, recipient, "a device of the recipient has no wrap")
        entries[device.id] = by_key[key]
        used.add(key)
    if len(used) < len(by_key):
        for key in by_key.keys() - used:
            owner = sender.device_for_encryption_key(key, now) if header.to.device is None else None
            if owner is not None and owner.id != envelope.device:
                entries.setdefault(owner.id, by_key[key])
            elif not _is_for_one_of(key, recipient.state, entries, now):
                raise _stale(envelope, recipient, "a wrap is for a key of neither side")
    return tuple(entries.items())


def _key_for(device: DeviceState, offered: Mapping[bytes, bytes], now: Instant) -> bytes | None:
    """Which of the offered keys is this device's: the current one, or one replaced less than 30 days ago."""
    if device.record.enc in offered:
        return device.record.enc
    for key, replaced in reversed(device.former):
        if key in offered and now - replaced < LIFETIME_MS:
            return key
    return None


def _is_for_one_of(
    key: bytes, recipient: AccountState, entries: Mapping[DeviceId, bytes], now: Instant
) -> bool:
    """Whether this is a second key, one too many but no fault, of a device that has its entry."""
    owner = recipient.device_for_encryption_key(key, now)
    return owner is not None and owner.id in entries


def _stale(envelope: Envelope, recipient: AccountLog, text: str) -> EnvelopeRejected:
    start = min(envelope.header.to_log.length, recipient.position.length)
    statements = statement_page(recipient.after(start))
    return EnvelopeRejected(
        RejectCode.STALE_LOG, text, field="to_log", detail={"statements": statements, "from": start}
    )


# --- Seen before --------------------------------------------------------------------------------------------


def _check_prior(envelope: Envelope, prior: Prior) -> None:
    """An id or `seq` that was used for something else; only a true signature makes it an accusation."""
    for before, what in ((prior.by_id, "id"), (prior.by_seq, "seq")):
        if before is not None and before != envelope.hash:
            verify_envelope_by_known_key(envelope)
            raise _refuse(RejectCode.EQUIVOCATION, "was used for another envelope", what)


# --- Permission and quota -----------------------------------------------------------------------------------


def _was_written_to(facts: AdmissionFacts) -> bool:
    """Whether the recipient has ever sent the sender something, which a receipt can be for."""
    return facts.contact.answered or facts.reverse != _NO_CONTACT


_Spent = tuple[RateState | None, RateState | None]
"""The states of the flow's rate and of its service rate after an envelope; None where it costs nothing."""
_FREE: Final[_Spent] = (None, None)


def _check_permission(envelope: Envelope, facts: AdmissionFacts, now: Instant) -> _Spent:
    """What the envelope costs, if it may be sent."""
    header = envelope.header
    if header.from_.account == header.to.account:
        return _FREE
    if header.to.account in facts.suspended:
        raise _refuse(RejectCode.SUSPENDED, "this relay's operator has suspended the recipient", "to")
    if header.cls is MessageClass.CONNECTION:
        if facts.connection is not None:
            return None, _serve(facts, now)
        if facts.contact.sent >= CONTACTS:
            raise _refuse(RejectCode.CONTACT_LIMIT, "wait for an answer", "class")
        return _FREE
    if header.cls is MessageClass.RECEIPT:
        if facts.connection is not None:
            return None, _serve(facts, now)
        if not _was_written_to(facts):
            raise _refuse(RejectCode.NOT_CONNECTED, "nothing to give a receipt for", "class")
        # No grant has named a rate yet, and a few answers to a few requests need few receipts.
        return _take(facts.rate, CONTACT_RECEIPTS, now), None
    if header.cls is MessageClass.ACCOUNT:
        if not facts.acquainted:
            raise _refuse(RejectCode.NOT_CONNECTED, "no agents of these accounts are connected", "class")
        return None, _serve(facts, now)
    if facts.connection is None:
        raise _refuse(RejectCode.NOT_CONNECTED, "these agents are not connected", "to")
    return _spend(envelope, facts.connection.grant, facts.rate, now), None


def _serve(facts: AdmissionFacts, now: Instant) -> RateState:
    """One envelope that no grant names. Who may send more than the usual may also say more about it."""
    grant = facts.connection.grant if facts.connection is not None else None
    rate = SERVICE_RATE if grant is None else max(SERVICE_RATE, grant.rate)
    return _take(facts.service, rate, now)


def _spend(envelope: Envelope, grant: Grant | None, held: RateState | None, now: Instant) -> RateState:
    code = permits(grant, envelope.header.cls, len(envelope.raw), now)
    if grant is None or code is not None:
        raise _refuse(code or RejectCode.NOT_PERMITTED, "the recipient does not grant this", "class")
    return _take(held, grant.rate, now)


def _take(held: RateState | None, per_minute: int, now: Instant) -> RateState:
    before = held if held is not None else RateState.full(per_minute, now)
    rate, wait = take(before, per_minute, now)
    if wait:
        raise EnvelopeRejected(
            RejectCode.RATE_LIMITED, f"{per_minute} a minute are allowed", detail={"retry_after": wait}
        )
    return rate


def _fit(
    envelope: Envelope,
    entries: tuple[tuple[DeviceId, bytes], ...],
    recipient: AccountState,
    facts: AdmissionFacts,
) -> tuple[tuple[DeviceId, bytes], ...]:
    """The entries that fit. A full mailbox of the recipient refuses; a copy for the sender's own is left out.

    So the owner of a device that is never switched on can still write to everybody else.
    """
    limits, header = facts.limits, envelope.header
    most, largest = limits.entries, limits.size
    if _is_from_stranger(envelope, facts):
        most, largest = limits.strangers, limits.strangers_size
    fitting = []
    for device, sealed in entries:
        usage = facts.usage.get(device, UNUSED)
        share = facts.shares.get(device, UNUSED)
        entries_taken = usage.count + share.count
        bytes_taken = usage.bytes + share.bytes + len(envelope.raw) + len(sealed)
        owner = recipient if device in recipient.devices else facts.sender.state
        if entries_taken < most and bytes_taken <= largest and bytes_taken <= facts.limits.most_of(owner):
            fitting.append((device, sealed))
        elif any(device == served.id for served in recipient.serving(header.to.name)):
            raise _refuse(RejectCode.MAILBOX_FULL, "the recipient has too much waiting", "to")
    return tuple(fitting)


def _is_from_stranger(envelope: Envelope, facts: AdmissionFacts) -> bool:
    """Whether it is one of the few envelopes that need no connection, and there is none."""
    header = envelope.header
    return (
        facts.connection is None
        and header.cls in (MessageClass.CONNECTION, MessageClass.RECEIPT)
        and header.from_.account != header.to.account
    )


def _contacts_after(envelope: Envelope, facts: AdmissionFacts) -> tuple[tuple[Flow, ContactState], ...]:
    """The contact states that change: one more without an answer this way, an answer the other way."""
    header = envelope.header
    if header.cls is not MessageClass.CONNECTION or header.from_.account == header.to.account:
        return ()
    changed = []
    if facts.connection is None:
        sent = ContactState(facts.contact.sent + 1, facts.contact.answered)
        changed.append((Flow(header.from_, header.to), sent))
    if facts.reverse.sent:
        changed.append((Flow(header.to, header.from_), ContactState(0, answered=True)))
    return tuple(changed)
