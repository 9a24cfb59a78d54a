"""Invites that owners have published: kept until they are over, for whoever has the link."""

from __future__ import annotations

from collections.abc import Callable

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.invites import read_invite
from taskferry_protocol.limits import INVITES
from taskferry_protocol.records import PublishedInvite, PublishInvite, WithdrawInvite
from taskferry_stores.port import RelayStore

__all__ = ["Invites"]


class Invites:
    """Keeps invites; the secret of none ever comes here."""

    def __init__(self, store: RelayStore, now: Callable[[], Instant]) -> None:
        self._store = store
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
