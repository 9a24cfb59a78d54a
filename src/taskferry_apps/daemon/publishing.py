"""Telling the relay what it needs to let mail through: our log, cards, connections, grants, ends, invites."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from taskferry_protocol import calls
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import statement_page
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.limits import MINUTE_MS, STATEMENTS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.records import ConnectionState, GrantRecord
from taskferry_transports.backoff import LONGEST, LONGEST_ASKED, SHORTEST

from ..logs import get_logger
from ..relay_client import CallRefused, RelayClient
from .bonds import Bond, all_bonds
from .core import Core
from .draft import LIFETIME_MS, Draft
from .own_news import untold
from .publications import Publication, Subject, note, noted, strike

__all__ = ["Publisher", "fetch_log", "publish_everything"]

#: What is worth another try later; anything else the relay will not take however often it is told.
_LATER: Final = frozenset(
    {
        RejectCode.INTERNAL,
        RejectCode.RATE_LIMITED,
        RejectCode.TOO_MANY_CALLS,
        RejectCode.SHUTTING_DOWN,
        RejectCode.TIMEOUT,
        RejectCode.UNKNOWN_ACCOUNT,
        RejectCode.NOT_AN_EXTENSION,
    }
)
#: How often at most a relay is asked for all connections: one that shows no end would be asked for ever.
_REGAIN_MS: Final = 10 * MINUTE_MS
#: An end waits so long at most for news that go to the same peer.
_NEWS_MS: Final = 60 * MINUTE_MS
#: What the relay has is another machine's word, which that one signed without having heard of this one.
_OVERTAKEN: Final = frozenset({RejectCode.STALE_GRANT, RejectCode.BAD_GRANT})


async def fetch_log(
    client: RelayClient, account: AccountId, start: int, most: int | None = None
) -> tuple[bytes, ...]:
    """An account's statements from an index on; none if the relay knows no more. Raises LinkEnded.

    None, too, where they have more than `most` bytes.
    """
    found: list[bytes] = []
    try:
        while start + len(found) < STATEMENTS:
            answer = await _look_up(client, calls.GetAccount(account, start + len(found)))
            if not isinstance(answer, calls.AccountFound) or not answer.statements:
                return tuple(found)
            if answer.start != start + len(found) or answer.account != account:
                return tuple(found)
            found.extend(answer.statements)
            if most is not None and sum(map(len, found)) > most:
                return ()
    except CallRefused:
        pass
    return tuple(found)


async def _look_up(client: RelayClient, request: calls.GetAccount) -> calls.CallAnswer:
    """The answer, also of a relay that wants us to ask less often. Raises CallRefused, LinkEnded.

    A log that was not had for being asked for too soon would look like one that nobody shows.
    """
    waited = 0.0
    while True:
        try:
            return await client.call(request)
        except CallRefused as refused:
            asked = refused.refusal.detail.retry_after
            wait = max(SHORTEST, (asked or 0) / 1000)
            waited += wait
            if refused.refusal.code is not RejectCode.RATE_LIMITED or asked is None or waited > LONGEST:
                raise
        await trio.sleep(wait)


async def publish_everything(core: Core) -> None:
    """Note all that a relay without memory lacks: it was restored from a backup, or is another one."""
    async with core.lock:
        draft = Draft(core)
        items = [Publication(Subject.CARD, agent.name.encode()) for agent in await core.store.agents()]
        items += [
            Publication(Subject.INVITE, invite.id)
            for invite in await core.store.invites()
            if not invite.revoked and invite.expires_at > draft.now
        ]
        for bond in await all_bonds(core.store):
            if bond.record.accept_raw:
                items.append(Publication(Subject.CONNECTION, bond.record.request))
            if bond.record.accept_raw and bond.record.end_raw:
                items.append(Publication(Subject.END, bond.record.request))
        await note(draft, *items)
        await draft.commit()


Regain = Callable[[Core, RelayClient], Awaitable[None]]
"""Asks the relay for our connections. Raises LinkEnded."""


class Publisher:
    """Publishes over one session."""

    def __init__(self, core: Core, client: RelayClient, regain: Regain) -> None:
        """`regain`: what is done where the relay knows of an end that nobody has told this device."""
        self._core = core
        self._client = client
        self._regain = regain
        self._published = client.ready.log.length
        self._is_compared = False
        self._not_before: dict[Publication, Instant] = {}
        self._may_regain_at = Instant(0)
        self._overtaken: dict[Publication, calls.CallRequest] = {}

    async def publish(self) -> int:
        """Everything that is due; how many statements of our log the relay has then. Raises LinkEnded."""
        await self._publish_log()
        for item in await noted(self._core.store):
            if self._not_before.get(item, Instant(0)) > self._core.now():
                continue
            if item.subject is Subject.END and await self._waits_for_news(item):
                continue
            request = await self._request(item)
            # What was signed meanwhile quotes a log that may be longer than what was just published.
            await self._publish_log()
            if request is not None and self._overtaken.get(item) == request:
                continue
            if request is not None:
                try:
                    await self._client.call(request)
                except CallRefused as refused:
                    code = refused.refusal.code
                    if item.subject is Subject.GRANT and code in _OVERTAKEN:
                        # It stays on the list until the other machine's word is here, and the two are one.
                        get_logger().info("the relay has another permission", code=code.value)
                        self._overtaken[item] = request
                        continue
                    if code in _LATER:
                        asked = refused.refusal.detail.retry_after or 0
                        longest = int(LONGEST_ASKED * 1000)
                        self._not_before[item] = Instant(self._core.now() + min(asked, longest))
                        continue
                    get_logger().warning(
                        "the relay refused a publication", kind=item.subject.value, code=code.value
                    )
                    if code is RejectCode.UNKNOWN_REQUEST and await self._stands_here(item):
                        await self._ask_anew()
            async with self._core.lock:
                # Noted again meanwhile, it is the same row: only what was told last is done with.
                if await self._request(item) == request:
                    await strike(self._core, item)
        return self._published

    async def _waits_for_news(self, end: Publication) -> bool:
        """Whether the peer is still to be told what is new with our account: after its end the relay carries
        none to it. News that the relay puts off are waited for, too, though not for ever.
        """
        store, now = self._core.store, self._core.now()
        record = (await store.connections((Hash(end.key),))).get(Hash(end.key))
        if record is None:
            return False
        account = AgentRef(record.peer.account, "")
        # In this order: what is noted goes into the outbox.
        if account.account in await untold(store) and abs(now - record.updated_at) < _NEWS_MS:
            return True
        since = Instant(now + LIFETIME_MS - _NEWS_MS)
        return bool(await store.outbox_for((account,), MessageClass.ACCOUNT.value, since))

    async def _ask_anew(self) -> None:
        now = self._core.now()
        # Set back, the clock has not said that it is soon.
        if not now < self._may_regain_at <= now + _REGAIN_MS:
            self._may_regain_at = Instant(now + _REGAIN_MS)
            await self._regain(self._core, self._client)

    async def _stands_here(self, item: Publication) -> bool:
        """Whether it is a connection, which is in force as far as is known here."""
        if item.subject is not Subject.CONNECTION:
            return False
        hash = Hash(item.key)
        record = (await self._core.store.connections((hash,))).get(hash)
        return record is not None and record.state is ConnectionState.ACCEPTED

    async def _publish_log(self) -> None:
        log = await self._core.own_log()
        if not self._is_compared and not log.contains(self._client.ready.log):
            if (await self._core.store.accounts((log.account,)))[log.account].record.held:
                return  # two histories: only the recovery key has something to say
            self._published = 0  # the relay has another branch, and ours wins: it is told all of it
        self._is_compared = True
        while self._published < log.state.length:
            page = statement_page(log.after(self._published))
            try:
                await self._client.call(calls.AppendStatements(self._published, page))
            except CallRefused as refused:
                get_logger().warning("the relay refused our log", code=refused.refusal.code.value)
                return
            self._published += len(page)

    async def _request(self, item: Publication) -> calls.CallRequest | None:
        if item.subject is Subject.CARD:
            agent = AgentRef(self._core.own, item.key.decode())
            card = (await self._core.store.cards((agent,))).get(agent)
            return calls.PutCard(card.raw) if card is not None else None
        if item.subject is Subject.INVITE:
            invite = await self._core.store.invite(item.key)
            if invite is None or invite.expires_at <= self._core.now():
                return None
            return calls.WithdrawInvite(invite.id) if invite.revoked else calls.PutInvite(invite.raw)
        hash = Hash(item.key)
        record = (await self._core.store.connections((hash,))).get(hash)
        if record is None:
            return None
        bond = Bond(record)
        match item.subject:
            case Subject.CONNECTION:
                grants = tuple(
                    grant.raw for grant in (_newest(bond, record.mine), _newest(bond, record.peer)) if grant
                )
                return calls.PutConnection(record.request_raw, record.accept_raw, grants)
            case Subject.GRANT:
                grant = _newest(bond, record.mine)
                return calls.PutGrant(grant.raw) if grant is not None else None
            case Subject.END:
                return calls.EndConnection(record.end_raw)


def _newest(bond: Bond, grantor: AgentRef) -> GrantRecord | None:
    return next((grant for grant in bond.record.grants if grant.grantor == grantor), None)
