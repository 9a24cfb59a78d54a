"""The daemon's changes to who is who and who may what, as SQL; its traffic has a module of its own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast, get_args

from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import (
    AddTaskEvent,
    AppendAudit,
    AppendStatements,
    BreakerChange,
    ConnectionState,
    Counted,
    DaemonChange,
    DaemonResult,
    Done,
    DropAgent,
    DropSetting,
    GateChange,
    HoldAccount,
    InviteRecord,
    KeepSealed,
    PeerConnection,
    Placed,
    PurgeAnswers,
    PutAgent,
    PutAnswer,
    PutCard,
    PutEvidence,
    PutGrant,
    PutInvite,
    PutOutbox,
    PutPeerWord,
    PutProposal,
    PutQuarantine,
    PutSetting,
    PutToken,
    RecordRate,
    RecordSeen,
    ReleaseName,
    RevokeToken,
    RuntimeChange,
    SaveApproval,
    SaveConnection,
    Saved,
    SaveTask,
    SetCursor,
    SetTrust,
    StoreMessage,
    UseInvite,
    UseRule,
    UseSequence,
)
from taskferry_protocol.records.forgetting import ForgetChange, SetApart

from ..errors import ConflictKind, StoreConflict
from ..rules import require_revision, require_usable, unknown
from . import audit, breaker_rows, forgetting, gate_rows, ledger, runtime_rows
from .daemon_reads import invite_record
from .held_rows import HeldChange, HeldRows
from .rows import to_signed
from .traffic_writes import TrafficWrites

_MAY_CONFLICT = (
    AppendStatements
    | HoldAccount
    | PutCard
    | PutGrant
    | SetTrust
    | ReleaseName
    | SaveConnection
    | StoreMessage
    | UseSequence
    | SaveTask
    | AddTaskEvent
    | RecordSeen
    | RevokeToken
    | PutAnswer
    | UseInvite
    | UseRule
    | SaveApproval
)
#: Looked up, since asking whether something is one of so many takes longer than holding it.
_HELD: Final = frozenset(get_args(HeldChange))
#: Agents whose numbers are remembered, some 300 bytes each.
NUMBERS_HELD = 4_096
#: Changes of rows that nothing which is held back touches.
_ASIDE = SetCursor | RecordRate | PutPeerWord | PutAnswer | PutSetting


class DaemonWriter:
    """What the engine asks about a daemon's changes."""

    def __init__(self) -> None:
        self._numbers: dict[AgentRef, int] = {}
        """Those of agents, which stay as long as the file."""

    def forget(self) -> None:
        """Agents that were given numbers since the last commit have none any more."""
        self._numbers.clear()

    def may_conflict(self, change: DaemonChange) -> bool:
        """Whether the change can raise `StoreConflict`."""
        return isinstance(change, _MAY_CONFLICT)

    def weight(self, change: DaemonChange) -> int:
        """The bytes that the change carries."""
        match change:
            case StoreMessage():
                return len(change.envelope) + len(change.message.content)
            case KeepSealed():
                return len(change.sealed.envelope) + len(change.sealed.content)
            case PutOutbox():
                return len(change.entry.parcel)
            case PutQuarantine():
                return len(change.item.envelope)
            case PutProposal():
                return len(change.proposal.content)
            case _:
                return 0

    def session(self, connection: sqlite3.Connection, changes: Iterable[DaemonChange]) -> DaemonSession:
        """Begin to write these changes."""
        if len(self._numbers) > NUMBERS_HELD:
            self._numbers.clear()
        return DaemonSession(connection, self._numbers)


