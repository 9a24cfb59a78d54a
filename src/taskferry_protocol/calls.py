"""Calls: the questions that a daemon asks its relay beside the mail (spec/session.md section 8).

A request knows its method, its parameters and the shape of its answer. Answers are believed about nothing:
what is in them is folded and verified by whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import attrs

from .call_answers import (
    PRESENCE_AGENTS,
    AccountFound,
    CallAnswer,
    CardFound,
    ConnectionsFound,
    Done,
    InviteFound,
    LogAppended,
    PresenceFound,
    ShownConnection,
)
from .cbor import Value
from .errors import RejectCode, RemoteProtocolError
from .frame_items import as_statements
from .ids import AccountId, AgentRef
from .shape import MapReader, as_agent, as_array, as_bytes

__all__ = [
    "AccountFound",
    "AppendStatements",
    "CallAnswer",
    "CallRequest",
    "CardFound",
    "ConnectionsFound",
    "Done",
    "EndConnection",
    "FindAccount",
    "GetAccount",
    "GetCard",
    "GetInvite",
    "GetPresence",
    "InviteFound",
    "ListConnections",
    "LogAppended",
    "PresenceFound",
    "PutCard",
    "PutConnection",
    "PutGrant",
    "PutInvite",
    "ShownConnection",
    "WithdrawInvite",
    "read_request",
]

#: One grant for each direction.
GRANTS: Final = 2
INVITE_ID_BYTES: Final = 16


# --- Requests -----------------------------------------------------------------------------------------------


@attrs.frozen
class GetAccount:
    """The statements of an account by its id, from index `start` on."""

    method: ClassVar[str] = "account.get"
    answer: ClassVar[type[AccountFound]] = AccountFound

    account: AccountId
    start: int = 0

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"account": self.account, "from": self.start}


@attrs.frozen
class FindAccount:
    """The statements of the account that claimed a name at this relay, from index `start` on."""

    method: ClassVar[str] = "account.get"
    answer: ClassVar[type[AccountFound]] = AccountFound

    name: str
    start: int = 0

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"name": self.name, "from": self.start}


@attrs.frozen
class AppendStatements:
    """Append to the caller's own account log: compare and swap on the head.

    Of siblings to what is held, both are evidence of a fork; unless they are only offered, and their signer
    will sign others in their place.
    """

    method: ClassVar[str] = "account.append"
    answer: ClassVar[type[LogAppended]] = LogAppended

    start: int
    statements: tuple[bytes, ...] = attrs.field(repr=False)
    offer: bool = False

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        offer: dict[str, Value] = {"offer": True} if self.offer else {}
        return {"from": self.start, "statements": [*self.statements], **offer}


@attrs.frozen
class PutCard:
    """Store an agent's card."""

    method: ClassVar[str] = "card.put"
    answer: ClassVar[type[Done]] = Done

    card: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"card": self.card}


@attrs.frozen
class GetCard:
    """An agent's card."""

    method: ClassVar[str] = "card.get"
    answer: ClassVar[type[CardFound]] = CardFound

    agent: AgentRef

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"agent": [self.agent.account, self.agent.name]}


@attrs.frozen
class PutConnection:
    """Store a connection: the request, its acceptance, and the grants that came with it."""

    method: ClassVar[str] = "connection.put"
    answer: ClassVar[type[Done]] = Done

    request: bytes = attrs.field(repr=False)
    accept: bytes = attrs.field(repr=False)
    grants: tuple[bytes, ...] = attrs.field(default=(), repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"request": self.request, "accept": self.accept, "grants": [*self.grants]}


@attrs.frozen
class EndConnection:
    """Store the end of a connection."""

    method: ClassVar[str] = "connection.end"
    answer: ClassVar[type[Done]] = Done

    end: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"end": self.end}


@attrs.frozen
class ListConnections:
    """The caller's own connections whose request's hash comes after `after`, ended ones too; b"": from the
    first.
    """

    method: ClassVar[str] = "connection.list"
    answer: ClassVar[type[ConnectionsFound]] = ConnectionsFound

    after: bytes = b""

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"after": self.after}


@attrs.frozen
class PutGrant:
    """Store a grant."""

    method: ClassVar[str] = "grant.put"
    answer: ClassVar[type[Done]] = Done

    grant: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"grant": self.grant}


@attrs.frozen
class PutInvite:
    """Store an invite of the caller's, so that whoever has its link finds whom it is from."""

    method: ClassVar[str] = "invite.put"
    answer: ClassVar[type[Done]] = Done

    invite: bytes = attrs.field(repr=False)

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"invite": self.invite}


@attrs.frozen
class WithdrawInvite:
    """Forget an invite of the caller's; one that is not there is forgotten already."""

    method: ClassVar[str] = "invite.withdraw"
    answer: ClassVar[type[Done]] = Done

    id: bytes

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"id": self.id}


