"""Two owners, each with an agent, connected and granting; what admission and inbound are tested against."""

from __future__ import annotations

from collections.abc import Sequence

from taskferry_protocol.connections import ConnectionRequest, read_request, sign_request
from taskferry_protocol.crypto import EncryptionKey, SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.envelope import Parcel
from taskferry_protocol.ids import AgentRef, ConversationId, Hash, Instant, LogPosition, sha256
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import (
    AccountUpdate,
    ArtifactSubmit,
    ConnectionRequested,
    Content,
    MessageClass,
    Outcome,
    Receipt,
    ReceiptItem,
    TaskRequest,
    TextMessage,
    TextPart,
)
from taskferry_protocol.permissions import GRANTABLE, Grant, Terms, encode_terms, read_grant, sign_grant
from taskferry_protocol.sealing import Address, Sealed, seal_envelope, wrap_for

from .owners import NOW, Owner, entropy_of, plain_device

MINUTE = 60_000
DAY = 86_400_000
CONV = ConversationId(b"conversation one")
TERMS = Terms(b"s" * 16, task_budget=3, largest_artifact=1_000)


def hash_of(terms: Terms) -> Hash:
    """The hash by which a grant names terms."""
    return sha256(encode_terms(terms))


class World:
    """Alice (a laptop and a phone, agent `coder` on both) and Bob (a laptop, agent `tester`), connected."""

    def __init__(self) -> None:
        self.alice, self.bob = Owner("alice"), Owner("bob")
        self.phone = plain_device("alice phone")
        self.alice.add(self.phone)
        self.alice.serve("coder", self.alice.laptop, self.phone)
        self.bob.serve("tester", self.bob.laptop)
        self.coder, self.tester = self.alice.agent("coder"), self.bob.agent("tester")
        self.request = self.asked()
        self.grant = self.granted()
        self._drawn = 0

    def asked(self) -> ConnectionRequest:
        """Alice's signed request."""
        raw = sign_request(
            self.coder,
            self.tester,
            at=NOW,
            expires_at=Instant(NOW + DAY),
            nonce=bytes(16),
            log=self.alice.log.position,
            by=self.alice.manage,
        )
        return read_request(raw, self.alice.log)

    def granted(
        self,
        *,
        classes: frozenset[MessageClass] = GRANTABLE,
        rate: int = 60,
        largest: int = 100_000,
        until: Instant | None = None,
        terms: Terms = TERMS,
    ) -> Grant:
        """What Bob's tester lets Alice's coder send."""
        raw = sign_grant(
            self.request,
            self.tester,
            before=None,
            at=NOW,
            until=until,
            classes=classes,
            rate=rate,
            largest=largest,
            terms=hash_of(terms),
            log=self.bob.log.position,
            by=self.bob.manage,
        )
        return read_grant(raw, self.bob.log)

    def sealed(
        self,
        content: Content,
        *,
        seq: int = 1,
        from_: AgentRef | None = None,
        to: AgentRef | None = None,
        by: SigningKey | None = None,
        log: LogPosition | None = None,
        to_log: LogPosition | None = None,
        at: Instant = NOW,
        expires_at: Instant | None = None,
    ) -> Sealed:
        """An envelope from Alice's laptop to Bob's tester, unless told otherwise; each one is another."""
        self._drawn += 1
        sender, recipient = from_ or self.coder, to or self.tester
        if content.body.message_class is MessageClass.ACCOUNT:
            sender = AgentRef(sender.account, "")
            recipient = recipient if recipient.device is not None else AgentRef(recipient.account, "")
        return seal_envelope(
            content,
            Address(sender, recipient, seq, log or self.alice.log.position, to_log or self.bob.log.position),
            created_at=at,
            expires_at=expires_at or Instant(at + DAY),
            device_key=by or self.alice.laptop.signing,
            entropy=entropy_of(f"sealed {self._drawn}"),
        )


def parcel_of(sealed: Sealed, *keys: bytes) -> Parcel:
    """The envelope with its key wrapped for these X25519 keys."""
    return Parcel(sealed.envelope.raw, wrap_for(sealed.key, keys, entropy_of("wraps")))


def wrap_of(sealed: Sealed, key: EncryptionKey) -> bytes:
    """The 80 bytes that a mailbox hands to the holder of this key."""
    return wrap_for(sealed.key, [key.public], entropy_of("wrap"))[0].sealed


def keys_of(*devices: DeviceKeys) -> Sequence[bytes]:
    """The encryption keys that parcels for these devices name."""
    return [device.encryption.public for device in devices]


def said(text: str = "good morning") -> Content:
    """A plain message."""
    return Content(TextMessage(text), CONV)


def asked_for(title: str = "Tidy up") -> Content:
    """A task request."""
    return Content(TaskRequest(title, ""), CONV, link=TaskLink(None, 0, None, Seen(0, None)))


def submitted(text: str = "done") -> Content:
    """An artifact of as many bytes as its text."""
    link = TaskLink(Hash(b"t" * 32), 1, Hash(b"p" * 32), Seen(1, Hash(b"t" * 32)))
    return Content(ArtifactSubmit("", (TextPart(text),), 0), CONV, link=link)


def receipted() -> Content:
    """A receipt."""
    return Content(Receipt((ReceiptItem(Hash(b"r" * 32), Outcome.APPLIED),)), CONV)


def introduced(world: World) -> Content:
    """Alice's request for a connection, with her log."""
    return Content(
        ConnectionRequested(world.request.raw, b"", b"", "hello", world.alice.log.statements), CONV
    )


def updated(world: World, start: int = 0) -> Content:
    """Alice's log from an index on."""
    return Content(AccountUpdate(world.alice.log.after(start), start), CONV)
