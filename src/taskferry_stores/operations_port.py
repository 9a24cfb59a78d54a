"""What a relay's store answers about its operation and its public agents; a part of `port.RelayStore`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from taskferry_protocol.ids import DeviceId, Hash, Instant
from taskferry_protocol.records import Place
from taskferry_protocol.records.operations import (
    AccountLine,
    AccountQuery,
    DirectoryPage,
    DirectoryQuery,
    MailboxLine,
    RelayOverview,
    SuspensionList,
    WaitingMailbox,
)

__all__ = ["OperatorReads"]


class OperatorReads(Protocol):
    """Suspensions, lists for the operator, the directory."""

    async def suspensions(self, known: int | None) -> SuspensionList | None:
        """All suspensions; None where nothing has changed since the version `known`."""

    async def has_sign_in(self, digest: Hash, at: Instant) -> bool:
        """Whether a one-time link into the operator's pages is good."""

    async def account_lines(self, query: AccountQuery, after: str, limit: int) -> tuple[AccountLine, ...]:
        """Accounts by rising name, after one; the first with the empty one."""

    async def mailbox_lines(self, devices: Collection[DeviceId]) -> tuple[MailboxLine, ...]:
        """Mailboxes of these devices, in no order; those that never had an entry are absent."""

    async def fullest_mailboxes(self, limit: int) -> tuple[MailboxLine, ...]:
        """The mailboxes with the most entries waiting, the fullest first; empty ones are left out."""

    async def waiting_mailboxes(self, look: int) -> tuple[WaitingMailbox, ...]:
        """Mailboxes that hold something, at most `look` of them, in no order."""

    async def overview(self) -> RelayOverview:
        """Numbers for an operator."""

    async def directory(
        self, query: DirectoryQuery, before: Place | None, limit: int, look: int
    ) -> DirectoryPage:
        """At most `limit` public agents listed before a place, newest first, of `look` that are looked at.

        Agents of accounts that are suspended or held are left out.
        """
