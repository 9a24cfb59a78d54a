"""What another device of the owner shares with this one: held, waking nobody, answered to nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import attrs

from taskferry_protocol.accounts import LogRelation, compare
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.cards import Visibility, read_card
from taskferry_protocol.connections import EndKind, recall_end, recall_request
from taskferry_protocol.envelope import Envelope, parse_envelope, verify_envelope
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.links import ROLES, EventType, Role
from taskferry_protocol.messages import (
    Content,
    DeviceShare,
    SharedAccount,
    SharedAgent,
    SharedCard,
    SharedConnection,
    SharedLabel,
    SharedMessage,
    TaskRequest,
    decode_content,
)
from taskferry_protocol.permissions import newer_grant, recall_grant
from taskferry_protocol.records import (
    AddTaskEvent,
    CardRecord,
    ConnectionState,
    Direction,
    GrantRecord,
    HoldAccount,
    MessageRecord,
    PeerConnection,
    PutCard,
    PutGrant,
    PutSetting,
    RecordSeen,
    SaveConnection,
    SaveTask,
    SeenKey,
    SeenRecord,
    SetTrust,
    StoreMessage,
    TaskEventRecord,
    TaskRecord,
    Trust,
)
from taskferry_protocol.sealing import open_with_key
from taskferry_protocol.tasks import check_event

from .agents_told import take_agent
from .arrival import Arrival
from .bonds import Bond
from .cards import replacing
from .connection_audit import audit_copied_step
from .connection_copies import accepted_in_vain, note_end
from .displaced import tell_displaced
from .draft import Draft
from .grants import held_allowance
from .held_messages import held_message, stood
from .labels import take_label
from .lifting import lift_beside, lifted_by
from .log_news import News, note_second_claim, pin
from .logbook import continued
from .task_gate import hold_shared
from .task_parties import held_between
from .taskbook import Held, event_of, first_row, load_task, row_after

__all__ = ["PROGRESS", "take_share"]

#: How far the history has come that another device of ours sends: JSON with `done` and `total`.
PROGRESS: Final = "history progress"


async def take_share(arrival: Arrival, body: DeviceShare) -> None:
    """Take what is new of it; an item that does not hold is passed over, and harms no other.

    Raises RemoteProtocolError(not-authorized) where it is not from a managing device of ours.
    """
    draft, envelope = arrival.draft, arrival.decision.envelope
    own = await draft.own_log()
    sender = own.state.devices.get(envelope.device)
    if envelope.header.from_.account != own.account or sender is None or sender.record.manage is None:
        raise RemoteProtocolError(RejectCode.NOT_AUTHORIZED, "not from a managing device of this account")
    tasks = _Tasks(draft)
    # What one device is brought up with is where a connection stands; all are told where a block was lifted.
    told_at = envelope.header.created_at if envelope.header.to.device is None else None
    for item in body.items:
        try:
            match item:
                case SharedAccount():
                    await _take_account(draft, item)
                case SharedCard():
                    await _take_card(draft, item)
                case SharedConnection():
                    await _take_connection(draft, item, told_at=told_at)
                case SharedMessage():
                    await _take_message(draft, item, tasks)
                case SharedLabel():
                    if item.device in own.state.devices:
                        await take_label(draft, item)
                case SharedAgent():
                    await take_agent(draft, item)
        except (RemoteProtocolError, LocalProtocolError):
            continue
    await tasks.save()
    if body.total:
        progress = {"done": body.done, "total": body.total}
        draft.add(PutSetting(PROGRESS, json.dumps(progress).encode()))
        draft.tell("device", "", state="history", done=body.done, total=body.total)


async def _take_account(draft: Draft, item: SharedAccount) -> None:
    held = await draft.log(item.account)
    if item.account == draft.core.own or item.start > (held.state.length if held is not None else 0):
        return
    log = continued(held, item.start, item.statements)
    if log.account != item.account:
        return
    is_free = await draft.core.name_is_free(log, item.name)
    if held is None and not is_free:
        # This machine knew another account by that name first, as where a relay has shown each another one.
        await note_second_claim(draft, log, item.name)
        return
    if held is None:
        draft.replace_log(None, log, 0, item.name)
        trust = Trust(item.trust) if item.trust in {word.value for word in Trust} else Trust.UNVERIFIED
        draft.add(SetTrust(log.account, Trust.UNVERIFIED if trust is Trust.OWN else trust, draft.now))
        if item.held:
            draft.add(HoldAccount(log.account, item.held))
        return
    news = News(held, log)
    relation = compare(held, log)
    if relation is LogRelation.WINS or (relation is LogRelation.EXTENSION and news.settles):
        # Its owner has taken it back since it was shared first: this machine's owner is told, too.
        await pin(draft, news)
    elif relation is LogRelation.EXTENSION:
        name = item.name if is_free else await draft.core.logs.owner_name(log.account)
        draft.replace_log(held, log, held.state.length, name)


async def _take_card(draft: Draft, item: SharedCard) -> None:
    log = await draft.own_log()
    card = read_card(item.card, log)
    kept = (await draft.core.store.cards((card.agent,))).get(card.agent)
    fallen = replacing(kept, log)
    if kept is not None and not fallen and kept.version >= card.version:
        return
    public = card.visibility is Visibility.PUBLIC
    draft.add(PutCard(CardRecord(card.agent, card.version, public, item.card), instead_of=fallen))
    if kept is not None:
        draft.audit(
            AuditKind.CARD_CHANGED,
            card.agent.name,
            version=card.version,
            visibility=card.visibility.value,
            by="another device",
        )


async def _take_connection(draft: Draft, item: SharedConnection, *, told_at: Instant | None) -> None:
    request = recall_request(item.request)
    own = draft.core.own
    mine, peer = request.from_, request.to
    if mine.account != own:
        mine, peer = peer, mine
    if mine.account != own:
        return
    held = (await draft.core.store.connections((request.hash,))).get(request.hash)
    if held is not None:
        await _go_on(draft, held, item, told_at=told_at)
        return
    state = ConnectionState.REQUESTED_OUT if request.from_ == mine else ConnectionState.REQUESTED_IN
    state = ConnectionState.ACCEPTED if item.accept else state
    grants = [(recall_grant(raw), raw, terms) for raw, terms in item.grants]
    record = PeerConnection(
        request=request.hash,
        mine=mine,
        peer=peer,
        state=ConnectionState.ENDED if item.end else state,
        request_raw=item.request,
        created_at=item.at,
        updated_at=draft.now,
        expires_at=request.expires_at,
        accept_raw=item.accept,
        end_raw=item.end,
        end_kind=recall_end(item.end).kind.value if item.end else "",
        note=item.note,
        again_at=_again(item, mine, told_at=told_at),
        grants=tuple(
            GrantRecord(request.hash, grant.grantor, grant.version, raw, terms)
            for grant, raw, terms in grants
            if grant.request == request.hash
        ),
    )
    draft.add(SaveConnection(attrs.evolve(record, taken_back=Bond(record).taken_back)))


async def _go_on(
    draft: Draft, held: PeerConnection, item: SharedConnection, *, told_at: Instant | None
) -> None:
    """Bring a connection that is held to where it stands there; it never goes back."""
    if held.state is ConnectionState.ENDED:
        now = held
        if (lifted := lifted_by(held, item.end, draft)) is not None:
            now = lifted
            await audit_copied_step(draft, AuditKind.CONNECTION_UNBLOCKED, now)
            if told_at is not None:
                # What one device alone is told says of each connection how it stands.
                await lift_beside(draft, held, min(recall_end(item.end).at, told_at))
        if item.accept and not held.accept_raw:
            now = await accepted_in_vain(draft, now, item.accept)
        if now is not held:
            draft.add(SaveConnection(now))
        return
    now = held
    if item.accept and not held.accept_raw:
        now = attrs.evolve(now, state=ConnectionState.ACCEPTED, accept_raw=item.accept)
    draft.add(*map(PutGrant, _newer(held, item.grants)))
    if item.end:
        kind, again = recall_end(item.end).kind.value, _again(item, held.mine, told_at=told_at)
        now = attrs.evolve(now, state=ConnectionState.ENDED, end_raw=item.end, end_kind=kind, again_at=again)
        now = attrs.evolve(now, taken_back=Bond(now).taken_back)
        await note_end(draft, now)
    if now is not held:
        draft.add(SaveConnection(attrs.evolve(now, updated_at=draft.now)))


def _again(item: SharedConnection, mine: AgentRef, *, told_at: Instant | None) -> Instant | None:
    """From when on the peer may ask once more, also where a block was lifted before it is heard of here."""
    if not item.end:
        return None
    end = recall_end(item.end)
    return end.at if told_at is not None and end.kind is EndKind.REVOKED and end.by == mine else item.again


def _newer(held: PeerConnection, shared: Iterable[tuple[bytes, bytes]]) -> Iterator[GrantRecord]:
    """The grants that change what is allowed here; others were overtaken while they were on their way."""
    records = held.grants
    for raw, terms in shared:
        grant = recall_grant(raw)
        is_whole = any(record.raw == raw and (record.terms or not terms) for record in records)
        if grant.request != held.request or is_whole:
            continue
        known = held_allowance(records, grant.grantor)
        with suppress(RemoteProtocolError):
            newer_grant(known.grant if known is not None else None, grant)
            record = GrantRecord(held.request, grant.grantor, grant.version, raw, terms)
            records = (*records, record)
            yield record


# --- History ------------------------------------------------------------------------------------------------


class _Tasks:
    """The tasks that a share has events of, each folded in memory and saved once."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._held: dict[Hash, Held] = {}
        self._before: dict[Hash, Held] = {}
        self._rows: dict[tuple[Hash, str], TaskRecord] = {}

    async def add(self, envelope: Envelope, content: Content, record: MessageRecord) -> None:
        """Hold an event; a confirmation of which nobody can say whose it is stays a message."""
        task = record.task
        if task is None:
            return
        parties = (record.mine.account, record.peer.account)
        held = self._held.get(task) or await load_task(self._draft.core, task, parties)
        proves = record.direction is Direction.COPY or isinstance(content.body, TaskRequest)
        held = held_between(self._draft, held, record.mine, record.peer, proves=proves)
        if any(event.hash == envelope.hash for event in held.events):
            return
        row = next((row for row in self._rows_of(task, held) if self._is_of(row, record)), None)
        role = self._author(row, record, content)
        if role is None:
            return
        event = event_of(envelope, content, role)
        check_event(event, task)
        if row is None:
            row = self._new_row(envelope, record, role)
        self._before.setdefault(task, held)
        held = held.with_event(event, content, self._draft.core.device)
        stored = TaskEventRecord(
            task, envelope.hash, role.value, envelope.device, envelope.header.created_at, self._draft.now
        )
        self._draft.add(AddTaskEvent(stored))
        if isinstance(content.body, TaskRequest):
            row = attrs.evolve(row, title=content.body.title, home=envelope.device, conv=content.conv)
        self._held[task] = held
        self._rows[task, row.role] = attrs.evolve(row, updated_at=max(row.updated_at, record.created_at))

    def _rows_of(self, task: Hash, held: Held) -> list[TaskRecord]:
        ours = {(row.task, row.role): row for row in held.rows} | self._rows
        return [row for (of, _), row in ours.items() if of == task]

    @staticmethod
    def _is_of(row: TaskRecord, record: MessageRecord) -> bool:
        return (row.mine, row.peer) == (record.mine, record.peer)

    @staticmethod
    def _author(row: TaskRecord | None, record: MessageRecord, content: Content) -> Role | None:
        if row is not None:
            role = Role(row.role)
            return role if record.direction is Direction.COPY else role.other
        roles = ROLES[EventType(content.body.type_name)]
        return next(iter(roles)) if len(roles) == 1 else None

    @staticmethod
    def _new_row(envelope: Envelope, record: MessageRecord, author: Role) -> TaskRecord:
        role = author if record.direction is Direction.COPY else author.other
        if record.task is None:
            raise LocalProtocolError("a row is of a task")
        return first_row(
            record.task,
            role,
            mine=record.mine,
            peer=record.peer,
            conv=record.conv,
            home=envelope.device,
            now=record.created_at,
        )

    async def save(self) -> None:
        """Save each row once, as it stands after all; what nobody has accepted waits for the owner."""
        for (task, _), row in self._rows.items():
            held = self._held[task]
            await hold_shared(self._draft, row, held)
            await tell_displaced(self._draft, self._before[task], held, row)
            self._draft.add(SaveTask(row_after(row, held.view, held.contents, row.updated_at)))


