"""Owners with one device and one agent, and what they sign: the smallest cast that a relay can serve."""

from __future__ import annotations

import random
from collections.abc import Iterable

import attrs

from taskferry_apps.relay_client import Identity
from taskferry_protocol.accounts import AccountLog, DeviceKeys, create, fold, set_agent
from taskferry_protocol.calls import EndConnection, PutConnection
from taskferry_protocol.connections import (
    ConnectionRequest,
    EndKind,
    read_request,
    sign_accept,
    sign_end,
    sign_request,
)
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.envelope import Parcel, encode_parcel, parse_envelope
from taskferry_protocol.frame_items import Mail
from taskferry_protocol.ids import AgentRef, ConversationId, Entropy, Instant, LogPosition, sha256
from taskferry_protocol.messages import ConnectionEnded, Content, MessageClass, TextMessage
from taskferry_protocol.permissions import Grant, sign_grant
from taskferry_protocol.sealing import Address, Sealed, open_envelope, seal_envelope, wrap_for
from taskferry_protocol.sessions import LogExtension

DAY_MS = 86_400_000
ALL = frozenset({MessageClass.ARTIFACT, MessageClass.MESSAGE, MessageClass.TASK})


def entropy_from(seed: int) -> Entropy:
    """Repeatable randomness."""
    return random.Random(seed).randbytes


@attrs.define
class Person:
    """An owner: the log so far, the keys of one device, and a counter for each peer."""

    name: str
    keys: DeviceKeys
    recovery: SigningKey
    log: AccountLog
    entropy: Entropy
    sequences: dict[AgentRef, int] = attrs.field(factory=dict)

    @property
    def agent(self) -> AgentRef:
        """The one agent, called `agent`."""
        return AgentRef(self.log.account, "agent")

    @property
    def identity(self) -> Identity:
        """As which the device dials."""
        return Identity(self.log.account, self.keys.signing)

    @property
    def extension(self) -> LogExtension:
        """All statements."""
        return LogExtension(0, self.log.statements)

    @property
    def manage(self) -> SigningKey:
        """The device's manage key."""
        assert self.keys.manage is not None
        return self.keys.manage

    def next_seq(self, to: AgentRef) -> int:
        """The next number towards an agent."""
        self.sequences[to] = self.sequences.get(to, 0) + 1
        return self.sequences[to]


def person(name: str, seed: int, now: Instant) -> Person:
    """An owner whose device serves the agent `agent`."""
    entropy = entropy_from(seed)
    keys = DeviceKeys.generate_managing("laptop", entropy)
    recovery = SigningKey.from_seed(entropy(32))
    log = fold([create(name, keys, recovery, at=now)])
    assert keys.manage is not None
    log = log.extend([set_agent(log.state, "agent", [keys.id], at=now, by=keys.manage)])
    return Person(name, keys, recovery, log, entropy)


@attrs.frozen
class Sent:
    """A parcel, and what its sender keeps of it."""

    parcel: bytes
    sealed: Sealed

    @property
    def hash(self) -> bytes:
        """The envelope's hash."""
        return self.sealed.envelope.hash


def seal(
    sender: Person,
    recipient: Person,
    text: str,
    now: Instant,
    *,
    seq: int | None = None,
    life_ms: int = DAY_MS,
    log: LogPosition | None = None,
    to_log: LogPosition | None = None,
    wraps_for: Iterable[bytes] | None = None,
    to: AgentRef | None = None,
) -> Sent:
    """A text for the recipient's agent."""
    content = Content(TextMessage(text), conv=ConversationId(bytes(16)))
    address = Address(
        from_=sender.agent,
        to=to or recipient.agent,
        seq=seq or sender.next_seq(recipient.agent),
        log=log or sender.log.position,
        to_log=to_log or recipient.log.position,
    )
    keys = wraps_for or [d.record.enc for d in recipient.log.state.serving("agent")]
    return seal_content(sender, recipient, content, address, now, life_ms=life_ms, wraps_for=keys)


def seal_content(
    sender: Person,
    recipient: Person,
    content: Content,
    address: Address,
    now: Instant,
    *,
    life_ms: int = DAY_MS,
    wraps_for: Iterable[bytes] | None = None,
) -> Sent:
    """Any content, for every device that serves what the address names."""
    sealed = seal_envelope(
        content,
        address,
        created_at=now,
        expires_at=Instant(now + life_ms),
        device_key=sender.keys.signing,
        entropy=sender.entropy,
    )
    return wrap(sender, recipient, sealed, address.to.name, wraps_for)


def wrap(
    sender: Person,
    recipient: Person,
    sealed: Sealed,
    agent: str = "agent",
    wraps_for: Iterable[bytes] | None = None,
) -> Sent:
    """A parcel of an envelope, for the devices that serve the agent by the recipient's log as it is now."""
    keys = wraps_for or [d.record.enc for d in recipient.log.state.serving(agent)]
    parcel = Parcel(sealed.envelope.raw, wrap_for(sealed.key, keys, sender.entropy))
    return Sent(encode_parcel(parcel), sealed)


def seal_raw(sender: Person, recipient: Person, now: Instant) -> Sent:
    """Something of class `connection`: what is inside, no relay sees."""
    content = Content(ConnectionEnded(b"an end", ""), conv=ConversationId(bytes(16)))
    address = Address(
        from_=sender.agent,
        to=recipient.agent,
        seq=sender.next_seq(recipient.agent),
        log=sender.log.position,
        to_log=recipient.log.position,
    )
    return seal_content(sender, recipient, content, address, now)


def read_text(recipient: Person, entry: Mail) -> str:
    """What a delivered text says."""
    opened = open_envelope(parse_envelope(entry.envelope), entry.sealed, [recipient.keys.encryption])
    assert isinstance(opened.content.body, TextMessage)
    return opened.content.body.text


def connect(
    one: Person,
    other: Person,
    now: Instant,
    *,
    rate: int = 1_000_000,
    classes: frozenset[MessageClass] = ALL,
    largest: int = 262_144,
) -> PutConnection:
    """The call that connects both agents, each granting the other the same."""
    raw = sign_request(
        one.agent,
        other.agent,
        at=now,
        expires_at=Instant(now + DAY_MS),
        nonce=one.entropy(16),
        log=one.log.position,
        by=one.manage,
    )
    request = read_request(raw, one.log)
    accept = sign_accept(request, at=now, log=other.log.position, by=other.manage)
    grants = [
        grant(grantor, request, now, rate=rate, classes=classes, largest=largest) for grantor in (one, other)
    ]
    return PutConnection(raw, accept, tuple(grants))


def end(
    who: Person, request: ConnectionRequest, now: Instant, kind: EndKind = EndKind.REVOKED
) -> EndConnection:
    """The call by which one of both ends their connection."""
    return EndConnection(sign_end(request, who.agent, kind, at=now, log=who.log.position, by=who.manage))


def grant(
    grantor: Person,
    request: ConnectionRequest,
    now: Instant,
    *,
    rate: int = 1_000_000,
    classes: frozenset[MessageClass] = ALL,
    largest: int = 262_144,
    before: Grant | None = None,
) -> bytes:
    """What the grantor lets the other agent of the request send."""
    return sign_grant(
        request,
        grantor.agent,
        before=before,
        at=now,
        until=None,
        classes=classes,
        rate=rate,
        largest=largest,
        terms=sha256(b"terms"),
        log=grantor.log.position,
        by=grantor.manage,
    )
