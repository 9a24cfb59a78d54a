"""Messages that open, change and end a connection. The statements inside are signed on their own."""

from __future__ import annotations

import attrs

from ..cbor import Value
from ..ids import Instant
from ..limits import CONTACT_NOTE_BYTES
from ..shape import MapReader
from .base import Body, MessageClass, Presence, Wire
from .fields import instant, octets, prose, statements

__all__ = ["ConnectionAccepted", "ConnectionEnded", "ConnectionRequested", "GrantUpdated", "InviteProof"]


@attrs.frozen
class InviteProof:
    """What binds the secret of an invite to one connection request (spec/identity.md section 8)."""

    id: bytes
    mac: bytes

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"id": self.id, "mac": self.mac}


def _invite(value: Value, field: str) -> InviteProof:
    reader = MapReader(value, field, ("id", "mac"))
    return InviteProof(reader.bytes("id", size=16), reader.bytes("mac", size=32))


@attrs.frozen
class ConnectionRequested(Body):
    """Ask to be connected: the signed request, a grant for the way back, and who is asking."""

    type_name = "connection_request"
    message_class = MessageClass.CONNECTION
    wire = (
        Wire("statement", octets),
        Wire("grant", octets),
        Wire("terms", octets),
        Wire("note", prose(most=CONTACT_NOTE_BYTES)),
        Wire("log", statements()),
        Wire("invite", _invite, Presence.OPTIONAL),
    )

    statement: bytes
    grant: bytes
    terms: bytes
    note: str
    log: tuple[bytes, ...]
    invite: InviteProof | None = None


@attrs.frozen
class ConnectionAccepted(Body):
    """Consent to a request: the signed acceptance, and what the requester may send from now on."""

    type_name = "connection_accept"
    message_class = MessageClass.CONNECTION
    wire = (
        Wire("statement", octets),
        Wire("grant", octets),
        Wire("terms", octets),
        Wire("log", statements()),
    )

    statement: bytes
    grant: bytes
    terms: bytes
    log: tuple[bytes, ...]


@attrs.frozen
class ConnectionEnded(Body):
    """Decline a request, or end a connection. `again` says from when on a declined agent may ask again."""

    type_name = "connection_end"
    message_class = MessageClass.CONNECTION
    wire = (
        Wire("statement", octets),
        Wire("reason", prose(most=CONTACT_NOTE_BYTES)),
        Wire("again", instant, Presence.OPTIONAL),
    )

    statement: bytes
    reason: str
    again: Instant | None = None


@attrs.frozen
class GrantUpdated(Body):
    """A newer grant for the other side, with its terms."""

    type_name = "grant_update"
    message_class = MessageClass.CONNECTION
    wire = (Wire("grant", octets), Wire("terms", octets))

    grant: bytes
    terms: bytes
