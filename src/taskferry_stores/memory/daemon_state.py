"""What a daemon's store in memory holds, and how each change alters it."""

from __future__ import annotations

from typing import TypeVar, assert_never

import attrs

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant
from taskferry_protocol.records import (
    AddTaskEvent,
    AppendAudit,
    AppendEvent,
    AppendStatements,
    BreakerChange,
    Counted,
    DaemonChange,
    DaemonResult,
    DeferOutbox,
    Done,
    DropAgent,
    DropOutbox,
    DropQuarantine,
    DropSetting,
    EventRecord,
    GateChange,
    HoldAccount,
    IdempotencyRecord,
    InviteRecord,
    KeepSealed,
    LocalAgent,
    MarkMessages,
    MessageRecord,
    OfferAgain,
    OutboxRecord,
    OutboxState,
    OweReceipt,
    PeerConnection,
    Place,
    Placed,
    PruneEvents,
    PurgeAnswers,
    PurgeSeen,
    PutAgent,
    PutAnswer,
    PutCard,
    PutEvidence,
    PutGrant,
    PutInvite,
    PutOutbox,
    PutQuarantine,
    PutSetting,
    PutToken,
    QuarantineRecord,
    ReceiptGot,
    ReceiptOwed,
    RecordRate,
    RecordReceipt,
    RecordSeen,
    RelayCursor,
    RelayedOutbox,
    ReleaseName,
    ReviseSeen,
    RevokeToken,
    RuntimeChange,
    SaveConnection,
    Saved,
    SaveTask,
    SealedRecord,
    SetCursor,
    SetRung,
    SettleReceipts,
    SetTrust,
    StoreMessage,
    TaskEventRecord,
    TaskRecord,
    TokenRecord,
    Trust,
    UseInvite,
    UseSequence,
)
from taskferry_protocol.records import ConnectionState as State
from taskferry_protocol.records.forgetting import ForgetChange, ForgetSealed

from ..errors import ConflictKind, StoreConflict
from ..rules import (
    add_grant,
    cursor_to_store,
    marked,
    on_rung,
    require_revision,
    require_usable,
    unknown,
)
from . import forgetting
from .audit import AuditTable
from .breakers import BreakerTables
from .decisions import DecisionTable
from .gates import GateTables
from .queries import too_old
from .runtimes import RuntimeTables
from .tables import Journal, Ledger

K = TypeVar("K")