@attrs.frozen
class GetInvite:
    """An invite by its id, which only its link tells."""

    method: ClassVar[str] = "invite.get"
    answer: ClassVar[type[InviteFound]] = InviteFound

    id: bytes

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"id": self.id}


@attrs.frozen
class GetPresence:
    """Whether agents are online, 1 to 64 of them."""

    method: ClassVar[str] = "presence.get"
    answer: ClassVar[type[PresenceFound]] = PresenceFound

    agents: tuple[AgentRef, ...]

    def to_cbor(self) -> dict[str, Value]:
        """The parameters as they are encoded."""
        return {"agents": [[agent.account, agent.name] for agent in self.agents]}


CallRequest = (
    GetAccount
    | FindAccount
    | AppendStatements
    | PutCard
    | GetCard
    | PutConnection
    | EndConnection
    | ListConnections
    | PutGrant
    | PutInvite
    | WithdrawInvite
    | GetInvite
    | GetPresence
)
"""What a daemon may ask. `method` is its name; `answer.read` reads a result map for it."""


def _read_account_get(params: Value) -> CallRequest:
    # Exactly one of the two says whose log is meant; which keys there are decides what is missing.
    if type(params) is dict and "name" in params and "account" not in params:
        named = MapReader(params, "params", ("name", "from"))
        return FindAccount(named.name("name"), named.uint("from"))
    reader = MapReader(params, "params", ("account", "from"))
    return GetAccount(AccountId(reader.bytes("account", size=32)), reader.uint("from"))


def _read_account_append(params: Value) -> CallRequest:
    reader = MapReader(params, "params", ("from", "statements"), ("offer",))
    start, statements = reader.uint("from"), reader.read("statements", as_statements)
    if "offer" in reader and not reader.boolean("offer"):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "true or absent", field="params.offer")
    return AppendStatements(start, statements, "offer" in reader)


def _read_card_put(params: Value) -> CallRequest:
    return PutCard(MapReader(params, "params", ("card",)).bytes("card"))


def _read_card_get(params: Value) -> CallRequest:
    return GetCard(MapReader(params, "params", ("agent",)).agent("agent"))


def _read_connection_put(params: Value) -> CallRequest:
    reader = MapReader(params, "params", ("request", "accept", "grants"))
    request, accept = reader.bytes("request"), reader.bytes("accept")
    grants = [as_bytes(grant, "params.grants") for grant in reader.array("grants", most=GRANTS)]
    return PutConnection(request, accept, tuple(grants))


def _read_connection_end(params: Value) -> CallRequest:
    return EndConnection(MapReader(params, "params", ("end",)).bytes("end"))


def _read_connection_list(params: Value) -> CallRequest:
    after = MapReader(params, "params", ("after",)).bytes("after")
    if len(after) not in (0, 32):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "a hash, or empty", field="params.after")
    return ListConnections(after)


def _read_grant_put(params: Value) -> CallRequest:
    return PutGrant(MapReader(params, "params", ("grant",)).bytes("grant"))


def _read_invite_put(params: Value) -> CallRequest:
    return PutInvite(MapReader(params, "params", ("invite",)).bytes("invite"))


def _read_invite_withdraw(params: Value) -> CallRequest:
    return WithdrawInvite(MapReader(params, "params", ("id",)).bytes("id", size=INVITE_ID_BYTES))


def _read_invite_get(params: Value) -> CallRequest:
    return GetInvite(MapReader(params, "params", ("id",)).bytes("id", size=INVITE_ID_BYTES))


def _read_presence_get(params: Value) -> CallRequest:
    agents = MapReader(params, "params", ("agents",)).value("agents")
    items = as_array(agents, "params.agents", least=1, most=PRESENCE_AGENTS)
    return GetPresence(tuple([as_agent(item, "params.agents") for item in items]))


_READERS: Final[Mapping[str, Callable[[Value], CallRequest]]] = {
    "account.get": _read_account_get,
    "account.append": _read_account_append,
    "card.put": _read_card_put,
    "card.get": _read_card_get,
    "connection.put": _read_connection_put,
    "connection.end": _read_connection_end,
    "connection.list": _read_connection_list,
    "grant.put": _read_grant_put,
    "invite.put": _read_invite_put,
    "invite.withdraw": _read_invite_withdraw,
    "invite.get": _read_invite_get,
    "presence.get": _read_presence_get,
}


def read_request(method: str, params: Value) -> CallRequest:
    """The request that a call makes.

    Raises RemoteProtocolError: unknown-method, or a code of shape. Either refuses the call, not the session.
    """
    reader = _READERS.get(method)
    if reader is None:
        raise RemoteProtocolError(RejectCode.UNKNOWN_METHOD, "not a method of this version", field="method")
    return reader(params)
