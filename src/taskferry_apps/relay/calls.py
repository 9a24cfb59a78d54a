"""Answers to the calls of spec/session.md section 8: look up, verify, store; never more than was asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.call_answers import SHOWN_CONNECTIONS
from taskferry_protocol.calls import (
    AccountFound,
    AppendStatements,
    CallAnswer,
    CallRequest,
    CardFound,
    ConnectionsFound,
    Done,
    EndConnection,
    FindAccount,
    GetAccount,
    GetCard,
    GetInvite,
    GetPresence,
    InviteFound,
    ListConnections,
    LogAppended,
    PresenceFound,
    PutCard,
    PutConnection,
    PutGrant,
    PutInvite,
    ShownConnection,
    WithdrawInvite,
)
from taskferry_protocol.cards import Visibility, card_stands, read_card
from taskferry_protocol.connections import (
    ConnectionRequest,
    read_accept,
    read_end,
    read_request,
    recall_request,
)
from taskferry_protocol.crypto import Kind
from taskferry_protocol.documents import peek
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Detail, Refusal, statement_page
from taskferry_protocol.ids import AccountId, AgentRef, Hash
from taskferry_protocol.limits import BATCH
from taskferry_protocol.permissions import check_grant_for, newer_grant, read_grant, recall_grant
from taskferry_protocol.records import CardRecord, GrantRecord, LogPage, StoredConnection
from taskferry_protocol.records import EndConnection as StoreEnd
from taskferry_protocol.records import PutCard as StoreCard
from taskferry_protocol.records import PutConnection as StoreConnection
from taskferry_protocol.records import PutGrant as StoreGrant
from taskferry_stores.port import ConflictKind, RelayStore, StoreConflict, StoreFull

from .accounts import Accounts
from .directory import listing_change
from .facts import Facts
from .in_force import grant_of
from .invites import Invites
from .limits import USUAL
from .presence import Presence
from .reading import Reader

__all__ = ["Calls"]

_CONFLICTS = {
    ConflictKind.EXISTS: (RejectCode.BAD_VALUE, "another invite is held under this id"),
    ConflictKind.STALE_VERSION: (RejectCode.BAD_VALUE, "a later version is held"),
    ConflictKind.TOO_MANY: (RejectCode.TOO_MANY, "more of them than a relay keeps"),
    ConflictKind.ENDED: (RejectCode.UNKNOWN_REQUEST, "this connection has ended"),
    ConflictKind.UNKNOWN: (RejectCode.UNKNOWN_REQUEST, "no such connection here"),
}


class Calls:
    """Answers one session's questions after another's; holds nothing of either."""

    def __init__(
        self,
        store: RelayStore,
        facts: Facts,
        accounts: Accounts,
        presence: Presence,
        invites: Invites,
        most_connections: int = USUAL.connections_of_account,
    ) -> None:
        self._most_connections = most_connections
        self._store = store
        self._facts = facts
        self._accounts = accounts
        self._presence = presence
        self._invites = invites

    async def answer(self, caller: Reader, request: CallRequest) -> CallAnswer | Refusal:
        """The answer to a question of an account's device. Raises only what the store raises."""
        try:
            return await self._answer(caller, request)
        except RemoteProtocolError as error:
            return Refusal.of(error)
        except StoreConflict as conflict:
            if conflict.kind not in _CONFLICTS:
                raise
            code, text = _CONFLICTS[conflict.kind]
            return Refusal.of(RemoteProtocolError(code, text))
        except StoreFull:
            return Refusal(RejectCode.INTERNAL, Detail(text="the relay's disk is full; try again later"))

    async def _answer(self, reader: Reader, request: CallRequest) -> CallAnswer:
        caller = reader.account
        match request:
            case GetAccount(account=account, start=start):
                return _found(await self._store.statements(account, start, BATCH), start)
            case FindAccount(name=name, start=start):
                return _found(await self._store.statements_named(name, start, BATCH), start)
            case AppendStatements(start=start, statements=statements, offer=True):
                log = await self._accounts.offer(reader, start, statements)
                return LogAppended(log.position)
            case AppendStatements(start=start, statements=statements):
                log = await self._accounts.extend(reader, start, statements)
                return LogAppended(log.position)
            case PutCard(card=card):
                return await self._put_card(reader, card)
            case GetCard(agent=agent):
                return await self._get_card(caller, agent)
            case PutConnection():
                return await self._connect(reader, request)
            case EndConnection(end=end):
                return await self._end(reader, end)
            case ListConnections(after=after):
                return await self._list(caller, after)
            case PutGrant(grant=grant):
                return await self._put_grant(reader, grant)
            case PutInvite(invite=invite):
                await self._invites.publish(await self._log(caller, reader), invite)
                return Done()
            case WithdrawInvite(id=id):
                await self._invites.withdraw(caller, id)
                return Done()
            case GetInvite(id=id):
                return InviteFound((await self._invites.find(id)).raw)
            case GetPresence(agents=agents):
                return await self._see(reader, agents)
            case _:
                assert_never(request)

    # --- accounts and cards

    async def _log(self, account: AccountId, reader: Reader) -> AccountLog:
        held = await self._accounts.get(account, reader)
        if held is None:
            raise _unknown_account()
        return held.log

    async def _put_card(self, reader: Reader, raw: bytes) -> CallAnswer:
        log = await self._log(reader.account, reader)
        card = read_card(raw, log)
        if not card.agent.name or not log.state.serving(card.agent.name):
            raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "no device serves it", field="agent")
        public = card.visibility is Visibility.PUBLIC
        held = (await self._store.cards((card.agent,))).get(card.agent)
        fallen = held.raw if held is not None and not card_stands(held.raw, log) else b""
        stored = StoreCard(CardRecord(card.agent, card.version, public, raw), instead_of=fallen)
        await self._store.commit([stored, listing_change(card)])
        return Done()

    async def _get_card(self, caller: AccountId, agent: AgentRef) -> CallAnswer:
        record = (await self._store.cards([agent])).get(agent)
        public = record is not None and record.public and not self._facts.is_suspended(agent.account)
        if record is None or not (public or await self._may_see(caller, agent.account)):
            raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "no card is shown for it", field="agent")
        return CardFound(record.raw)

    async def _may_see(self, caller: AccountId, other: AccountId) -> bool:
        """Whether agents of both are connected, or it is the caller's own."""
        return caller == other or bool(await self._store.linked([(caller, other)]))

    async def _see(self, reader: Reader, agents: Sequence[AgentRef]) -> CallAnswer:
        caller = reader.account
        # To strangers everybody is offline: presence says when people are at their desks.
        others = {(caller, agent.account) for agent in agents if agent.account != caller}
        linked = await self._store.linked(others) if others else frozenset()
        online = []
        for agent in agents:
            known = agent.account == caller or (caller, agent.account) in linked
            held = await self._accounts.get(agent.account, reader) if known else None
            serving = held.log.state.serving(agent.name) if held is not None else ()
            online.append(any(self._presence.is_online(device.id) for device in serving))
        return PresenceFound(tuple(online))

    # --- connections and grants

    async def _connect(self, reader: Reader, call: PutConnection) -> CallAnswer:
        asking = peek(call.request, Kind.CONNECTION_REQUEST)
        hash = _known_hash(asking.request)
        found = (await self._store.connections_by_request([hash])).get(hash)
        request = recall_request(call.request if found is None else found.request_raw)
        # Asked before anything is verified: nobody has the logs of two others read.
        if reader.account not in (request.from_.account, request.to.account):
            raise _unknown_request()
        if found is None:
            request = read_request(call.request, await self._log(asking.account, reader))
            read_accept(call.accept, await self._log(request.to.account, reader), request)
        grants = [await self._read_grant(raw, request, reader) for raw in call.grants]
        if found is None:
            stored = StoredConnection(
                hash, request.from_, request.to, call.request, call.accept, tuple(grants)
            )
            await self._store.commit([StoreConnection(stored, self._most_connections)])
        elif found.end_raw:
            raise RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, "this connection has ended")
        else:
            # The other side, or another device, was first: what is left are the grants that it did not have.
            await self._store.commit([StoreGrant(grant) for grant in grants if _adds(found, grant)])
        self._facts.forget_between(request.from_.account, request.to.account)
        return Done()

    async def _read_grant(self, raw: bytes, request: ConnectionRequest, reader: Reader) -> GrantRecord:
        grant = read_grant(raw, await self._log(peek(raw, Kind.GRANT).account, reader))
        check_grant_for(grant, request)
        return GrantRecord(request.hash, grant.grantor, grant.version, raw)

    async def _connection(self, caller: AccountId, request: Hash | None) -> StoredConnection:
        """A stored connection of the caller's; to others there is none."""
        asked = _known_hash(request)
        found = (await self._store.connections_by_request([asked])).get(asked)
        if found is None or caller not in (found.from_.account, found.to.account):
            raise _unknown_request()
        return found

    async def _end(self, reader: Reader, raw: bytes) -> CallAnswer:
        claim = peek(raw, Kind.CONNECTION_END)
        found = await self._connection(reader.account, claim.request)
        read_end(raw, await self._log(claim.account, reader), recall_request(found.request_raw))
        await self._store.commit([StoreEnd(found.request, raw)])
        self._facts.forget_between(found.from_.account, found.to.account)
        return Done()

    async def _list(self, caller: AccountId, after: bytes) -> CallAnswer:
        last = Hash(after) if after else None
        found = await self._store.connections_of(caller, last, SHOWN_CONNECTIONS)
        return ConnectionsFound(
            tuple(
                ShownConnection(
                    c.request_raw, c.accept_raw, c.end_raw, tuple(grant.raw for grant in c.grants)
                )
                for c in found
            )
        )

    async def _put_grant(self, reader: Reader, raw: bytes) -> CallAnswer:
        claim = peek(raw, Kind.GRANT)
        found = await self._connection(reader.account, claim.request)
        if found.end_raw:
            raise RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, "this connection has ended")
        record = await self._read_grant(raw, recall_request(found.request_raw), reader)
        newer_grant(grant_of(found, record.grantor), recall_grant(raw))
        await self._store.commit([StoreGrant(record)])
        self._facts.forget_between(found.from_.account, found.to.account)
        return Done()


def _found(page: LogPage | None, start: int) -> AccountFound:
    if page is None:
        raise _unknown_account()
    return AccountFound(page.account, start, statement_page(page.statements))


def _known_hash(request: Hash | None) -> Hash:
    # Every document that comes here is about a request; the type allows for those that are not.
    return Hash(b"") if request is None else request


def _adds(connection: StoredConnection, offered: GrantRecord) -> bool:
    """Whether a grant changes what counts: a higher version, or another one of the same."""
    held = grant_of(connection, offered.grantor)
    if held is None or offered.version != held.version:
        return held is None or offered.version > held.version
    with suppress(RemoteProtocolError):
        return newer_grant(held, recall_grant(offered.raw)) is not held
    return False


def _unknown_account() -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.UNKNOWN_ACCOUNT, "this relay does not know the account")


def _unknown_request() -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, "no connection of yours has this request")
