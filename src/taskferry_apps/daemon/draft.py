"""What belongs in one commit: envelopes made and sealed, their outbox entries, and every other change.

A draft is made, filled and committed while the core's lock is held. Nothing leaves before the commit.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar, cast

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind, Fact, audit_note
from taskferry_protocol.envelope import Envelope, Parcel, encode_parcel
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, AgentRef, ConversationId, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.links import TaskLink
from taskferry_protocol.messages import Body, Content, MessageClass
from taskferry_protocol.records import (
    AppendAudit,
    AppendEvent,
    AppendStatements,
    CountExchange,
    DaemonChange,
    Direction,
    EventRecord,
    ExchangeRecord,
    Flow,
    KeepSealed,
    MessageRecord,
    OutboxRecord,
    PutOutbox,
    PutSetting,
    ReleaseName,
    Rung,
    SealedRecord,
    SetTrust,
    StoreMessage,
    Trust,
    UseSequence,
)
from taskferry_protocol.sealing import Address, Sealed, seal_envelope, wrap_for
from taskferry_protocol.values import value

from ..audit_logs import own_changes, peer_changes
from .core import Core
from .port import DaemonRefusal
from .steps import record_of
from .unserved import check_not_former, unserved

__all__ = ["LIFETIME_MS", "Draft", "Posted", "Thread", "refusal_of", "wrap_keys"]

T = TypeVar("T")

#: How long what this daemon sends is kept for a recipient that is away.
LIFETIME_MS: Final = 14 * DAY_MS


@value
class Thread:
    """Where a message belongs: its conversation, what it answers, and what led to it."""

    conv: ConversationId
    reply: Hash | None = None
    link: TaskLink | None = None
    hop: int = 0
    cause: tuple[Hash, ...] = ()


@value
class Posted:
    """An envelope made in a draft; `record` is how it is stored, where it was made just now as a message."""

    envelope: Envelope
    content: Content
    record: MessageRecord | None = None

    @property
    def hash(self) -> Hash:
        """The envelope's hash."""
        return self.envelope.hash


def refusal_of(error: LocalProtocolError | RemoteProtocolError) -> DaemonRefusal:
    """What a caller is told whose words the specification refuses."""
    cause = error if isinstance(error, RemoteProtocolError) else error.__cause__
    if isinstance(cause, RemoteProtocolError):
        field = cause.field.removeprefix("body.")
        detail: dict[str, object] = {"field": field} if field else {}
        text = f"{field or 'That'} cannot be used: {cause.text or cause.code.value}."
        return DaemonRefusal(cause.code.value, text, "Mend that value and try again.", detail=detail)
    return DaemonRefusal("bad-value", str(error), "Mend the request and try again.")


def wrap_keys(own: AccountLog, peer: AccountLog, to: AgentRef, device: bytes) -> tuple[bytes, ...]:
    """The X25519 keys to seal for: the recipient's serving devices, and the owner's other ones.

    The one device's alone where `to` names a device.
    Raises RemoteProtocolError(unknown-recipient) if no device serves the recipient.
    """
    serving = peer.state.serving(to.name)
    if not to.name or to.device is not None:
        serving = tuple(found for found in serving if found.id != device)
    if not serving:
        raise RemoteProtocolError(RejectCode.UNKNOWN_RECIPIENT, "no device serves that agent", field="to")
    if to.device is not None:
        return tuple(found.record.enc for found in serving)
    others = (found.record.enc for found in own.state.active_devices() if found.id != device)
    return (*(found.record.enc for found in serving), *others)


class _Recipient:
    """What is the same for all that a draft sends to one agent."""

    def __init__(self, own: AccountLog, peer: AccountLog, to: AgentRef, device: bytes) -> None:
        self.own, self.log = own.position, peer.position
        self.peer = peer
        self._own = own
        self._to = to
        self._device = device
        self._keys: tuple[bytes, ...] = ()

    def keys(self) -> tuple[bytes, ...]:
        """Those to seal for. Raises as `wrap_keys` does."""
        if not self._keys:
            self._keys = wrap_keys(self._own, self.peer, self._to, self._device)
        return self._keys


def _facts_text(facts: Mapping[str, object]) -> str:
    # The same few words again and again; what is no text may equal what is written otherwise.
    if all(type(value) is str for value in facts.values()):
        return _words_text(tuple(facts.items()))
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=256)
def _words_text(facts: tuple[tuple[str, object], ...]) -> str:
    return json.dumps(dict(facts), ensure_ascii=False, separators=(",", ":"))


@value
class Mark:
    """How far a draft was."""

    changes: int
    logs: dict[AccountId, AccountLog]
    sequences: dict[AgentRef, int]


