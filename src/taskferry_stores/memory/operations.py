"""What a relay's operator asks and changes, in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol, assert_never

import attrs

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant
from taskferry_protocol.records import AccountRecord, Counted, Done, Place
from taskferry_protocol.records.operations import (
    AccountLine,
    AccountQuery,
    DirectoryEntry,
    DirectoryPage,
    DirectoryQuery,
    ListAgent,
    ListedAgent,
    MailboxLine,
    OperatorChange,
    PutSignIn,
    RelayOverview,
    ReleaseAccount,
    Standing,
    SuspendAccount,
    Suspension,
    SuspensionList,
    TakeSignIn,
    UnlistAgent,
    WaitingMailbox,
)

from ..rules import unknown
from .mailboxes import Mailboxes
from .tables import Journal, Ledger

__all__ = ["Elsewhere", "OperatorReads", "OperatorTables"]


class OperatorTables:
    """Suspensions, links into the operator's pages, the directory. `keys` are those that accounts named."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        mailboxes: Mailboxes,
        keys: Mapping[AccountId, frozenset[bytes]],
    ) -> None:
        self._journal = journal
        self._ledger = ledger
        self._mailboxes = mailboxes
        self._keys = keys
        self._suspensions: dict[AccountId, Suspension] = {}
        self._counters: dict[str, int] = {}
        self._sign_ins: dict[Hash, Instant] = {}
        self._places: dict[AgentRef, int] = {}
        self._listed: dict[AgentRef, DirectoryEntry] = {}

    def apply(self, change: OperatorChange) -> Done | Counted:
        """Make one change."""
        journal = self._journal
        match change:
            case SuspendAccount(suspension=suspension):
                if suspension.account not in self._ledger.accounts:
                    raise unknown("account", suspension.account)
                journal.put(self._suspensions, suspension.account, suspension)
                journal.count(self._counters, "suspensions")
            case ReleaseAccount(account=account):
                if not journal.drop(self._suspensions, account):
                    return Counted(0)
                journal.count(self._counters, "suspensions")
                return Counted(1)
            case PutSignIn():
                self._put_sign_in(change)
            case TakeSignIn():
                good = self.has_sign_in(change.digest, change.at)
                return Counted(int(good and journal.drop(self._sign_ins, change.digest)))
            case ListAgent(entry=entry):
                held = self._listed.get(entry.agent)
                if held is None:
                    place = journal.count(self._counters, "directory")
                    journal.put(self._places, entry.agent, place)
                if held is None or held.version <= entry.version:
                    journal.put(self._listed, entry.agent, entry)
            case UnlistAgent(agent=agent):
                journal.drop(self._places, agent)
                journal.drop(self._listed, agent)
            case _:
                assert_never(change)
        return Done()

    def _put_sign_in(self, change: PutSignIn) -> None:
        over = [digest for digest, until in self._sign_ins.items() if until <= change.at]
        good = [(until, digest) for digest, until in self._sign_ins.items() if until > change.at]
        over += [digest for _, digest in sorted(good, reverse=True)[change.most - 1 :]]
        for digest in over:
            self._journal.drop(self._sign_ins, digest)
        self._journal.put(self._sign_ins, change.digest, change.expires_at)

    def has_sign_in(self, digest: Hash, at: Instant) -> bool:
        """Whether a one-time link is good."""
        until = self._sign_ins.get(digest)
        return until is not None and until > at

    def suspensions(self, known: int | None) -> SuspensionList | None:
        """All suspensions, unless they are known."""
        version = self._counters.get("suspensions", 0)
        return None if version == known else SuspensionList(version, tuple(self._suspensions.values()))

    def account_lines(self, query: AccountQuery, after: str, limit: int) -> tuple[AccountLine, ...]:
        """Accounts by rising name."""
        listed = sorted(self._ledger.accounts.values(), key=lambda account: account.name)
        asked = [a for a in listed if a.name.startswith(query.prefix) and a.name > after]
        return tuple(
            [self._line(account) for account in asked if self._is_asked(account, query.state)][:limit]
        )

    def _is_asked(self, account: AccountRecord, state: Standing) -> bool:
        match state:
            case Standing.ALL:
                return True
            case Standing.SUSPENDED:
                return account.account in self._suspensions
            case Standing.HELD:
                return account.held != ""

    def _line(self, account: AccountRecord) -> AccountLine:
        boxes = self.mailbox_lines([DeviceId(key) for key in self._keys.get(account.account, ())])
        return AccountLine(
            account.account,
            account.name,
            account.held,
            self._suspensions.get(account.account),
            sum(box.count for box in boxes),
            sum(box.bytes for box in boxes),
            min((box.oldest for box in boxes if box.oldest is not None), default=None),
        )

    def mailbox_lines(self, devices: Collection[DeviceId]) -> tuple[MailboxLine, ...]:
        """Mailboxes of these devices."""
        lines = []
        for device in devices:
            usage = self._mailboxes.usage.get(device)
            if usage is not None:
                whose = next((a for a, keys in self._keys.items() if device in keys), None)
                name = "" if whose is None else self._ledger.accounts[whose].name
                oldest = self._mailboxes.oldest(device)
                lines.append(MailboxLine(device, whose, name, usage.count, usage.bytes, oldest))
        return tuple(lines)

    def fullest_mailboxes(self, limit: int) -> tuple[MailboxLine, ...]:
        """The mailboxes with the most entries."""
        lines = [line for line in self.mailbox_lines(self._mailboxes.usage.keys()) if line.count]
        return tuple(sorted(lines, key=lambda line: (-line.count, -line.bytes, line.device))[:limit])

    def waiting_mailboxes(self, look: int) -> tuple[WaitingMailbox, ...]:
        """At most `look` mailboxes that hold something."""
        full = [device for device, usage in self._mailboxes.usage.items() if usage.count][:look]
        return tuple([WaitingMailbox(line.count, line.oldest) for line in self.mailbox_lines(full)])

    def overview(self, agents: int, invites: int, connections: int) -> RelayOverview:
        """Numbers for an operator; three of them are counted elsewhere."""
        usages = self._mailboxes.usage.values()
        accounts = self._ledger.accounts.values()
        return RelayOverview(
            len(accounts),
            len(self._suspensions),
            sum(account.held != "" for account in accounts),
            len(usages),
            agents,
            len(self._listed),
            invites,
            connections,
            sum(self._mailboxes.places.values()),
            sum(usage.count for usage in usages),
            sum(usage.bytes for usage in usages),
            sum(usage.count > 0 for usage in usages),
            self._mailboxes.oldest(None),
        )

    def directory(self, query: DirectoryQuery, before: Place | None, limit: int, look: int) -> DirectoryPage:
        """Public agents, newest first."""
        places = sorted(((place, agent) for agent, place in self._places.items()), reverse=True)
        near = [
            (Place(place), agent)
            for place, agent in places
            if (before is None or place < before) and self._has_first_word(agent, query)
        ][:look]
        found: list[ListedAgent] = []
        for place, agent in near:
            owner = self._ledger.accounts.get(agent.account)
            card = self._ledger.cards.get(agent)
            if owner is None or card is None or not card.public or owner.held:
                continue
            entry, handle = self._listed[agent], f"@{owner.name}/{agent.name}"
            shown = query.words <= entry.words and (query.text in entry.text or query.text in handle)
            if shown and agent.account not in self._suspensions:
                found.append(ListedAgent(place, owner.name, card))
                if len(found) == limit:
                    return DirectoryPage(tuple(found), place)
        return DirectoryPage(tuple(found), near[-1][0] if len(near) == look else None)

    def _has_first_word(self, agent: AgentRef, query: DirectoryQuery) -> bool:
        return not query.words or min(query.words) in self._listed[agent].words