class DaemonSession:
    """Writes a daemon's changes inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, numbers: dict[AgentRef, int]) -> None:
        self._connection = connection
        self._numbers = numbers
        self._held = HeldRows(connection, self._number)
        self._traffic = TrafficWrites(connection, self._number)

    def flush(self) -> None:
        """Write what is held back."""
        self._held.write()

    def _number(self, agent: AgentRef) -> int:
        number = self._numbers.get(agent)
        if number is None:
            number = self._numbers[agent] = ledger.number_agent(self._connection, agent)
        return number

    def apply_all(self, changes: Sequence[DaemonChange]) -> tuple[DaemonResult, ...]:
        """Make changes in their order."""
        hold = cast("Callable[[DaemonChange], DaemonResult]", self._held.take)
        return tuple([hold(one) if type(one) in _HELD else self._apply(one) for one in changes])

    def _apply(self, change: DaemonChange) -> DaemonResult:
        if isinstance(change, HeldChange):
            return self._held.take(change)
        if not isinstance(change, _ASIDE):
            self._held.write()
        if isinstance(change, RuntimeChange):
            return runtime_rows.apply(self._connection, change, self._number)
        if isinstance(change, GateChange):
            return gate_rows.apply(self._connection, change, self._number)
        if isinstance(change, BreakerChange):
            return breaker_rows.apply(self._connection, change, self._number)
        if isinstance(change, SetApart):
            # Its number is another's from here on.
            self._numbers.pop(change.agent, None)
        if isinstance(change, ForgetChange):
            return forgetting.apply(self._connection, change)
        connection, execute = self._connection, self._connection.execute
        match change:
            case AppendAudit():
                return Placed(audit.append(connection, change.note))
            case AppendStatements():
                ledger.append_statements(connection, change)
            case HoldAccount():
                ledger.hold_account(connection, change)
            case SetTrust():
                done = execute(
                    "UPDATE accounts SET trust = ?, pinned_at = ? WHERE id = ?",
                    (change.trust, change.at, change.account),
                )
                if done.rowcount == 0:
                    raise unknown("account", change.account)
            case ReleaseName():
                ledger.release_name(connection, change)
            case PutAgent():
                agent = change.agent
                execute(
                    "INSERT OR REPLACE INTO local_agents (name, settings, created_at) VALUES (?, ?, ?)",
                    (agent.name, agent.settings, agent.created_at),
                )
            case DropAgent():
                execute("DELETE FROM local_agents WHERE name = ?", (change.name,))
            case PutCard():
                ledger.put_card(connection, change)
            case SaveConnection():
                return self._save_connection(change.connection)
            case PutGrant():
                self._put_grant(change)
            case RecordRate():
                flow = change.flow
                ledger.record_rate(connection, self._number(flow.from_), self._number(flow.to), change.rate)
            case PutEvidence():
                ledger.put_evidence(connection, change)
            case PutSetting():
                ledger.put_setting(connection, change.key, change.value)
            case DropSetting():
                ledger.drop_setting(connection, change.key)
            case PutToken():
                token = change.token
                execute(
                    "INSERT OR REPLACE INTO tokens (digest, label, scope, agents, created_at, revoked_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        *(token.digest, token.label, token.scope, json.dumps(token.agents)),
                        *(token.created_at, token.revoked_at),
                    ),
                )
            case RevokeToken():
                done = execute(
                    "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE digest = ?",
                    (change.at, change.digest),
                )
                if done.rowcount == 0:
                    raise unknown("token", change.digest)
            case PutAnswer():
                self._put_answer(change)
            case PutInvite():
                self._put_invite(change.invite)
            case UseInvite():
                self._use_invite(change)
            case PurgeAnswers():
                gone = execute(
                    "DELETE FROM answers WHERE n IN (SELECT n FROM answers WHERE expires_at <= ? LIMIT ?)",
                    (change.now, change.limit),
                )
                return Counted(gone.rowcount)
            case _:
                return self._traffic.apply(change)
        return Done()

    def _save_connection(self, record: PeerConnection) -> Saved:
        row = self._connection.execute(
            "SELECT revision FROM connections WHERE request = ?", (record.request,)
        ).fetchone()
        require_revision(row[0] if row else 0, record.revision, "connection")
        # A request that was taken back is called `withdrawn` in databases.
        columns = (
            "mine, peer, state, request_raw, accept_raw, end_raw, end_kind, note, invite, invite_state,"
            " created_at, updated_at, expires_at, again_at, withdrawn, revision"
        )
        places = ", ".join("?" * 16)
        values = (
            *(self._number(record.mine), self._number(record.peer), record.state, record.request_raw),
            *(record.accept_raw, record.end_raw, record.end_kind, record.note),
            *(record.invite, record.invite_state),
            *(record.created_at, record.updated_at, record.expires_at, record.again_at),
            *(record.taken_back, record.revision + 1),
        )
        if row is None:
            (n,) = self._connection.execute(
                f"INSERT INTO connections ({columns}, request) VALUES ({places}, ?) RETURNING n",  # noqa: S608
                (*values, record.request),
            ).fetchone()
            ledger.replace_grants(self._connection, n, record.grants)
        else:
            self._connection.execute(
                f"UPDATE connections SET ({columns}) = ({places}) WHERE request = ?",  # noqa: S608
                (*values, record.request),
            )
        return Saved(record.revision + 1)

    def _put_grant(self, change: PutGrant) -> None:
        row = self._connection.execute(
            "SELECT n, state FROM connections WHERE request = ?", (change.grant.request,)
        ).fetchone()
        if row is None:
            raise unknown("connection", change.grant.request)
        if row[1] == ConnectionState.ENDED:
            raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
        ledger.put_grant(self._connection, row[0], change.grant)

    def _put_answer(self, change: PutAnswer) -> None:
        answer = change.answer
        done = self._connection.execute(
            "INSERT INTO answers (scope, key, digest, response, expires_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (answer.scope, answer.key, answer.digest, answer.response, answer.expires_at),
        )
        if done.rowcount == 0:
            raise StoreConflict(ConflictKind.KEY_USED, "there is an answer under this key")

    def _put_invite(self, invite: InviteRecord) -> None:
        self._connection.execute(
            "INSERT INTO invites (id, agent, raw, secret, uses, expires_at, created_at, used, revoked, note,"
            " accepts, permissions) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, raw = excluded.raw,"
            " secret = excluded.secret, uses = excluded.uses, expires_at = excluded.expires_at,"
            " created_at = excluded.created_at, revoked = excluded.revoked, note = excluded.note,"
            " accepts = excluded.accepts, permissions = excluded.permissions",
            (
                *(invite.id, invite.agent, invite.raw, invite.secret, to_signed(invite.uses)),
                *(invite.expires_at, invite.created_at, invite.revoked, invite.note),
                *(invite.accepts, invite.permissions),
            ),
        )

    def _use_invite(self, change: UseInvite) -> None:
        counted = self._connection.execute(
            "SELECT 1 FROM invite_uses WHERE invite = ? AND request = ?", (change.id, change.request)
        ).fetchone()
        if counted:
            return
        require_usable(invite_record(self._connection, change.id), change.at)
        self._connection.execute("UPDATE invites SET used = used + 1 WHERE id = ?", (change.id,))
        self._connection.execute(
            "INSERT INTO invite_uses (invite, request) VALUES (?, ?)", (change.id, change.request)
        )
