"""The daemon's decision on one delivered envelope: everything is checked again, for the relay is not trusted.

Pure: facts in, decision out. Every envelope ends in a state: applied, quarantined or duplicate; only one
whose sender's log has to be fetched first waits, and no longer than until the directory has been asked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs

from .account_state import DeviceStatus
from .accounts import AccountLog, admits_device
from .crypto import EncryptionKey
from .envelope import Envelope, check_life, parse_envelope, verify_envelope, verify_envelope_by_known_key
from .errors import RejectCode, RemoteProtocolError
from .former import check_same_agents
from .header import Header
from .ids import AccountId, DeviceId, Hash, Instant, sha256
from .limits import CONTACTS
from .messages import (
    AccountUpdate,
    ArtifactSubmit,
    ConnectionAccepted,
    ConnectionRequested,
    MessageClass,
    TaskRequest,
    parts_size,
)
from .messages.base import Body
from .permissions import Grant, Terms, permits
from .rates import RateState, take_by_either
from .records import Seen
from .sealing import Opened, open_envelope
from .values import value

__all__ = [
    "Apply",
    "Decision",
    "Directory",
    "Duplicate",
    "InboundFacts",
    "NeedLog",
    "OfferedLog",
    "Quarantine",
    "Relation",
    "SeqGap",
    "Standing",
    "read_inbound",
    "receive",
]


#: Faults of the 80 bytes that nobody signs, and of logs that are kept back or not settled yet.
_PASSING: Final = frozenset(
    {
        RejectCode.NO_WRAP,
        RejectCode.BAD_WRAP,
        RejectCode.BAD_COMMIT,
        RejectCode.UNKNOWN_ACCOUNT,
        RejectCode.NOT_AN_EXTENSION,
        RejectCode.ACCOUNT_HELD,
    }
)


class Relation(StrEnum):
    """How my agent stands to the agent that sent something."""

    STRANGER = "stranger"
    UNDER_WAY = "under_way"
    CONNECTED = "connected"
    BLOCKED = "blocked"


class Directory(StrEnum):
    """Whether anybody can still be asked for a log, or has been asked already without success."""

    OPEN = "open"
    EXHAUSTED = "exhausted"


class Standing(StrEnum):
    """Why this device has it: it serves the recipient, or another device of its owner sent it."""

    RECIPIENT = "recipient"
    COPY = "copy"


@value
class InboundFacts:
    """What the daemon knows when it decides on one envelope, looked up by the envelope's header.

    `mine` is the owner's own log, `keys` this device's encryption keys, current first; `sender` the newest
    log held of the account in `from` (`mine` if that is the owner's own). `relation`, `grant` and `terms` are
    those of the two agents, the grant being the one that mine gave; no terms means the least. `rate` and
    `arrived` are what is left of its rate, by when things were written and by when they came; None: all.
    `unanswered` counts what the sender sent of class connection since mine last sent one. `open_tasks` counts
    the sender's tasks with mine that are not final. `closed_until` is from when on a declined agent may ask
    again. `highest_seq` is the highest `seq` seen of this device to this `to`, None for none yet. `caught_up`
    is when this device last held all that the relay had for it; None: it holds it now. `own`
    says whether the relay can still be asked for the owner's own log. `carrier` is what brings the envelope
    once more, after its own time: that one's time counts instead.
    """

    mine: AccountLog
    device: DeviceId
    keys: tuple[EncryptionKey, ...] = attrs.field(repr=False)
    sender: AccountLog | None
    held: frozenset[AccountId] = frozenset()
    relation: Relation = Relation.STRANGER
    acquainted: bool = False
    grant: Grant | None = None
    terms: Terms | None = None
    rate: RateState | None = None
    arrived: RateState | None = None
    unanswered: int = 0
    closed_until: Instant | None = None
    open_tasks: int = 0
    seen: Seen = attrs.field(factory=Seen)
    highest_seq: int | None = None
    caught_up: Instant | None = None
    directory: Directory = Directory.OPEN
    own: Directory = Directory.EXHAUSTED
    carrier: Header | None = None


@attrs.frozen
class SeqGap:
    """Numbers that this device has not seen: late, lost, or kept back. A fact for the owner, not a fault."""

    first: int
    last: int


@value
class Apply:
    """Take it. `rate` and `arrived` are the rate's states after it, None where no rate applies."""

    envelope: Envelope
    opened: Opened
    standing: Standing
    rate: RateState | None = None
    arrived: RateState | None = None
    missing: SeqGap | None = None


@attrs.frozen
class Quarantine:
    """Keep it, show it to the owner, acknowledge it; it has no effect.

    `envelope` is None where its signature did not hold: then nothing that it says is proven, and its id and
    `seq` are not to be remembered as seen. `opened` is there where it could be opened.
    """

    hash: Hash
    code: RejectCode
    text: str
    envelope: Envelope | None = None
    opened: Opened | None = None

    @property
    def lasts(self) -> bool:
        """Whether it is remembered as seen, and its sender told: the same envelope fares no better later.

        Not what a relay can bring about, or time mend: it is then decided on afresh when it comes again.
        """
        return self.envelope is not None and self.code not in _PASSING


@attrs.frozen
class Duplicate:
    """It was decided on before, with this outcome and code; nothing happens but that outcome's receipt."""

    envelope: Envelope
    outcome: str
    code: str


@attrs.frozen
class OfferedLog:
    """Statements that the envelope itself brings, from index `start` on. Nothing about them is believed."""

    start: int
    statements: tuple[bytes, ...]


@attrs.frozen
class NeedLog:
    """Set it aside, take or fetch the account's statements from `start` on, then decide again.

    If they cannot be had, decide with `Directory.EXHAUSTED`.
    """

    envelope: Envelope
    account: AccountId
    start: int
    offered: OfferedLog | None = None


Decision = Apply | Quarantine | Duplicate | NeedLog
"""What becomes of one delivered envelope."""


def read_inbound(raw: bytes) -> Envelope | Quarantine:
    """The envelope in delivered bytes, so that the facts can be looked up; nothing is believed yet."""
    try:
        return parse_envelope(raw)
    except RemoteProtocolError as error:
        return Quarantine(sha256(raw), error.code, error.text)


def receive(envelope: Envelope, sealed: bytes, facts: InboundFacts, *, now: Instant) -> Decision:
    """Decide on what `read_inbound` gave, with the 80 bytes that the mailbox held for this device.

    Never raises for anything that a sender or relay can do.
    """
    before = facts.seen.by_id
    if before is not None and before.hash == envelope.hash:
        return Duplicate(envelope, before.outcome, before.code)
    try:
        _check_signature(envelope, facts)
    except RemoteProtocolError as error:
        return Quarantine(envelope.hash, error.code, error.text)
    opened: Opened | None = None
    try:
        check_life(envelope.header, facts.carrier, now)
        if _is_news_of_mine(envelope, facts):
            return NeedLog(envelope, facts.mine.account, facts.mine.state.length)
        standing = _standing(envelope, facts)
        need = _check_sender(envelope, sealed, facts)
        if need is not None:
            return need
        check_same_agents(envelope.header, facts.mine, facts.sender)
        _check_seen(envelope, facts.seen)
        opened = open_envelope(envelope, sealed, facts.keys)
        rate = _check_permission(envelope, opened.content.body, facts, now)
    except RemoteProtocolError as error:
        return Quarantine(envelope.hash, error.code, error.text, envelope, opened)
    written, arrived = rate if rate is not None else (None, None)
    missing = _gap(envelope.header.seq, facts.highest_seq)
    return Apply(envelope, opened, standing, written, arrived, missing)


def _refuse(code: RejectCode, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(code, text)


def _check_signature(envelope: Envelope, facts: InboundFacts) -> None:
    if facts.sender is not None and envelope.device in facts.sender.state.devices:
        verify_envelope_by_known_key(envelope)
    else:
        verify_envelope(envelope)


def _is_news_of_mine(envelope: Envelope, facts: InboundFacts) -> bool:
    """Whether a peer knows of an agent that this device serves, and the own log held here does not, yet."""
    to, mine = envelope.header.to, facts.mine
    if facts.own is Directory.EXHAUSTED or envelope.header.from_.account == mine.account:
        return False
    serves = any(device.id == facts.device for device in mine.state.serving(to.name))
    return to.account == mine.account and not serves


def _standing(envelope: Envelope, facts: InboundFacts) -> Standing:
    """Whether this is for me. A relay that delivers to the wrong device is found out here."""
    header, mine = envelope.header, facts.mine
    serving = mine.state.serving(header.to.name) if header.to.account == mine.account else ()
    if any(device.id == facts.device for device in serving):
        return Standing.RECIPIENT
    # What is for one device alone has no copies.
    if header.from_.account == mine.account and header.to.device is None:
        return Standing.COPY
    raise _refuse(RejectCode.WRONG_RECIPIENT, "for an agent that this device does not serve")


def _check_sender(envelope: Envelope, sealed: bytes, facts: InboundFacts) -> NeedLog | None:
    """Whether the device may speak for the agent by the log that counts; or which log is needed first."""
    header, log = envelope.header, facts.sender
    held = header.from_.account in facts.held
    if facts.mine.account in facts.held and header.from_.account != facts.mine.account:
        raise _refuse(RejectCode.ACCOUNT_HELD, "the owner's own log is forked")
    if log is None:
        # Whoever is not known has nothing to say but that it wants to be: no stranger makes us fetch logs.
        if header.cls is not MessageClass.CONNECTION:
            raise _refuse(RejectCode.NOT_CONNECTED, "from an account that is not known here")
        return _need(envelope, sealed, facts, 0, RejectCode.UNKNOWN_ACCOUNT)
    otherwise = RejectCode.ACCOUNT_HELD if held else RejectCode.NOT_AN_EXTENSION
    try:
        admits_device(log, envelope.device, header.log)
    except RemoteProtocolError as error:
        if error.code is RejectCode.STALE_LOG:
            return _need(envelope, sealed, facts, log.state.length, otherwise)
        if error.code is RejectCode.NOT_AN_EXTENSION:
            # Another branch: the pinned one may be a thief's, and this the owner's recovery.
            return _need(envelope, sealed, facts, 0, otherwise)
        raise
    if held:
        raise _refuse(RejectCode.ACCOUNT_HELD, "an account whose log is forked")
    # One that has retired serves nobody any more; what it sent before it left counts as of then.
    retired = log.state.devices[envelope.device].status is DeviceStatus.RETIRED
    length = header.log.length if retired else log.state.length
    if not log.served_at(envelope.device, header.from_.name, length):
        raise _refuse(RejectCode.UNKNOWN_AGENT, "signed by a device that does not serve that agent")
    return None


def _need(
    envelope: Envelope, sealed: bytes, facts: InboundFacts, start: int, otherwise: RejectCode
) -> NeedLog:
    if facts.directory is Directory.EXHAUSTED:
        raise _refuse(otherwise, "the log that it quotes cannot be had")
    offered = _offered(envelope, sealed, facts)
    return NeedLog(envelope, envelope.header.from_.account, start, offered)


def _offered(envelope: Envelope, sealed: bytes, facts: InboundFacts) -> OfferedLog | None:
    try:
        body = open_envelope(envelope, sealed, facts.keys).content.body
    except RemoteProtocolError:
        return None
    match body:
        case ConnectionRequested() | ConnectionAccepted():
            return OfferedLog(0, body.log)
        case AccountUpdate():
            return OfferedLog(body.start, body.statements)
        case _:
            return None


def _check_seen(envelope: Envelope, seen: Seen) -> None:
    for before, what in ((seen.by_id, "id"), (seen.by_seq, "seq")):
        if before is not None and before.hash != envelope.hash:
            raise _refuse(RejectCode.EQUIVOCATION, f"its {what} was used for another envelope")


# --- Permission ---------------------------------------------------------------------------------------------

#: What a grant allows whose terms are not here: the defaults are the least.
_LEAST: Final = Terms(bytes(16))


def _check_permission(
    envelope: Envelope, body: Body, facts: InboundFacts, now: Instant
) -> tuple[RateState, RateState] | None:
    """The rate's states after this message, written and arrived, or None where no rate applies."""
    header = envelope.header
    if header.from_.account == facts.mine.account:
        return None
    if header.cls is MessageClass.ACCOUNT:
        if not facts.acquainted:
            raise _refuse(RejectCode.NOT_CONNECTED, "no agents of these accounts are connected")
        return None
    if facts.relation is Relation.BLOCKED:
        raise _refuse(RejectCode.NOT_PERMITTED, "the owner has blocked this agent")
    if header.cls is MessageClass.CONNECTION:
        # One request more is one more question to the owner, also from a friend; a grant or an end is none.
        asks = isinstance(body, ConnectionRequested) or facts.relation is not Relation.CONNECTED
        if asks and facts.unanswered >= CONTACTS:
            raise _refuse(RejectCode.CONTACT_LIMIT, "has not waited for an answer")
        closed = facts.closed_until
        asks_again = isinstance(body, ConnectionRequested) and body.invite is None
        if asks_again and closed is not None and now < closed:
            raise _refuse(RejectCode.CONTACT_LIMIT, f"declined, and may ask again from {closed} on")
        return None
    if header.cls is MessageClass.RECEIPT:
        if facts.relation is Relation.STRANGER:
            raise _refuse(RejectCode.NOT_CONNECTED, "a receipt from a stranger")
        return None
    if facts.relation is not Relation.CONNECTED:
        raise _refuse(RejectCode.NOT_CONNECTED, "these agents are not connected")
    return _spend(envelope, body, facts, now)


def _spend(envelope: Envelope, body: Body, facts: InboundFacts, now: Instant) -> tuple[RateState, RateState]:
    grant, terms = facts.grant, facts.terms or _LEAST
    code = permits(grant, envelope.header.cls, len(envelope.raw), now)
    if grant is None or code is not None:
        raise _refuse(code or RejectCode.NOT_PERMITTED, "not granted: class, size or time")
    if isinstance(body, ArtifactSubmit) and parts_size(body.parts) > terms.largest_artifact:
        raise _refuse(RejectCode.NOT_PERMITTED, f"larger than {terms.largest_artifact} bytes")
    if isinstance(body, TaskRequest) and facts.open_tasks >= terms.task_budget:
        raise _refuse(RejectCode.NOT_PERMITTED, f"more open tasks than granted ({terms.task_budget})")
    caught_up = now if facts.caught_up is None else facts.caught_up
    clocks = (facts.rate, facts.arrived)
    spent = take_by_either(
        clocks, grant.rate, written=envelope.header.created_at, now=now, caught_up=caught_up
    )
    if spent is None:
        raise _refuse(RejectCode.RATE_LIMITED, f"more than {grant.rate} a minute")
    return spent


def _gap(seq: int, highest: int | None) -> SeqGap | None:
    if highest is None or seq <= highest + 1:
        return None
    return SeqGap(highest + 1, seq - 1)
