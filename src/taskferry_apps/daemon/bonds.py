"""Connections as they are stored, read: the request, what each side allows, how the two agents stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import attrs

from taskferry_protocol.connections import ConnectionRequest, recall_request
from taskferry_protocol.crypto import Kind
from taskferry_protocol.documents import peek
from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.inbound import Relation
from taskferry_protocol.records import ConnectionState, Flow, PeerConnection, Place
from taskferry_stores.port import DaemonStore

from .core import Core
from .grants import Allowance, held_allowance
from .names import handle_of, match_prefix, named_peer, not_found, own_agent, parse_prefix
from .port import Caller, DaemonRefusal

__all__ = [
    "Bond",
    "all_bonds",
    "bond_between",
    "bonds_between",
    "check_not_blocked",
    "closed_to_peer",
    "closed_to_us",
    "find_bond",
    "last_word",
    "relation",
]

_PAGE = 256


@attrs.frozen(slots=False)
class Bond:
    """One connection, or the request for one."""

    record: PeerConnection

    @cached_property
    def request(self) -> ConnectionRequest:
        """The signed request."""
        return recall_request(self.record.request_raw)

    @cached_property
    def given(self) -> Allowance | None:
        """What the peer may send to us."""
        return held_allowance(self.record.grants, self.record.mine)

    @cached_property
    def received(self) -> Allowance | None:
        """What we may send to the peer."""
        return held_allowance(self.record.grants, self.record.peer)

    @property
    def asked_by_peer(self) -> bool:
        """Whether the peer made the request."""
        return self.request.from_ == self.record.peer

    @property
    def ended_by_us(self) -> bool:
        """Whether it was this owner who ended it."""
        record = self.record
        if record.state is not ConnectionState.ENDED:
            return False
        return peek(record.end_raw, Kind.CONNECTION_END).account == record.mine.account

    @property
    def taken_back(self) -> bool:
        """Whether the peer ended a request of its own before anybody here had accepted it."""
        record = self.record
        is_ended = record.state is ConnectionState.ENDED and not record.accept_raw
        return is_ended and self.asked_by_peer and not self.ended_by_us

    @property
    def blocked_by_us(self) -> bool:
        """Whether this owner wants to hear nothing more from the peer."""
        return self.record.end_kind == "blocked" and self.ended_by_us


async def bonds_between(store: DaemonStore, mine: AgentRef, peer: AgentRef) -> tuple[Bond, ...]:
    """All connections of two agents, newest last."""
    flow = Flow(mine, peer)
    return tuple(Bond(record) for record in (await store.connections_with((flow,))).get(flow, ()))


async def bond_between(store: DaemonStore, mine: AgentRef, peer: AgentRef) -> Bond | None:
    """The newest connection of two agents that is in force, None if there is none."""
    for bond in reversed(await bonds_between(store, mine, peer)):
        if bond.record.state is ConnectionState.ACCEPTED:
            return bond
    return None


def last_word(bonds: Sequence[Bond]) -> Allowance | None:
    """What this owner let the peer send at last, in a connection that stood; None where nothing was said.

    The newest of those connections may have ended before an older one was spoken of last. What goes with a
    request of ours is only there so that it can be answered.
    """
    said = [
        given
        for bond in bonds
        if bond.record.accept_raw
        and (given := bond.given) is not None
        and (bond.asked_by_peer or given.grant.version > 1)
    ]
    return max(said, key=lambda given: given.grant.at, default=None)


def relation(bonds: Sequence[Bond]) -> Relation:
    """How our agent stands to the peer. After a connection that ended, receipts still come.

    A block is of the agent, whatever else was between the two before or since.
    """
    if any(bond.blocked_by_us for bond in bonds):
        return Relation.BLOCKED
    if any(bond.record.state is ConnectionState.ACCEPTED for bond in bonds):
        return Relation.CONNECTED
    return Relation.UNDER_WAY if bonds else Relation.STRANGER


def check_not_blocked(bonds: Sequence[Bond]) -> None:
    """Nothing unless this owner has blocked the peer, whose answer would not be heard. DaemonRefusal then."""
    if relation(bonds) is Relation.BLOCKED:
        raise DaemonRefusal(
            "conflict",
            "You have blocked that agent.",
            "Take the block back first: taskferry unblock ID",
            status=409,
        )


def closed_to_peer(bonds: Iterable[Bond]) -> Instant | None:
    """Until when this owner, who has declined the peer, takes no further request; None where that was not."""
    return _latest_pause(bond for bond in bonds if bond.ended_by_us)


def closed_to_us(bonds: Iterable[Bond]) -> Instant | None:
    """Until when the peer's owner, who has declined us, takes no further request."""
    return _latest_pause(bond for bond in bonds if not bond.ended_by_us)


def _latest_pause(ended: Iterable[Bond]) -> Instant | None:
    # A block that was taken back has a time, too, which keeps nobody waiting.
    said = [
        (bond.record.updated_at, bond.record.again_at) for bond in ended if bond.record.end_kind == "declined"
    ]
    return max(((at, again) for at, again in said if again is not None), default=(None, None))[1]


async def all_bonds(store: DaemonStore, agent: str | None = None) -> tuple[Bond, ...]:
    """Every connection of one agent of ours, or of all, oldest first."""
    found: list[Bond] = []
    after: Place | None = Place(0)
    while after is not None:
        page = await store.connections_of(agent, after, _PAGE)
        found.extend(Bond(record) for record in page.items)
        after = page.next
    return tuple(found)


async def find_bond(
    core: Core, caller: Caller, named: str | tuple[str, str], states: frozenset[ConnectionState]
) -> Bond:
    """The connection that a caller means, by id or unique prefix, or by (mine, peer).

    Of several between two agents, the newest in one of `states`. Raises DaemonRefusal: bad-value, not-found,
    ambiguous; conflict where it is in none of the states.
    """
    if isinstance(named, tuple):
        mine = await own_agent(core, caller, named[0])
        peer = await named_peer(core, named[1])
        bonds = await bonds_between(core.store, mine, peer)
        fitting = [bond for bond in bonds if bond.record.state in states] or list(bonds)
        if not fitting:
            raise not_found("connection")
        bond = fitting[-1]
    else:
        wanted = parse_prefix(named, "connection")
        if isinstance(wanted, str):
            listed = await all_bonds(core.store)
            wanted = match_prefix(wanted, [bond.record.request for bond in listed], "connection")
        record = (await core.store.connections((Hash(wanted),))).get(Hash(wanted))
        if record is None:
            raise not_found("connection")
        bond = Bond(record)
    if bond.record.state not in states:
        peer_handle = await handle_of(core, bond.record.peer)
        raise DaemonRefusal(
            "conflict",
            f"The connection with {peer_handle} is {bond.record.state.value}.",
            "List the connections with: taskferry connections",
            status=409,
            detail={"state": bond.record.state.value},
        )
    return bond