class Draft:
    """Gathers changes. `now` is the one instant of everything in it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.now: Instant = core.now()
        self.changes: list[DaemonChange] = []
        self._logs: dict[AccountId, AccountLog] = {}
        self._sequences: dict[AgentRef, int] = {}
        self._passed: dict[Flow, list[ExchangeRecord]] = {}
        self._asked: dict[Hashable, object] = {}
        self._ways: dict[AgentRef, _Recipient] = {}

    async def once(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers, asked once a draft under `key`, which has to say all that it rests on.

        For what nothing but a commit can change: there is none while the lock is held and this is filled.
        """
        if key not in self._asked:
            self._asked[key] = await ask()
        return cast("T", self._asked[key])

    def add(self, *changes: DaemonChange) -> None:
        """Further changes, in order."""
        self.changes += changes
        self._note_passed(changes)

    def tell(self, kind: str, agent: str, refs: Sequence[Hash] = (), **facts: object) -> None:
        """A line for the feed. `agent` is empty for what concerns the owner only; facts are small JSON."""
        self.add(AppendEvent(EventRecord(kind, agent, tuple(refs), _facts_text(facts), self.now)))

    def audit(self, kind: AuditKind, subject: str, **facts: Fact) -> None:
        """An entry for the owner's audit log, committed with what it is about; no secret, nobody's words.

        What somebody else can repeat as often as they please goes through `audit_often`.
        """
        self.add(AppendAudit(audit_note(kind.value, subject, facts, self.now)))

    async def setting(self, key: str) -> bytes | None:
        """A setting as it will be after this draft."""
        for change in reversed(self.changes):
            if isinstance(change, PutSetting) and change.key == key:
                return change.value
        return (await self.core.store.settings((key,))).get(key)

    def passed(self, mine: AgentRef, peer: AgentRef) -> Sequence[ExchangeRecord]:
        """What passes between two agents in this draft, oldest first: it is counted once it is committed."""
        return self._passed.get(Flow(mine, peer), ())

    def mark(self) -> Mark:
        """How far this draft is, for `back_to`."""
        return Mark(len(self.changes), {**self._logs}, {**self._sequences})

    def back_to(self, mark: Mark) -> None:
        """Forget everything that was done since."""
        del self.changes[mark.changes :]
        self._logs, self._sequences = mark.logs, mark.sequences
        self._ways.clear()
        self._passed.clear()
        self._note_passed(self.changes)

    def _note_passed(self, changes: Iterable[DaemonChange]) -> None:
        for change in changes:
            if type(change) is CountExchange:
                exchange = change.exchange
                self._passed.setdefault(Flow(exchange.mine, exchange.peer), []).append(exchange)

    async def commit(self) -> None:
        """Make it all durable, or nothing of it."""
        if self.changes:
            self.add(*record_of(self.changes, self.now))
            await self.commit_as_it_is()

    async def commit_as_it_is(self) -> None:
        """The same, where what each request sent is recorded already."""
        await self.core.commit(self.changes, tuple(self._logs.values()))

    # --- Account logs

    async def log(self, account: AccountId) -> AccountLog | None:
        """An account's log as it will be after this draft."""
        return self._logs.get(account) or await self.core.logs.get(account)

    async def own_log(self) -> AccountLog:
        """The owner's log as it will be after this draft."""
        return self._logs.get(self.core.own) or await self.core.own_log()

    def take_log(self, held: AccountLog | None, log: AccountLog) -> None:
        """Pin a log that extends the one held, or is new."""
        kept = held.state.length if held is not None else 0
        self.replace_log(held, log, kept)
        if held is None:
            self.add(SetTrust(log.account, Trust.UNVERIFIED, self.now))

    def replace_log(
        self, held: AccountLog | None, log: AccountLog, kept: int, name: str | None = None
    ) -> None:
        """Pin a log that shares `kept` statements with the one held; `name` if it is called otherwise."""
        self.add(
            AppendStatements(
                log.account,
                name or log.state.name,
                held.position if held is not None else None,
                kept,
                log.after(kept),
                log.position,
            )
        )
        self._logs[log.account] = log
        self._ways.clear()
        if log.account == self.core.account:
            changes = tuple(own_changes(log, kept))
        else:
            changes = tuple(peer_changes(log, kept)) if held is not None else ()
        for change in changes:
            self.audit(change.kind, change.subject, **change.facts)

    def release_name(self, log: AccountLog, name: str, shown_as: str) -> None:
        """Let another account have a name that this log's had here."""
        self.add(ReleaseName(log.account, name, shown_as))
        self._logs[log.account] = log
        self._ways.clear()

    # --- Envelopes

    async def post(
        self, body: Body, mine: AgentRef, peer: AgentRef, thread: Thread, *, to_nobody: bool = False
    ) -> Posted:
        """Seal a message to a peer and keep it as one of our agent's; it waits in the outbox.

        With `to_nobody` it is kept also where no device serves the peer any more, as one that failed.
        Raises DaemonRefusal for what the specification refuses, and else for what nobody serves.
        """
        content = Content(body, thread.conv, thread.hop, thread.cause, thread.reply, thread.link)
        sealed = await self._seal(content, mine, peer)
        header = sealed.envelope.header
        failed = to_nobody and not (await self._recipient(peer)).peer.state.serving(peer.name)
        task = None
        if thread.link is not None:
            task = thread.link.task if thread.link.task is not None else sealed.envelope.hash
        record = MessageRecord(
            hash=sealed.envelope.hash,
            direction=Direction.OUT,
            mine=mine,
            peer=peer,
            device=sealed.envelope.device,
            id=header.id,
            seq=header.seq,
            cls=header.cls.value,
            type=body.type_name,
            conv=thread.conv,
            content=sealed.content,
            created_at=header.created_at,
            expires_at=header.expires_at,
            stored_at=self.now,
            task=task,
            reply=thread.reply,
            rung=Rung.FAILED if failed else Rung.QUEUED,
            code=RejectCode.UNKNOWN_RECIPIENT.value if failed else "",
        )
        self.add(StoreMessage(record, sealed.envelope.raw, sealed.key))
        if not failed:
            await self._queue(sealed)
        return Posted(sealed.envelope, content, record)

    async def post_quietly(self, body: Body, mine: AgentRef, peer: AgentRef) -> Posted:
        """Seal something that is no message of anybody's, such as a receipt. Raises as `post` does."""
        content = Content(body, ConversationId(self.core.entropy(16)))
        sealed = await self._seal(content, mine, peer)
        kept = SealedRecord(sealed.envelope.hash, sealed.envelope.raw, sealed.key, sealed.content)
        self.add(KeepSealed(kept))
        await self._queue(sealed)
        return Posted(sealed.envelope, content)

    async def _seal(self, content: Content, mine: AgentRef, peer: AgentRef) -> Sealed:
        self.core.check_may_sign()
        self.core.clock.check()
        check_not_former(mine, peer)
        to = await self._recipient(peer)
        sequence = await self._next_sequence(peer)
        try:
            return seal_envelope(
                content,
                Address(mine, peer, sequence, to.own, to.log),
                created_at=self.now,
                expires_at=Instant(self.now + LIFETIME_MS),
                device_key=self.core.keys.device.signing,
                entropy=self.core.entropy,
            )
        except LocalProtocolError as error:
            raise refusal_of(error) from error

    async def _next_sequence(self, to: AgentRef) -> int:
        last = self._sequences.get(to)
        if last is None:
            kept = (await self.core.store.sequences((to,))).get(to, 0)
            last = max(kept, self.core.sequence_floor)
        self._sequences[to] = last + 1
        self.add(UseSequence(to, last + 1, self.core.sequence_floor))
        return last + 1

    async def _queue(self, sealed: Sealed) -> None:
        header = sealed.envelope.header
        parcel = await self.wrap(sealed.envelope, sealed.key)
        self.add(
            PutOutbox(
                OutboxRecord(
                    sealed.envelope.hash,
                    header.to,
                    header.seq,
                    header.cls.value,
                    parcel,
                    self.now,
                    header.expires_at,
                )
            )
        )

    async def wrap(self, envelope: Envelope, key: bytes) -> bytes:
        """The encoded parcel of an envelope of ours, wrapped by the logs held now. Raises DaemonRefusal."""
        to = await self._recipient(envelope.header.to)
        try:
            keys = to.keys()
        except RemoteProtocolError as error:
            name = await self.core.logs.owner_name(to.peer.account) or to.peer.state.name
            raise unserved(to.peer, envelope.header.to, name) from error
        wraps = wrap_for(key, keys, self.core.entropy)
        return encode_parcel(Parcel(envelope.raw, wraps))

    async def _recipient(self, to: AgentRef) -> _Recipient:
        """To whom something goes, by the logs held now; asked once for all that goes there."""
        known = self._ways.get(to)
        if known is None:
            own, peer = await self.own_log(), await self.log(to.account)
            if peer is None:
                raise DaemonRefusal("unknown-account", "That account is not known here.", status=404)
            known = self._ways[to] = _Recipient(own, peer, to, self.core.device)
        return known

    def conversation(self) -> ConversationId:
        """A fresh conversation."""
        return ConversationId(self.core.entropy(16))


def is_class_without_receipt(cls: str) -> bool:
    """Whether nobody says what became of envelopes of this class."""
    return cls in {MessageClass.RECEIPT.value, MessageClass.ACCOUNT.value}
