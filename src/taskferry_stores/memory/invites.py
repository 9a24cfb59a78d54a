"""Published invites in memory."""

from __future__ import annotations

from taskferry_protocol.records import (
    Counted,
    Done,
    PublishedInvite,
    PublishInvite,
    PurgeInvites,
    WithdrawInvite,
)

from ..rules import invite_to_publish
from .tables import Journal


class InviteTable:
    """Invites by id."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.rows: dict[bytes, PublishedInvite] = {}

    def apply(self, change: PublishInvite | WithdrawInvite | PurgeInvites) -> Done | Counted:
        """Make one change."""
        match change:
            case PublishInvite():
                self._publish(change)
            case WithdrawInvite():
                kept = self.rows.get(change.id)
                if kept is not None and kept.agent.account == change.account:
                    self._journal.drop(self.rows, change.id)
            case PurgeInvites():
                return self._purge(change)
        return Done()

    def _publish(self, change: PublishInvite) -> None:
        invite = change.invite
        others = sum(
            kept.agent.account == invite.agent.account and kept.expires_at > change.at
            for kept in self.rows.values()
        )
        if invite_to_publish(self.rows.get(invite.id), others, change):
            self._journal.put(self.rows, invite.id, invite)

    def _purge(self, change: PurgeInvites) -> Counted:
        over = [kept.id for kept in self.rows.values() if kept.expires_at <= change.now]
        for id in over[: change.limit]:
            self._journal.drop(self.rows, id)
        return Counted(len(over[: change.limit]))
