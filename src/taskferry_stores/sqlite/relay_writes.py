"""The relay's changes as SQL, but for the mailboxes, which have a module of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from taskferry_protocol.ids import AccountId
from taskferry_protocol.records import (
    AckMailbox,
    AppendAudit,
    AppendStatements,
    Counted,
    Done,
    DropApplication,
    DropSetting,
    DropTicket,
    EndConnection,
    Expire,
    Generation,
    GrantApplication,
    HoldAccount,
    NameKeys,
    NoticePut,
    Placed,
    PruneAudit,
    PublishInvite,
    PurgeInvites,
    PurgeSeen,
    PutApplication,
    PutCard,
    PutConnection,
    PutEvidence,
    PutGrant,
    PutNotice,
    PutSetting,
    PutTicket,
    RecordContact,
    RecordRate,
    RedeemTicket,
    RelayChange,
    RelayResult,
    RequireUnreserved,
    StoredConnection,
    StoreEnvelope,
    Sweep,
    SweepSignUps,
    WithdrawInvite,
)
from taskferry_protocol.records.operations import (
    ListAgent,
    PutSignIn,
    ReleaseAccount,
    SuspendAccount,
    TakeSignIn,
    UnlistAgent,
)

from ..errors import ConflictKind, StoreConflict
from ..rules import (
    invite_to_publish,
    require_few_between,
    require_few_connections,
    require_few_names,
    unknown,
)
from . import audit, ledger, operations, relay_reads, sign_ups
from .boxes import Boxes
from .mailboxes import Mailboxes


def write_generation(connection: sqlite3.Connection, generation: Generation) -> None:
    """Store the generation."""
    connection.execute("INSERT OR REPLACE INTO about (key, value) VALUES ('generation', ?)", (generation,))


_MAY_CONFLICT: Final = frozenset(
    {
        AppendStatements,
        HoldAccount,
        NameKeys,
        PutCard,
        PutGrant,
        PutConnection,
        EndConnection,
        PutTicket,
        RedeemTicket,
        RequireUnreserved,
        PutApplication,
        GrantApplication,
        PublishInvite,
        SuspendAccount,
    }
)
"""A set of types, since each change of each commit is asked for its own."""


class RelayWriter:
    """What the engine asks about a relay's changes."""

    def __init__(self) -> None:
        self._boxes = Boxes()

    def forget(self) -> None:
        """Something was taken back."""
        self._boxes.forget()

    def may_conflict(self, change: RelayChange) -> bool:
        """Whether the change can raise `StoreConflict`."""
        return type(change) in _MAY_CONFLICT

    def weight(self, change: RelayChange) -> int:
        """The bytes that the change carries, and a page for each mailbox."""
        if isinstance(change, StoreEnvelope):
            return len(change.envelope) + 4_096 * len(change.entries)
        return 0

    def session(self, connection: sqlite3.Connection, changes: Iterable[RelayChange]) -> RelaySession:
        """Begin to write these changes."""
        return RelaySession(connection, changes, self._boxes)


