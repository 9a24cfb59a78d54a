"""What a relay answers to calls (spec/session.md section 8); whoever asked believes none of it unverified."""

from __future__ import annotations

from typing import Final

import attrs

from .cbor import Value
from .errors import RejectCode, RemoteProtocolError
from .frame_items import as_statements
from .ids import AccountId, LogPosition
from .shape import MapReader, as_array, as_bytes

__all__ = [
    "PRESENCE_AGENTS",
    "SHOWN_CONNECTIONS",
    "AccountFound",
    "CallAnswer",
    "CardFound",
    "ConnectionsFound",
    "Done",
    "InviteFound",
    "LogAppended",
    "PresenceFound",
    "ShownConnection",
]

#: One question about presence is about the people on one screen.
PRESENCE_AGENTS: Final = 64
#: Connections in one answer: with all that belongs to them they fit in a frame.
SHOWN_CONNECTIONS: Final = 32
#: Grants of one connection: the rivals of one version, in both directions.
SHOWN_GRANTS: Final = 16


@attrs.frozen
class Done:
    """It is stored; there is nothing to say about it."""

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {}

    @classmethod
    def read(cls, value: Value) -> Done:
        """Read the result map."""
        MapReader(value, "result", ())
        return cls()


@attrs.frozen
class AccountFound:
    """Statements of an account's log from index `start` on: as many as fit, none when there are no more."""

    account: AccountId
    start: int
    statements: tuple[bytes, ...] = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"account": self.account, "from": self.start, "statements": [*self.statements]}

    @classmethod
    def read(cls, value: Value) -> AccountFound:
        """Read the result map."""
        reader = MapReader(value, "result", ("account", "from", "statements"))
        account = AccountId(reader.bytes("account", size=32))
        return cls(account, reader.uint("from"), reader.read("statements", as_statements))


@attrs.frozen
class LogAppended:
    """The log's position after the statements were appended."""

    log: LogPosition

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"log": [self.log.length, self.log.head]}

    @classmethod
    def read(cls, value: Value) -> LogAppended:
        """Read the result map."""
        return cls(MapReader(value, "result", ("log",)).position("log"))


@attrs.frozen
class CardFound:
    """An agent's card as it was signed."""

    card: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"card": self.card}

    @classmethod
    def read(cls, value: Value) -> CardFound:
        """Read the result map."""
        return cls(MapReader(value, "result", ("card",)).bytes("card"))


@attrs.frozen
class InviteFound:
    """An invite as it was signed."""

    invite: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"invite": self.invite}

    @classmethod
    def read(cls, value: Value) -> InviteFound:
        """Read the result map."""
        return cls(MapReader(value, "result", ("invite",)).bytes("invite"))


@attrs.frozen
class PresenceFound:
    """For each agent asked about, in that order, whether a device that serves it has a session."""

    online: tuple[bool, ...]

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"online": [*self.online]}

    @classmethod
    def read(cls, value: Value) -> PresenceFound:
        """Read the result map."""
        reader = MapReader(value, "result", ("online",))
        items = reader.array("online", least=1, most=PRESENCE_AGENTS)
        return cls(tuple([_as_truth(item, "result.online") for item in items]))


@attrs.frozen
class ShownConnection:
    """A connection as a relay holds it, each part as signed; `end` is empty while it lasts.

    `grants` has, for either direction, those of the highest version.
    """

    request: bytes = attrs.field(repr=False)
    accept: bytes = attrs.field(repr=False)
    end: bytes = attrs.field(repr=False)
    grants: tuple[bytes, ...] = attrs.field(repr=False)


@attrs.frozen
class ConnectionsFound:
    """Connections of the caller's account by the hash of their request, rising; none when no more come."""

    connections: tuple[ShownConnection, ...]

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"connections": [[c.request, c.accept, c.end, [*c.grants]] for c in self.connections]}

    @classmethod
    def read(cls, value: Value) -> ConnectionsFound:
        """Read the result map."""
        reader = MapReader(value, "result", ("connections",))
        items = reader.array("connections", most=SHOWN_CONNECTIONS)
        return cls(tuple([_as_connection(item, "result.connections") for item in items]))


def _as_connection(item: Value, field: str) -> ShownConnection:
    parts = as_array(item, field, least=4, most=4)
    request, accept, end = (as_bytes(part, field) for part in parts[:3])
    grants = as_array(parts[3], field, most=SHOWN_GRANTS)
    return ShownConnection(request, accept, end, tuple([as_bytes(grant, field) for grant in grants]))


def _as_truth(value: Value, field: str) -> bool:
    if type(value) is not bool:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "true or false expected", field=field)
    return value


CallAnswer = Done | AccountFound | LogAppended | CardFound | InviteFound | PresenceFound | ConnectionsFound
"""What a relay may answer."""