async def _take_late(held: Sequence[MessageRecord], envelope: Envelope, tasks: _Tasks) -> None:
    """What came in a task that was not here yet, and is told again: now it is known whose word it is."""
    for record in held:
        if record.direction is not Direction.OUT:
            await tasks.add(envelope, decode_content(record.content), record)


async def _take_message(draft: Draft, item: SharedMessage, tasks: _Tasks) -> None:
    envelope = parse_envelope(item.envelope)
    verify_envelope(envelope)
    header, core = envelope.header, draft.core
    if held := (await core.store.messages((envelope.hash,))).get(envelope.hash):
        await _take_late(held, envelope, tasks)
        return
    log = await draft.log(header.from_.account)
    if log is None or not stood(log, envelope):
        return
    key = SeenKey(envelope.device, header.id, header.to, header.seq)
    seen = (await core.store.seen((key,)))[key]
    if any(row is not None and row.hash != envelope.hash for row in (seen.by_id, seen.by_seq)):
        return
    content = open_with_key(envelope, item.key)
    record = await held_message(draft, envelope, content)
    draft.add(StoreMessage(record, envelope.raw, item.key))
    if seen.by_id is None:
        draft.add(
            RecordSeen(
                SeenRecord(
                    envelope.device, header.id, header.to, header.seq, envelope.hash, "applied", "", draft.now
                )
            )
        )
    await tasks.add(envelope, content, record)