class RelaySession:
    """Writes a relay's changes inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, changes: Iterable[RelayChange], boxes: Boxes) -> None:
        self._connection = connection
        self._mailboxes = Mailboxes(connection, changes, boxes)

    def flush(self) -> None:
        """Write what was held back."""
        self._mailboxes.flush()

    def apply_all(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Make changes in their order; envelopes that follow one another together."""
        results: list[RelayResult] = []
        envelopes: list[StoreEnvelope] = []
        for change in changes:
            if isinstance(change, StoreEnvelope):
                envelopes.append(change)
                continue
            if envelopes:
                results += self._mailboxes.store_all(envelopes)
                envelopes = []
            results.append(self._apply(change))
        results += self._mailboxes.store_all(envelopes)
        return tuple(results)

    def _apply(self, change: RelayChange) -> RelayResult:
        match change:
            case StoreEnvelope():
                return self._mailboxes.store_all([change])[0]
            case AckMailbox():
                self._mailboxes.ack(change)
            case PutNotice():
                return NoticePut(self._mailboxes.notify(change.device, change.notice))
            case Expire():
                return self._mailboxes.expire(change)
            case Sweep():
                return self._mailboxes.sweep(change)
            case PurgeSeen():
                return self._mailboxes.purge(change)
            case AppendAudit():
                return Placed(audit.append(self._connection, change.note))
            case PruneAudit():
                return Counted(audit.prune(self._connection, change))
            case AppendStatements():
                ledger.append_statements(self._connection, change)
                require_few_names(self._count_names(change.account))
            case HoldAccount():
                ledger.hold_account(self._connection, change)
            case NameKeys():
                self._name_keys(change)
            case PutCard():
                ledger.put_card(self._connection, change)
            case PutConnection():
                self._connect(change.connection, change.most)
            case EndConnection():
                self._end(change)
            case PutGrant():
                n, ended = self._find(change.grant.request)
                if ended:
                    raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
                ledger.put_grant(self._connection, n, change.grant)
            case RecordContact():
                self._record_contact(change)
            case PublishInvite():
                self._publish(change)
            case WithdrawInvite():
                self._connection.execute(
                    "DELETE FROM invites WHERE id = ? AND account = ?", (change.id, change.account)
                )
            case PurgeInvites():
                over = "SELECT id FROM invites WHERE expires_at <= ? LIMIT ?"
                gone = self._connection.execute(
                    f"DELETE FROM invites WHERE id IN ({over})",  # noqa: S608
                    (change.now, change.limit),
                )
                return Counted(gone.rowcount)
            case RecordRate():
                flow = change.flow
                numbers = ledger.number_agents(self._connection, (flow.from_, flow.to))
                ledger.record_rate(self._connection, numbers[flow.from_], numbers[flow.to], change.rate)
            case PutEvidence():
                ledger.put_evidence(self._connection, change)
            case (
                PutTicket()
                | RedeemTicket()
                | RequireUnreserved()
                | DropTicket()
                | PutApplication()
                | DropApplication()
                | GrantApplication()
                | SweepSignUps()
            ):
                return sign_ups.apply(self._connection, change)
            case (
                SuspendAccount() | ReleaseAccount() | PutSignIn() | TakeSignIn() | ListAgent() | UnlistAgent()
            ):
                return operations.apply(self._connection, change)
            case PutSetting():
                ledger.put_setting(self._connection, change.key, change.value)
            case DropSetting():
                ledger.drop_setting(self._connection, change.key)
            case _:
                assert_never(change)
        return Done()

    def _count_names(self, account: AccountId) -> int:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM names WHERE account = (SELECT n FROM accounts WHERE id = ?)", (account,)
        ).fetchone()
        return int(count)

    def _name_keys(self, change: NameKeys) -> None:
        row = self._connection.execute("SELECT n FROM accounts WHERE id = ?", (change.account,)).fetchone()
        if row is None:
            raise unknown("account", change.account)
        self._connection.executemany(
            "INSERT INTO account_keys (account, key) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(row[0], key) for key in change.keys],
        )

    def _find(self, request: bytes) -> tuple[int, bool]:
        """A connection's number, and whether it is ended."""
        row = self._connection.execute(
            "SELECT n, end_raw FROM connections WHERE request = ?", (request,)
        ).fetchone()
        if row is None:
            raise unknown("connection", request)
        return row[0], row[1] != b""

    def _connect(self, connection: StoredConnection, most: int) -> None:
        row = self._connection.execute(
            "SELECT end_raw FROM connections WHERE request = ?", (connection.request,)
        ).fetchone()
        if row is not None:
            if row[0]:
                raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
            return
        require_few_connections(self._count_connections(connection), most)
        numbers = ledger.number_agents(self._connection, (connection.from_, connection.to))
        require_few_between(self._count_between(numbers[connection.from_], numbers[connection.to]))
        (n,) = self._connection.execute(
            "INSERT INTO connections (request, from_agent, to_agent, request_raw, accept_raw, end_raw)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING n",
            (
                connection.request,
                numbers[connection.from_],
                numbers[connection.to],
                connection.request_raw,
                connection.accept_raw,
                connection.end_raw,
            ),
        ).fetchone()
        ledger.replace_grants(self._connection, n, connection.grants)

    def _count_between(self, one: int, other: int) -> int:
        query = (
            "SELECT count(*) FROM connections c WHERE c.end_raw = x'' AND (c.from_agent, c.to_agent) = (?, ?)"
        )
        ways = {(one, other), (other, one)}
        return sum(int(self._connection.execute(query, way).fetchone()[0]) for way in ways)

    def _count_connections(self, connection: StoredConnection) -> list[int]:
        head = "SELECT count(*) FROM agents a CROSS JOIN connections c ON "
        one = [f"{head}c.{end} = a.n WHERE a.account = ?1" for end in ("from_agent", "to_agent")]
        return [
            sum(int(self._connection.execute(query, (side.account,)).fetchone()[0]) for query in one)
            for side in (connection.from_, connection.to)
        ]

    def _end(self, change: EndConnection) -> None:
        n, _ = self._find(change.request)
        self._connection.execute(
            "UPDATE connections SET end_raw = ? WHERE n = ? AND end_raw = x''", (change.raw, n)
        )

    def _publish(self, change: PublishInvite) -> None:
        invite = change.invite
        held = relay_reads.invites(self._connection, [invite.id]).get(invite.id)
        (others,) = self._connection.execute(
            "SELECT count(*) FROM invites WHERE account = ? AND expires_at > ?",
            (invite.agent.account, change.at),
        ).fetchone()
        if invite_to_publish(held, others, change):
            numbers = ledger.number_agents(self._connection, (invite.agent,))
            self._connection.execute(
                "INSERT INTO invites (id, agent, account, expires_at, raw) VALUES (?, ?, ?, ?, ?)",
                (invite.id, numbers[invite.agent], invite.agent.account, invite.expires_at, invite.raw),
            )

    def _record_contact(self, change: RecordContact) -> None:
        flow, contact = change.flow, change.contact
        numbers = ledger.number_agents(self._connection, (flow.from_, flow.to))
        self._connection.execute(
            "INSERT OR REPLACE INTO contacts (from_agent, to_agent, sent, answered) VALUES (?, ?, ?, ?)",
            (numbers[flow.from_], numbers[flow.to], contact.sent, contact.answered),
        )
