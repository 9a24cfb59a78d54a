"""A relay's store in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from taskferry_protocol.audit import AuditChain
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import (
    AccountRecord,
    AgentPair,
    ApplicationRecord,
    AuditRow,
    CardRecord,
    ContactState,
    EvidenceRecord,
    Flow,
    Generation,
    LogPage,
    MailboxItem,
    MailboxShare,
    MailboxUsage,
    Offset,
    Order,
    Page,
    Place,
    PublishedInvite,
    RateRecord,
    RelayChange,
    RelayResult,
    RelayStats,
    StoredConnection,
    TicketRecord,
)
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

from ..errors import StoreUnavailable
from . import audit, directory, ledger, operations, relay_reads, sign_ups
from .engine import Engine
from .faults import translate
from .files import IntegrityCheck, OpenFile, Tuning, bound_size, open_beside, open_file
from .migrations import load_schema
from .relay_writes import RelayWriter, write_generation

APPLICATION_ID = 0x54465231
"""`TFR1` in the file's header."""
TUNING = Tuning(readers=2, cache_bytes=32 * 1024 * 1024, erase=False)
"""The cache holds the leaves of the indices that a busy relay writes to. What is deleted was sealed."""


@asynccontextmanager
async def open_relay_store(
    path: Path,
    *,
    generation: Generation,
    check: IntegrityCheck = IntegrityCheck.NONE,
    most_bytes: int = 0,
) -> AsyncIterator[SqliteRelayStore]:
    """Open the relay's store at `path`, or create it with `generation`: 16 random bytes of the caller's.

    Beyond `most_bytes` the file does not grow: what would make it raises StoreFull; 0 is no bound.
    Raises a kind of `StoreUnavailable`, `StoreCorrupt`, `StoreFull` or `StoreFailed`.
    """
    opening = partial(_open, path, generation, check, most_bytes)
    file, held = await trio.to_thread.run_sync(opening)
    store = SqliteRelayStore(file, held)
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def open_relay_store_beside(path: Path) -> AsyncIterator[SqliteRelayStore]:
    """Open the relay's store at `path` while a relay has it open, for what a relay keeps no copy of: tickets.

    Raises a kind of `StoreUnavailable`, `StoreCorrupt`, `StoreFull` or `StoreFailed`.
    """
    file, held = await trio.to_thread.run_sync(_open_beside, path)
    store = SqliteRelayStore(file, held)
    try:
        yield store
    finally:
        await store.aclose()


def _open_beside(path: Path) -> tuple[OpenFile, Generation]:
    file = open_beside(path, load_schema("relay", APPLICATION_ID), TUNING)
    try:
        held = relay_reads.generation(file.writer)
    except sqlite3.Error as error:
        file.close()
        raise translate(error, path) from error
    if held is None:
        file.close()
        raise StoreUnavailable(f"The file {path} is not complete yet; try again.")
    return file, held


def _open(
    path: Path, generation: Generation, check: IntegrityCheck, most_bytes: int
) -> tuple[OpenFile, Generation]:
    schema = load_schema("relay", APPLICATION_ID)
    file = open_file(path, schema, TUNING, check)
    try:
        held = relay_reads.generation(file.writer)
        if held is None:
            write_generation(file.writer, generation)
        if most_bytes:
            bound_size(file.writer, most_bytes)
    except sqlite3.Error as error:
        file.close()
        raise translate(error, path) from error
    return file, held or generation