@attrs.frozen
class Elsewhere:
    """What other tables count."""

    agents: int
    invites: int
    connections: int


class _HasOperations(Protocol):
    @property
    def operations(self) -> OperatorTables: ...

    def count_elsewhere(self) -> Elsewhere: ...


class OperatorReads(ABC):
    """The part of the relay's port that is about its operation."""

    @abstractmethod
    async def _begin(self) -> _HasOperations: ...

    async def suspensions(self, known: int | None) -> SuspensionList | None:
        """All suspensions, unless they are known."""
        return (await self._begin()).operations.suspensions(known)

    async def has_sign_in(self, digest: Hash, at: Instant) -> bool:
        """Whether a one-time link is good."""
        return (await self._begin()).operations.has_sign_in(digest, at)

    async def account_lines(self, query: AccountQuery, after: str, limit: int) -> tuple[AccountLine, ...]:
        """Accounts by rising name."""
        return (await self._begin()).operations.account_lines(query, after, limit)

    async def mailbox_lines(self, devices: Collection[DeviceId]) -> tuple[MailboxLine, ...]:
        """Mailboxes of these devices."""
        return (await self._begin()).operations.mailbox_lines(devices)

    async def fullest_mailboxes(self, limit: int) -> tuple[MailboxLine, ...]:
        """The mailboxes with the most entries."""
        return (await self._begin()).operations.fullest_mailboxes(limit)

    async def waiting_mailboxes(self, look: int) -> tuple[WaitingMailbox, ...]:
        """Mailboxes that hold something."""
        return (await self._begin()).operations.waiting_mailboxes(look)

    async def overview(self) -> RelayOverview:
        """Numbers for an operator."""
        held = await self._begin()
        elsewhere = held.count_elsewhere()
        return held.operations.overview(elsewhere.agents, elsewhere.invites, elsewhere.connections)

    async def directory(
        self, query: DirectoryQuery, before: Place | None, limit: int, look: int
    ) -> DirectoryPage:
        """Public agents, newest first."""
        return (await self._begin()).operations.directory(query, before, limit, look)
