"""What comes out of the mailbox: decided on, its effects committed with the cursor, then acknowledged.

Every item ends in a state. What cannot be read, is not allowed or does not hold together is quarantined, with
no effect, and acknowledged: no poison stands before anybody's mail.
"""

from __future__ import annotations

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Entry, Mail, Notice
from taskferry_protocol.ids import Hash, sha256
from taskferry_protocol.inbound import (
    Apply,
    Decision,
    Directory,
    Duplicate,
    NeedLog,
    Quarantine,
    read_inbound,
    receive,
)
from taskferry_protocol.messages import (
    MessageClass,
    Outcome,
)
from taskferry_protocol.records import (
    DropOutbox,
    EvidenceRecord,
    OutboxState,
    PutEvidence,
    QuarantineRecord,
    RelayCursor,
    Rung,
    SeenKey,
    SetCursor,
    SetRung,
)
from taskferry_stores.port import StoreConflict, StoreError

from ..logs import get_logger
from ..relay_client import LinkEnded
from .alarms import raise_alarm
from .arrival import Arrival, owe
from .barred import note_barred
from .core import Core
from .draft import Draft
from .effects import apply, note_applied, seen_row
from .identity_changes import What, mark_changed, quoted_history
from .inbound_facts import gather_facts
from .late_mail import note_late
from .log_news import Fetch, News, fetch_news, judge, pin, refresh
from .named_events import take_if_named
from .quarantine import set_aside
from .repeating import note_expired

__all__ = ["Fetch", "Inbound"]


