"""The owners that a benchmark needs: each with one device and one agent, the same in every process.

Everything follows from a number and a time, so that a process is told which owners to play, not their keys.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import attrs
import cbor2

from taskferry_apps.relay_client import Identity
from taskferry_protocol.accounts import AccountLog, DeviceKeys, create, fold, set_agent
from taskferry_protocol.calls import PutConnection
from taskferry_protocol.connections import read_request, sign_accept, sign_request
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.envelope import Parcel, encode_parcel
from taskferry_protocol.ids import AgentRef, ConversationId, Entropy, Instant, sha256
from taskferry_protocol.messages import Content, MessageClass, TextMessage
from taskferry_protocol.permissions import sign_grant
from taskferry_protocol.sealing import Address, Sealed, seal_envelope, wrap_for
from taskferry_protocol.sessions import LogExtension

__all__ = ["PAYLOAD_BYTES", "Owner", "connect", "make_owner", "read_parcels", "seal_text", "write_parcels"]

PAYLOAD_BYTES = 1_024
AGENT = "agent"
DAY_MS = 86_400_000
#: Messages a minute that a grant allows: what is measured is the relay, not its brake.
RATE = 1_000_000
MESSAGES = frozenset({MessageClass.MESSAGE})
CONVERSATION = ConversationId(bytes(16))


@attrs.frozen
class Owner:
    """An owner whose one device serves one agent."""

    keys: DeviceKeys
    manage: SigningKey
    log: AccountLog
    entropy: Entropy

    @property
    def agent(self) -> AgentRef:
        """The agent."""
        return AgentRef(self.log.account, AGENT)

    @property
    def identity(self) -> Identity:
        """As which the device dials."""
        return Identity(self.log.account, self.keys.signing)

    @property
    def extension(self) -> LogExtension:
        """The whole log, for a relay that has none of it."""
        return LogExtension(0, self.log.statements)


def make_owner(number: int, now: Instant) -> Owner:
    """Owner `number`, whose log was written at `now`."""
    entropy = random.Random(number).randbytes
    keys = DeviceKeys.generate_managing("bench", entropy)
    assert keys.manage is not None
    recovery = SigningKey.from_seed(entropy(32))
    log = fold([create(f"owner{number}", keys, recovery, at=now)])
    log = log.extend([set_agent(log.state, AGENT, [keys.id], at=now, by=keys.manage)])
    return Owner(keys, keys.manage, log, entropy)


def connect(
    one: Owner, other: Owner, now: Instant, classes: frozenset[MessageClass] = MESSAGES
) -> PutConnection:
    """The call that connects the agents of both, each granting the other messages of these classes."""
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
    grants = tuple(
        sign_grant(
            request,
            grantor.agent,
            before=None,
            at=now,
            until=None,
            classes=classes,
            rate=RATE,
            largest=262_144,
            terms=sha256(b"terms"),
            log=grantor.log.position,
            by=grantor.manage,
        )
        for grantor in (one, other)
    )
    return PutConnection(raw, accept, grants)


def seal_text(sender: Owner, recipient: Owner, seq: int, now: Instant) -> tuple[bytes, Sealed]:
    """A parcel with a text of 1 KiB that differs each time, and what its sender keeps of it."""
    content = Content(TextMessage(f"{seq:08d}".ljust(PAYLOAD_BYTES, "x")), conv=CONVERSATION)
    address = Address(
        from_=sender.agent,
        to=recipient.agent,
        seq=seq,
        log=sender.log.position,
        to_log=recipient.log.position,
    )
    sealed = seal_envelope(
        content,
        address,
        created_at=now,
        expires_at=Instant(now + DAY_MS),
        device_key=sender.keys.signing,
        entropy=sender.entropy,
    )
    wraps = wrap_for(sealed.key, [recipient.keys.encryption.public], sender.entropy)
    return encode_parcel(Parcel(sealed.envelope.raw, wraps)), sealed


def write_parcels(path: Path, parcels: Sequence[Sequence[bytes]]) -> None:
    """Keep sealed parcels, a list for each sender, so that every run sends the same bytes."""
    path.write_bytes(cbor2.dumps(parcels))


def read_parcels(path: Path) -> list[list[bytes]]:
    """What `write_parcels` kept."""
    parcels: list[list[bytes]] = cbor2.loads(path.read_bytes())
    return parcels
