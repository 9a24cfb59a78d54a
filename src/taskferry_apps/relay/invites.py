"""Invites that owners have published: kept until they are over, for whoever has the link."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.cards import read_card
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.invites import read_invite
from taskferry_protocol.limits import INVITES
from taskferry_protocol.records import PublishedInvite, PublishInvite, WithdrawInvite
from taskferry_stores.port import RelayStore

from .facts import Facts
from .reading import STRANGERS, Reader
from .turnstile import Busy

__all__ = ["Invitation", "Invites"]


@attrs.frozen
class Invitation:
    """What anybody with an invite's code may see: who invites, to which agent, until when."""

    id: bytes
    account: AccountId
    owner: str
    agent: str
    display_name: str
    tagline: str
    expires_at: Instant


class Invites:
    """Keeps invites; the secret of none ever comes here."""

    def __init__(self, store: RelayStore, facts: Facts, now: Callable[[], Instant]) -> None:
        self._store = store
        self._facts = facts
        self._now = now

    async def publish(self, log: AccountLog, raw: bytes) -> None:
        """Keep an invite that the account of `log` signed.

        Raises RemoteProtocolError with a code of the invite, unknown-agent or expired; StoreConflict: exists,
        too-many.
        """
        invite, now = read_invite(raw, log), self._now()
        if not log.state.serving(invite.agent.name):
            raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "no device serves it", field="agent")
        if invite.expires_at <= now:
            raise RemoteProtocolError(RejectCode.EXPIRED, "the invite is over", field="expires_at")
        kept = PublishedInvite(invite.id, invite.agent, invite.expires_at, raw)
        await self._store.commit([PublishInvite(kept, now, INVITES)])

    async def withdraw(self, account: AccountId, id: bytes) -> None:
        """Forget an invite of an account's own."""
        await self._store.commit([WithdrawInvite(account, id)])

    async def find(self, id: bytes) -> PublishedInvite:
        """An invite that is not over. Raises RemoteProtocolError(unknown-invite)."""
        kept = (await self._store.invites([id])).get(id)
        if kept is None or kept.expires_at <= self._now():
            raise RemoteProtocolError(RejectCode.UNKNOWN_INVITE, "no such invite here", field="id")
        return kept

    async def show(self, id: bytes) -> Invitation | None:
        """Who invites, for a page; None where nobody does. A private card is not shown.

        Raises Busy while the account that invites has had its log read as often as may be.
        """
        try:
            kept = await self.find(id)
            account = kept.agent.account
            held = (await self._facts.shown({account})).get(account)
            if held is None and self._facts.reads.wait_ms(Reader(account, STRANGERS)):
                raise Busy
            if held is None or held.held or not held.log.state.serving(kept.agent.name):
                return None
            if self._facts.is_suspended(kept.agent.account):
                return None
            record = (await self._store.cards([kept.agent])).get(kept.agent)
            card = read_card(record.raw, held.log) if record is not None and record.public else None
        except RemoteProtocolError:
            return None
        return Invitation(
            id,
            kept.agent.account,
            held.log.state.name,
            kept.agent.name,
            card.display_name if card is not None else "",
            card.tagline if card is not None else "",
            kept.expires_at,
        )
