"""What a device keeps: all that survives a crash, in dictionaries of frozen values."""

from __future__ import annotations

import attrs

from ..account_state import DeviceStatus
from ..accounts import AccountLog
from ..connections import ConnectionRequest
from ..envelope import Envelope
from ..errors import RejectCode
from ..frame_items import Cursor
from ..handoff import Kept
from ..header import Header
from ..ids import AccountId, AgentRef, ConversationId, DeviceId, Hash, Instant, MessageId
from ..inbound import Apply
from ..links import Role
from ..messages import Content
from ..permissions import Grant, Terms
from ..rates import RateState
from ..records import Flow, Rung, Seen, SeenRecord
from ..task_events import TaskEvent
from ..task_view import TaskView, fold_task
from .timeline import START

__all__ = ["Bond", "DeviceStore", "Owed", "Quarantined", "Received", "Sent", "TaskRow"]


@attrs.frozen
class Bond:
    """A connection of one of my agents with a peer's: `given` is what the peer may send, under `terms`."""

    request: ConnectionRequest
    accept: bytes = attrs.field(repr=False)
    given: Grant
    terms: Terms


@attrs.frozen
class Sent:
    """A parcel of mine, and how far it has come; `code` says why it failed."""

    hash: Hash
    mine: AgentRef
    peer: AgentRef
    parcel: bytes = attrs.field(repr=False)
    rung: Rung = Rung.QUEUED
    code: RejectCode | None = None
    not_before: Instant = START


@attrs.frozen
class Received:
    """A plain message that one of my agents got."""

    hash: Hash
    mine: AgentRef
    peer: AgentRef
    text: str


@attrs.frozen
class Quarantined:
    """Something delivered that has no effect, and why."""

    hash: Hash
    code: RejectCode
    text: str


@attrs.frozen
class Owed:
    """Something to say in the next receipt."""

    hash: Hash
    mine: AgentRef
    peer: AgentRef
    outcome: str
    code: str


@attrs.frozen
class TaskRow:
    """Who is who in a task, seen from here."""

    task: Hash
    role: Role
    mine: AgentRef
    peer: AgentRef
    conv: ConversationId


@attrs.define
class DeviceStore:
    """One state of a device. Make a copy, change it, and put it in place of the old one: that is a commit."""

    log: AccountLog
    cursor: Cursor | None = None
    caught_up: Instant = START
    peers: dict[AccountId, AccountLog] = attrs.field(factory=dict)
    bonds: dict[tuple[AgentRef, AgentRef], Bond] = attrs.field(factory=dict)
    sequences: dict[AgentRef, int] = attrs.field(factory=dict)
    sent: dict[Hash, Sent] = attrs.field(factory=dict)
    kept: dict[Hash, Kept] = attrs.field(factory=dict)
    contents: dict[Hash, Content] = attrs.field(factory=dict)
    tasks: dict[Hash, TaskRow] = attrs.field(factory=dict)
    events: dict[Hash, tuple[TaskEvent, ...]] = attrs.field(factory=dict)
    unplaced: dict[Hash, tuple[Apply, ...]] = attrs.field(factory=dict)
    seen_ids: dict[tuple[DeviceId, MessageId], SeenRecord] = attrs.field(factory=dict)
    seen_numbers: dict[tuple[DeviceId, AgentRef, int], SeenRecord] = attrs.field(factory=dict)
    highest: dict[tuple[DeviceId, AgentRef], int] = attrs.field(factory=dict)
    rates: dict[Flow, RateState] = attrs.field(factory=dict)
    arrived: dict[Flow, RateState] = attrs.field(factory=dict)
    inbox: tuple[Received, ...] = ()
    owed: tuple[Owed, ...] = ()
    receipts: tuple[Hash, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()

    def copy(self) -> DeviceStore:
        """The same, to be changed and committed."""
        return attrs.evolve(
            self,
            peers=dict(self.peers),
            bonds=dict(self.bonds),
            sequences=dict(self.sequences),
            sent=dict(self.sent),
            kept=dict(self.kept),
            contents=dict(self.contents),
            tasks=dict(self.tasks),
            events=dict(self.events),
            unplaced=dict(self.unplaced),
            seen_ids=dict(self.seen_ids),
            seen_numbers=dict(self.seen_numbers),
            highest=dict(self.highest),
            rates=dict(self.rates),
            arrived=dict(self.arrived),
        )

    # --- What follows from it

    def log_of(self, account: AccountId) -> AccountLog | None:
        """The newest log held of an account, the own one too."""
        return self.log if account == self.log.account else self.peers.get(account)

    def take_log(self, log: AccountLog) -> None:
        """Hold a longer log of an account."""
        if log.account == self.log.account:
            self.log = log
        else:
            self.peers[log.account] = log

    def seen(self, envelope: Envelope) -> Seen:
        """What was seen before under an envelope's id, and under its number."""
        header = envelope.header
        return Seen(
            self.seen_ids.get((envelope.device, header.id)),
            self.seen_numbers.get((envelope.device, header.to, header.seq)),
        )

    def remember(self, envelope: Envelope, outcome: str, code: str, now: Instant) -> None:
        """Never decide on this envelope again."""
        header, device = envelope.header, envelope.device
        record = SeenRecord(device, header.id, header.to, header.seq, envelope.hash, outcome, code, now)
        self.seen_ids[device, header.id] = record
        self.seen_numbers[device, header.to, header.seq] = record
        self.highest[device, header.to] = max(header.seq, self.highest.get((device, header.to), 0))

    def view(self, task: Hash, device: DeviceId) -> TaskView:
        """The task as `device` sees it by what is held."""
        row = self.tasks.get(task)
        ends = () if row is None else (self.log_of(row.mine.account), self.log_of(row.peer.account))
        revoked = frozenset(
            found.id
            for log in ends
            if log is not None
            for found in log.state.devices.values()
            if found.status is DeviceStatus.REVOKED
        )
        events = self.events.get(task, ())
        return fold_task(events, task=task, viewer=device, revoked=revoked)

    def open_tasks(self, header: Header, device: DeviceId) -> int:
        """How many tasks the sender has with the agent that it writes to, which are not over."""
        return sum(
            not self.view(row.task, device).is_final
            for row in self.tasks.values()
            if row.role is Role.WORKER and (row.mine, row.peer) == (header.to, header.from_)
        )