class SqliteRelayStore:
    """The relay's port over one file."""

    def __init__(self, file: OpenFile, generation: Generation) -> None:
        self._engine = Engine[RelayChange, RelayResult](file, RelayWriter())
        self._generation = generation

    @property
    def generation(self) -> Generation:
        """The generation of all its mailboxes."""
        return self._generation

    async def renew_generation(self, generation: Generation) -> None:
        """Begin a new generation."""
        await self._engine.alone(lambda connection: write_generation(connection, generation))
        self._generation = generation

    async def commit(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Make all the changes, in order, or none."""
        return await self._engine.commit(changes)

    async def accounts(
        self, accounts: Collection[AccountId], longest: int | None = None
    ) -> Mapping[AccountId, AccountRecord]:
        """Account logs by id; of those with more than `longest` statements, none of their statements."""
        return await self._engine.read(lambda c: ledger.accounts(c, accounts, longest))

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, AccountRecord]:
        """Account logs by owner name."""
        return await self._engine.read(lambda c: ledger.accounts_named(c, names))

    async def statements(self, account: AccountId, start: int, limit: int) -> LogPage | None:
        """A piece of a log by account."""
        return await self._engine.read(lambda c: relay_reads.statements(c, account, start, limit))

    async def statements_named(self, name: str, start: int, limit: int) -> LogPage | None:
        """A piece of a log by owner name."""
        return await self._engine.read(lambda c: relay_reads.statements_named(c, name, start, limit))

    async def named_keys(
        self, keys: Collection[tuple[AccountId, bytes]]
    ) -> frozenset[tuple[AccountId, bytes]]:
        """Those of the keys that were named for the account."""
        return await self._engine.read(lambda c: relay_reads.named_keys(c, keys))

    async def accepted(
        self, ids: Collection[tuple[DeviceId, MessageId]]
    ) -> Mapping[tuple[DeviceId, MessageId], Hash]:
        """Hashes of what was stored under these ids."""
        return await self._engine.read(lambda c: relay_reads.accepted(c, ids))

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent."""
        return await self._engine.read(lambda c: ledger.cards(c, agents))

    async def public_cards(self, after: AgentRef | None, limit: int) -> tuple[CardRecord, ...]:
        """Public cards by rising agent reference."""
        return await self._engine.read(lambda c: ledger.public_cards(c, after, limit))

    async def connections(
        self, pairs: Collection[AgentPair]
    ) -> Mapping[AgentPair, tuple[StoredConnection, ...]]:
        """Lasting connections between two agents."""
        return await self._engine.read(lambda c: relay_reads.connections(c, pairs))

    async def connections_by_request(self, requests: Collection[Hash]) -> Mapping[Hash, StoredConnection]:
        """Connections by request."""
        return await self._engine.read(lambda c: relay_reads.connections_by_request(c, requests))

    async def connections_of(
        self, account: AccountId, after: Hash | None, limit: int
    ) -> tuple[StoredConnection, ...]:
        """An account's connections by rising request."""
        return await self._engine.read(lambda c: relay_reads.connections_of(c, account, after, limit))

    async def linked(
        self, pairs: Collection[tuple[AccountId, AccountId]]
    ) -> frozenset[tuple[AccountId, AccountId]]:
        """Those of the pairs of accounts with agents connected."""
        return await self._engine.read(lambda c: relay_reads.linked(c, pairs))

    async def contacts(self, flows: Collection[Flow]) -> Mapping[Flow, ContactState]:
        """Contact states by flow."""
        return await self._engine.read(lambda c: relay_reads.contacts(c, flows))

    async def invites(self, ids: Collection[bytes]) -> Mapping[bytes, PublishedInvite]:
        """Published invites by id."""
        return await self._engine.read(lambda c: relay_reads.invites(c, ids))

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""
        return await self._engine.read(lambda c: ledger.rates(c, flows))

    async def mailbox(
        self, device: DeviceId, after: Offset, limit: int, max_bytes: int
    ) -> tuple[MailboxItem, ...]:
        """What waits for a device above an offset."""
        return await self._engine.read(lambda c: relay_reads.mailbox(c, device, after, limit, max_bytes))

    async def usage(self, devices: Collection[DeviceId]) -> Mapping[DeviceId, MailboxUsage]:
        """How full mailboxes are."""
        return await self._engine.read(lambda c: relay_reads.usage(c, devices))

    async def shares(
        self, devices: Collection[DeviceId]
    ) -> Mapping[DeviceId, Mapping[DeviceId, MailboxShare]]:
        """Whose mail waits."""
        return await self._engine.read(lambda c: relay_reads.shares(c, devices))

    async def ticket(self, digest: Hash) -> TicketRecord | None:
        """A ticket by its SHA-256."""
        return await self._engine.read(lambda c: sign_ups.ticket(c, digest))

    async def tickets(self, after: Hash | None, limit: int) -> tuple[TicketRecord, ...]:
        """Tickets by rising digest."""
        return await self._engine.read(lambda c: sign_ups.tickets(c, after, limit))

    async def reserved(self, names: Collection[str], at: Instant) -> frozenset[str]:
        """Those of the names that open tickets have."""
        return await self._engine.read(lambda c: sign_ups.reserved(c, names, at))

    async def ticket_of_email(self, email: bytes) -> TicketRecord | None:
        """The used ticket that was sent to an address."""
        return await self._engine.read(lambda c: sign_ups.ticket_of_email(c, email))

    async def application(self, digest: Hash) -> ApplicationRecord | None:
        """An application by the SHA-256 of its code."""
        return await self._engine.read(lambda c: sign_ups.application(c, digest))

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""
        return await self._engine.read(lambda c: ledger.settings(c, keys))

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in order."""
        return await self._engine.read(lambda c: ledger.evidence_page(c, after, limit))

    async def audit_rows(
        self, kind: str | None, after: Place | None, limit: int, order: Order
    ) -> Page[AuditRow]:
        """Audit entries by number."""
        return await self._engine.read(lambda c: audit.rows(c, kind, after, limit, order))

    async def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""
        return await self._engine.read(audit.chain)

    async def suspensions(self, known: int | None) -> SuspensionList | None:
        """All suspensions, unless they are known."""
        return await self._engine.read(lambda c: operations.suspensions(c, known))

    async def has_sign_in(self, digest: Hash, at: Instant) -> bool:
        """Whether a one-time link is good."""
        return await self._engine.read(lambda c: operations.has_sign_in(c, digest, at))

    async def account_lines(self, query: AccountQuery, after: str, limit: int) -> tuple[AccountLine, ...]:
        """Accounts by rising name."""
        return await self._engine.read(lambda c: operations.account_lines(c, query, after, limit))

    async def mailbox_lines(self, devices: Collection[DeviceId]) -> tuple[MailboxLine, ...]:
        """Mailboxes of these devices."""
        return await self._engine.read(lambda c: operations.mailbox_lines(c, devices))

    async def fullest_mailboxes(self, limit: int) -> tuple[MailboxLine, ...]:
        """The mailboxes with the most entries."""
        return await self._engine.read(lambda c: operations.fullest_mailboxes(c, limit))

    async def waiting_mailboxes(self, look: int) -> tuple[WaitingMailbox, ...]:
        """Mailboxes that hold something."""
        return await self._engine.read(lambda c: operations.waiting_mailboxes(c, look))

    async def overview(self) -> RelayOverview:
        """Numbers for an operator."""
        return await self._engine.read(operations.overview)

    async def directory(
        self, query: DirectoryQuery, before: Place | None, limit: int, look: int
    ) -> DirectoryPage:
        """Public agents, newest first."""
        return await self._engine.read(lambda c: directory.directory(c, query, before, limit, look))

    async def stats(self) -> RelayStats:
        """Numbers for an operator."""
        return await self._engine.read(relay_reads.stats)

    async def aclose(self) -> None:
        """Finish the commit under way and close the file."""
        await self._engine.aclose()