class Inbound:
    """Takes entries one by one, in their order."""

    def __init__(self, core: Core, fetch: Fetch) -> None:
        self._core = core
        self._fetch = fetch

    async def take(self, entry: Entry, at: RelayCursor) -> None:
        """Commit what an entry comes to, and with it the cursor `at`. Raises store errors and LinkEnded."""
        match entry:
            case Notice(hash=hash, code=code):
                await self._take_notice(hash, code.value, at)
            case Mail(envelope=raw, sealed=sealed):
                try:
                    await self._take_mail(raw, sealed, at)
                except LinkEnded:
                    raise
                except StoreError as error:
                    if not isinstance(error, StoreConflict):
                        raise
                    await self._give_up(raw, sealed, at, error)
                except Exception as error:  # noqa: BLE001 - the boundary: no item may stop the mailbox
                    await self._give_up(raw, sealed, at, error)

    async def _give_up(self, raw: bytes, sealed: bytes, at: RelayCursor, error: Exception) -> None:
        """A fault of this program, or of what it holds: the item is set aside for a person to look at."""
        get_logger().error("an item could not be taken", kind=type(error).__name__, reason=str(error))
        async with self._core.lock:
            item = Quarantine(sha256(raw), RejectCode.INTERNAL, f"{type(error).__name__}: {error}")
            await self._quarantine(item, raw, sealed, at)

    # --- Mail

    async def _take_mail(self, raw: bytes, sealed: bytes, at: RelayCursor) -> None:
        read = read_inbound(raw)
        if isinstance(read, Quarantine):
            async with self._core.lock:
                await self._quarantine(read, raw, sealed, at)
            return
        directory = own = Directory.OPEN
        news: News | None = None
        while True:
            async with self._core.lock:
                if news is not None and not await news.is_current(self._core):
                    news, directory = None, Directory.OPEN
                facts = await gather_facts(self._core, read, directory, news, own)
                decision = receive(read, sealed, facts, now=self._core.now())
                early = isinstance(decision, Quarantine) and decision.code is RejectCode.BAD_TIME
                waits = early and self._core.clock.finds_in_time(read.header.created_at)
                if not waits and not isinstance(decision, NeedLog):
                    await self._settle(decision, raw, sealed, at, news)
                    return
            if not isinstance(decision, NeedLog):
                # Refused now it would stay so, for no fault of its sender's.
                await self._core.clock.wait_for(read.header.created_at)
                continue
            if decision.account == self._core.own != read.header.from_.account:
                own = Directory.EXHAUSTED
                await refresh(self._core, self._fetch, decision.account, decision.start)
                continue
            offered = await self._offered(decision) if news is None else None
            if offered is None:
                # Nobody is asked twice.
                directory = Directory.EXHAUSTED
                found = await fetch_news(self._core, self._fetch, decision.account, decision.start)
                news = found or news
            else:
                news = offered

    async def _settle(
        self, decision: Decision, raw: bytes, sealed: bytes, at: RelayCursor, news: News | None
    ) -> None:
        match decision:
            case Apply():
                try:
                    await self._apply(decision, at, news)
                except (RemoteProtocolError, LocalProtocolError) as error:
                    code = error.code if isinstance(error, RemoteProtocolError) else RejectCode.INTERNAL
                    refused = Quarantine(
                        decision.envelope.hash, code, str(error), decision.envelope, decision.opened
                    )
                    await self._quarantine(refused, raw, sealed, at, news)
            case Quarantine():
                if not await self._take_named(decision, sealed, at, news):
                    await self._quarantine(decision, raw, sealed, at, news)
            case Duplicate():
                draft = Draft(self._core)
                header = decision.envelope.header
                owe(
                    draft,
                    decision.envelope.hash,
                    header.cls,
                    header.to,
                    header.from_,
                    decision.outcome,
                    decision.code,
                )
                draft.add(SetCursor(at))
                await draft.commit()
            case NeedLog():
                raise LocalProtocolError("what needs a log is not settled")

    async def _take_named(self, item: Quarantine, sealed: bytes, at: RelayCursor, news: News | None) -> bool:
        """Whether it is a task event of a revoked device that the other side had taken before: it counts."""
        if item.code is not RejectCode.DEVICE_GONE or item.envelope is None:
            return False
        draft = Draft(self._core)
        if news is not None and news.held is not None:
            await pin(draft, news)
        if not await take_if_named(draft, item.envelope, sealed):
            return False
        await note_late(draft, item.envelope)
        draft.add(seen_row(item.envelope, Outcome.APPLIED.value, "", draft), SetCursor(at))
        await draft.commit()
        return True

    async def _apply(self, decision: Apply, at: RelayCursor, news: News | None) -> None:
        draft = Draft(self._core)
        if news is not None:
            await pin(draft, news)
        await apply(Arrival(draft, decision))
        draft.add(SetCursor(at))
        await draft.commit()
        note_applied(self._core, decision, draft.now)

    async def _quarantine(
        self, item: Quarantine, raw: bytes, sealed: bytes, at: RelayCursor, news: News | None = None
    ) -> None:
        draft = Draft(self._core)
        if news is not None and news.held is not None:
            # What is quarantined has no effect, but a revocation that it made known counts.
            await pin(draft, news)
        envelope = item.envelope
        header = envelope.header if envelope is not None else None
        await set_aside(
            draft,
            QuarantineRecord(
                item.hash,
                item.code.value,
                item.text,
                raw,
                sealed,
                draft.now,
                device=envelope.device if envelope is not None else None,
                mine=header.to if header is not None else None,
                peer=header.from_ if header is not None else None,
                cls=header.cls.value if header is not None else "",
                key=item.opened.key if item.opened is not None else b"",
            ),
        )
        if envelope is not None:
            # A number used twice is no less proof because the item has another fault as well.
            accused = await self._accuse(draft, envelope)
            if item.lasts and not accused:
                draft.add(seen_row(envelope, Outcome.QUARANTINED.value, item.code.value, draft))
                await note_barred(draft, item, envelope, len(raw) + len(sealed))
            if item.code is RejectCode.NOT_AN_EXTENSION:
                await raise_alarm(draft, quoted_history(envelope.header.from_.account), (item.hash,))
                await self._doubt(draft, envelope)
            if item.lasts and await self._may_tell(envelope):
                owe(
                    draft,
                    item.hash,
                    envelope.header.cls,
                    envelope.header.to,
                    envelope.header.from_,
                    Outcome.QUARANTINED.value,
                    item.code.value,
                )
        draft.add(SetCursor(at))
        await draft.commit()

    async def _doubt(self, draft: Draft, envelope: Envelope) -> None:
        """A device of the sender's quotes a log that nobody shows: there is more to know of its account."""
        sender = envelope.header.from_.account
        log = await self._core.logs.get(sender)
        device = log.state.devices.get(envelope.device) if log is not None else None
        name = await self._core.logs.owner_name(sender)
        if name is not None and device is not None and device.status is DeviceStatus.ACTIVE:
            await mark_changed(draft, sender, name, What.OTHER_HISTORY)

    async def _may_tell(self, envelope: Envelope) -> bool:
        """Whether there is an agent of ours to say it and somebody known to say it to."""
        header = envelope.header
        if header.to.account != self._core.own or header.cls is MessageClass.ACCOUNT:
            return False
        own = await self._core.own_log()
        known = await self._core.logs.get(header.from_.account)
        return header.to.name in own.state.agents and known is not None

    async def _accuse(self, draft: Draft, envelope: Envelope) -> bool:
        """Whether a device has signed two envelopes under one id or number; of a known one both are kept, and
        the owner is told.
        """
        header = envelope.header
        key = SeenKey(envelope.device, header.id, header.to, header.seq)
        seen = (await self._core.store.seen((key,)))[key]
        rivals = [row for row in (seen.by_id, seen.by_seq) if row is not None and row.hash != envelope.hash]
        if not rivals:
            return False
        log = await draft.log(header.from_.account)
        if log is None or envelope.device not in log.state.devices:
            # A relay makes up as many as it likes, and it proves nothing of anybody who is known.
            return True
        for before in rivals:
            sealed = (await self._core.store.sealed((before.hash,))).get(before.hash)
            kept = (await self._core.store.quarantine((before.hash,))).get(before.hash)
            first = sealed.envelope if sealed is not None else kept.envelope if kept else b""
            draft.add(
                PutEvidence(
                    EvidenceRecord(
                        RejectCode.EQUIVOCATION.value, envelope.device, first, envelope.raw, draft.now
                    )
                )
            )
        text = f"A device of a peer (…{envelope.device.hex()[-8:]}) signed two messages under one number."
        await raise_alarm(draft, text, (envelope.hash,))
        return True

    async def _offered(self, need: NeedLog) -> News | None:
        """The log that the envelope itself brings, if it has the position that the envelope quotes."""
        if need.offered is None:
            return None
        quoted, statements = need.envelope.header.log, need.offered.statements
        if await self._core.logs.get(need.account) is None:
            # Beyond what the envelope quotes nobody has seen this log: not the relay, nor we.
            statements = statements[: max(0, quoted.length - need.offered.start)]
        found = await judge(self._core, need.account, need.offered.start, statements)
        return found if found is not None and found.log.contains(quoted) else None

    # --- Notices

    async def _take_notice(self, hash: Hash, code: str, at: RelayCursor) -> None:
        """The relay says that it could not deliver. That is hearsay: what is delivered stays so.

        It may overtake the relay's own answer to the sending; what that relay was not handed goes on waiting.
        """
        async with self._core.lock:
            draft = Draft(self._core)
            entry = (await self._core.store.outbox((hash,))).get(hash)
            taken = entry is not None and entry.state is OutboxState.RELAYED
            if entry is not None and (taken or hash in self._core.unanswered):
                for message in (await self._core.store.messages((hash,))).get(hash, ()):
                    draft.add(SetRung(hash, message.mine.name, Rung.EXPIRED, code, draft.now))
                    if message.rung not in (None, Rung.DELIVERED):
                        await note_expired(draft, message)
                    refs = (hash,) if message.task is None else (hash, message.task)
                    draft.tell("delivery", message.mine.name, refs, rung="expired", code=code)
                draft.add(DropOutbox((hash,)))
            draft.add(SetCursor(at))
            await draft.commit()