class DaemonState:
    """Dictionaries, and the one way to change them."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.ledger = Ledger(self.journal)
        self.audit = AuditTable(self.journal)
        self.trust: dict[AccountId, tuple[Trust, int]] = {}
        self.agents: dict[str, LocalAgent] = {}
        self.connections: dict[Hash, PeerConnection] = {}
        self.connection_places: dict[Hash, Place] = {}
        self.messages: dict[tuple[Hash, str], MessageRecord] = {}
        self.sealed: dict[Hash, SealedRecord] = {}
        self.users_of_sealed: dict[Hash, int] = {}
        self.outbox: dict[Hash, OutboxRecord] = {}
        self.outbox_places: dict[Hash, Place] = {}
        self.sequences: dict[AgentRef, int] = {}
        self.tasks: dict[tuple[Hash, str], TaskRecord] = {}
        self.task_events: dict[tuple[Hash, Hash], TaskEventRecord] = {}
        self.owed: dict[tuple[Hash, AgentRef, str], ReceiptOwed] = {}
        self.got: dict[tuple[Hash, DeviceId, str], ReceiptGot] = {}
        self.quarantine: dict[Hash, QuarantineRecord] = {}
        self.decisions = DecisionTable(self.journal)
        self.cursors: dict[str, RelayCursor] = {}
        self.tokens: dict[bytes, TokenRecord] = {}
        self.answers: dict[tuple[str, str], IdempotencyRecord] = {}
        self.invites: dict[bytes, InviteRecord] = {}
        self.invite_uses: dict[tuple[bytes, Hash], None] = {}
        self.gate_tables = GateTables(self.journal)
        self.runtime_tables = RuntimeTables(self.journal)
        self.breaker_tables = BreakerTables(self.journal)
        self.events: dict[Place, EventRecord] = {}
        self.counted_from: dict[None, Instant] = {}
        self.counters: dict[str, int] = {}

    def place(self, table: str) -> Place:
        """The next running number of a table."""
        return Place(self.journal.count(self.counters, table))

    def apply(self, change: DaemonChange) -> DaemonResult:
        """Make one change."""
        if isinstance(change, RuntimeChange):
            return self.runtime_tables.apply(change)
        if isinstance(change, GateChange):
            return self.gate_tables.apply(change, self)
        if isinstance(change, BreakerChange):
            return self.breaker_tables.apply(change, self)
        if isinstance(change, ForgetChange):
            return forgetting.apply(self, change)
        put, drop = self.journal.put, self.journal.drop
        match change:
            case StoreMessage():
                return self._store_message(change)
            case KeepSealed():
                if change.sealed.hash not in self.sealed:
                    put(self.sealed, change.sealed.hash, change.sealed)
            case ForgetSealed():
                forgetting.forget_sealed(self, change)
            case MarkMessages():
                return self._mark(change)
            case SetRung():
                message = self.messages.get((change.hash, change.agent))
                if message is not None:
                    moved = on_rung(message, change.rung, change.code, change.at)
                    put(self.messages, (change.hash, change.agent), moved)
            case PutOutbox() | RelayedOutbox() | DeferOutbox() | DropOutbox() | OfferAgain():
                return self._apply_outbox(change)
            case UseSequence():
                last = max(self.sequences.get(change.to, 0), change.above)
                if change.seq != last + 1:
                    raise StoreConflict(ConflictKind.SEQUENCE, f"the last number used is {last}")
                put(self.sequences, change.to, change.seq)
            case SaveTask():
                key = (change.task.task, change.task.role)
                held = self.tasks.get(key)
                require_revision(held.revision if held else 0, change.task.revision, "task")
                saved = attrs.evolve(change.task, revision=change.task.revision + 1)
                put(self.tasks, key, saved)
                return Saved(saved.revision)
            case AddTaskEvent():
                event = change.event
                if event.hash not in self.sealed:
                    raise unknown("sealed record", event.hash)
                if (event.task, event.hash) not in self.task_events:
                    put(self.task_events, (event.task, event.hash), attrs.evolve(event, content=b""))
                    self.journal.count(self.users_of_sealed, event.hash)
            case OweReceipt():
                owed = change.receipt
                if (owed.hash, owed.mine, owed.outcome) not in self.owed:
                    placed = attrs.evolve(owed, place=self.place("owed"))
                    put(self.owed, (owed.hash, owed.mine, owed.outcome), placed)
            case SettleReceipts():
                for settled in [k for k, o in self.owed.items() if o.place in change.places]:
                    drop(self.owed, settled)
            case RecordReceipt():
                got = change.receipt
                if (got.hash, got.device, got.outcome) not in self.got:
                    put(self.got, (got.hash, got.device, got.outcome), got)
            case PutQuarantine():
                item = self.quarantine.get(change.item.hash)
                if item is None:
                    item = attrs.evolve(change.item, place=self.place("quarantine"))
                    put(self.quarantine, item.hash, item)
                return Placed(item.place)
            case DropQuarantine():
                drop(self.quarantine, change.hash)
            case RecordSeen():
                self.decisions.record(change.seen)
            case ReviseSeen():
                self.decisions.revise(change.seen)
            case PurgeSeen():
                return Counted(forgetting.purge_seen(self, change))
            case AppendAudit():
                return Placed(self.audit.append(change.note))
            case AppendEvent():
                place = self.place("events")
                put(self.events, place, attrs.evolve(change.event, place=place))
                return Placed(place)
            case PruneEvents():
                return self._prune(change)
            case SetCursor():
                relay = change.cursor.relay
                put(self.cursors, relay, cursor_to_store(self.cursors.get(relay), change.cursor))
            case _:
                return self._apply_directory(change)
        return Done()

    def _apply_directory(
        self,
        change: AppendStatements
        | HoldAccount
        | PutCard
        | PutGrant
        | RecordRate
        | PutEvidence
        | PutSetting
        | DropSetting
        | SetTrust
        | ReleaseName
        | PutAgent
        | DropAgent
        | SaveConnection
        | PutToken
        | RevokeToken
        | PutAnswer
        | PutInvite
        | UseInvite
        | PurgeAnswers,
    ) -> DaemonResult:
        """Make a change to who is who, and who may what."""
        put, drop = self.journal.put, self.journal.drop
        match change:
            case AppendStatements():
                self.ledger.append(change)
                if change.account not in self.trust:
                    put(self.trust, change.account, (Trust.UNVERIFIED, 0))
            case HoldAccount():
                self.ledger.hold(change)
            case SetTrust():
                if change.account not in self.trust:
                    raise unknown("account", change.account)
                put(self.trust, change.account, (change.trust, change.at))
            case ReleaseName():
                self.ledger.release(change)
            case PutAgent():
                put(self.agents, change.agent.name, change.agent)
            case DropAgent():
                drop(self.agents, change.name)
            case PutCard():
                self.ledger.put_card(change)
            case SaveConnection():
                return self._save_connection(change.connection)
            case PutGrant():
                held = self.connections.get(change.grant.request)
                if held is None:
                    raise unknown("connection", change.grant.request)
                if held.state is State.ENDED:
                    raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
                grants = add_grant(held.grants, change.grant)
                put(self.connections, held.request, attrs.evolve(held, grants=grants))
            case RecordRate():
                put(self.ledger.rates, change.flow, change.rate)
            case PutEvidence():
                self.ledger.put_evidence(change.evidence)
            case PutSetting():
                put(self.ledger.settings, change.key, change.value)
            case DropSetting():
                drop(self.ledger.settings, change.key)
            case PutToken():
                put(self.tokens, change.token.digest, change.token)
            case RevokeToken():
                token = self.tokens.get(change.digest)
                if token is None:
                    raise unknown("token", change.digest)
                if token.revoked_at is None:
                    put(self.tokens, change.digest, attrs.evolve(token, revoked_at=change.at))
            case PutAnswer():
                key = (change.answer.scope, change.answer.key)
                if key in self.answers:
                    raise StoreConflict(ConflictKind.KEY_USED, "there is an answer under this key")
                put(self.answers, key, change.answer)
            case PutInvite():
                known = self.invites.get(change.invite.id)
                used = known.used if known else 0
                put(self.invites, change.invite.id, attrs.evolve(change.invite, used=used))
            case UseInvite():
                if (change.id, change.request) not in self.invite_uses:
                    invite = require_usable(self.invites.get(change.id), change.at)
                    put(self.invites, change.id, attrs.evolve(invite, used=invite.used + 1))
                    put(self.invite_uses, (change.id, change.request), None)
            case PurgeAnswers():
                over = [k for k, a in self.answers.items() if a.expires_at <= change.now]
                for old in over[: change.limit]:
                    drop(self.answers, old)
                return Counted(min(len(over), change.limit))
            case _:
                assert_never(change)
        return Done()

    def _apply_outbox(
        self, change: PutOutbox | RelayedOutbox | DeferOutbox | DropOutbox | OfferAgain
    ) -> DaemonResult:
        match change:
            case PutOutbox():
                if change.entry.hash not in self.outbox:
                    self.journal.put(self.outbox_places, change.entry.hash, self.place("outbox"))
                self.journal.put(self.outbox, change.entry.hash, change.entry)
            case RelayedOutbox():
                for hash in change.hashes:
                    if hash in self.outbox:
                        moved = attrs.evolve(self.outbox[hash], state=OutboxState.RELAYED)
                        self.journal.put(self.outbox, hash, moved)
            case DeferOutbox():
                if change.hash in self.outbox:
                    entry = attrs.evolve(
                        self.outbox[change.hash],
                        attempts=change.attempts,
                        next_attempt_at=change.next_attempt_at,
                    )
                    self.journal.put(self.outbox, change.hash, entry)
            case DropOutbox():
                for hash in change.hashes:
                    self.journal.drop(self.outbox, hash)
                    self.journal.drop(self.outbox_places, hash)
            case OfferAgain():
                held = [e for e in self.outbox.values() if change.to in (None, e.to)]
                for entry in (again := [e for e in held if e.state is OutboxState.RELAYED]):
                    due = attrs.evolve(entry, state=OutboxState.WAITING, next_attempt_at=change.at)
                    self.journal.put(self.outbox, entry.hash, due)
                return Counted(len(again))
        return Done()

    def _store_message(self, change: StoreMessage) -> Placed:
        message = change.message
        key = (message.hash, message.mine.name)
        if key in self.messages:
            raise StoreConflict(ConflictKind.EXISTS, "this agent has the message already")
        if message.hash not in self.sealed:
            sealed = SealedRecord(message.hash, change.envelope, change.key, message.content)
            self.journal.put(self.sealed, message.hash, sealed)
        place = self.place("messages")
        self.journal.put(self.messages, key, attrs.evolve(message, place=place))
        self.journal.count(self.users_of_sealed, message.hash)
        return Placed(place)

    def _mark(self, change: MarkMessages) -> Counted:
        changed = 0
        for hash in dict.fromkeys(change.hashes):
            message = self.messages.get((hash, change.agent))
            if change.tell and message is not None:
                self.runtime_tables.tell(self, message, change)
                message = self.messages[hash, change.agent]
            if message is not None and (after := marked(message, change.mark, change.at)) != message:
                self.journal.put(self.messages, (hash, change.agent), after)
                changed += 1
        return Counted(changed)

    def _save_connection(self, offered: PeerConnection) -> Saved:
        held = self.connections.get(offered.request)
        require_revision(held.revision if held else 0, offered.revision, "connection")
        grants = offered.grants if held is None else held.grants
        saved = attrs.evolve(offered, grants=grants, revision=offered.revision + 1)
        if held is None:
            self.journal.put(self.connection_places, offered.request, self.place("connections"))
        self.journal.put(self.connections, offered.request, saved)
        return Saved(saved.revision)

    def _prune(self, change: PruneEvents) -> Counted:
        gone = too_old(self.events, self.counters.get("events", 0), change)
        for place in gone:
            self.journal.drop(self.events, place)
        return Counted(len(gone))
