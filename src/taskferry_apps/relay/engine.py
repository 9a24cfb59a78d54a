"""Parcels in, outcomes out: decide on whole batches, commit many batches at once, and only then speak.

A link hands in a batch and goes on reading; decisions are made in its own task as the batch comes, while the
committer's task has what was decided before written to disk. Nothing here awaits once for each parcel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from taskferry_protocol.admission import Admitted, Prior, admit, read_for_admission
from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.cbor import Value
from taskferry_protocol.envelope import Envelope, Wrap, read_parcel
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Detail, Mail, Notice, Outcome, ParcelAccepted, Refusal
from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.records import (
    AckMailbox,
    AlreadyStored,
    Equivocation,
    Expire,
    Expired,
    Offset,
    PurgeInvites,
    PurgeSeen,
    PutEvidence,
    RecordContact,
    RelayChange,
    RelayResult,
    Stored,
    StoreEnvelope,
    Sweep,
    SweepSignUps,
)
from taskferry_stores.port import RelayStore, StoreFull

from ..logs import get_logger
from .accusations import Accusations
from .audit import RelayAudit
from .facts import Facts
from .jobs import Chore, Deliver, Job, Sender
from .meter import Meter
from .usage import Landing
from .witness import Witness, log_refusal

__all__ = ["Engine", "Sender"]

#: Parcels decided on before others get their turn: some 3 ms.
CHUNK: Final = 32
#: Parcels that may wait for the disk, over all links; then links stop reading.
WAITING: Final = 8_192
#: An acknowledgement that is lost is said again, so it waits for others to the same mailbox.
ACK_LINGER_S: Final = 0.05

_NO_PRIOR: Final = Prior()
#: Refusals that do not hold for an envelope that was accepted before.
_PERMISSION: Final = frozenset(
    {
        RejectCode.NOT_CONNECTED,
        RejectCode.NOT_PERMITTED,
        RejectCode.CONTACT_LIMIT,
        RejectCode.RATE_LIMITED,
        RejectCode.MAILBOX_FULL,
        RejectCode.SUSPENDED,
    }
)
_NO_ROOM: Final = Refusal(
    RejectCode.INTERNAL, Detail(retry_after=10_000, text="the relay's disk is full; try again later")
)

_LOG = get_logger()

_Read = tuple[int, Envelope, tuple[Wrap, ...]]
"""An envelope with its wraps, and its place in the batch."""


class Engine:
    """Decides and commits for all links of one relay."""

    def __init__(
        self,
        store: RelayStore,
        facts: Facts,
        deliver: Deliver,
        now: Callable[[], Instant],
        witness: Witness | None,
        audit: RelayAudit,
        meter: Meter,
    ) -> None:
        self._audit = audit
        self._meter = meter
        self._store = store
        self._facts = facts
        self._deliver = deliver
        self._now = now
        self._witness = witness
        self._jobs: list[Job] = []
        self._waiting = 0
        # Contacts that are decided on and not yet in the store.
        self._asked: dict[tuple[DeviceId, MessageId], Hash] = {}
        self._acks: dict[DeviceId, int] = {}
        self._acks_due = 0.0
        self._stored = 0
        self._acknowledged = 0
        self._busy_at = 0.0
        self._chores: list[Chore] = []
        self._evidence: list[PutEvidence] = []
        self._accusations = Accusations()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._settled = trio.Event()
        self._settling = False

    # --- decide

    async def take(self, sender: Sender, batch: int, parcels: Sequence[Value]) -> None:
        """Decide on a batch. Its sender is answered once what was accepted is committed."""
        while self._waiting >= WAITING:
            await self._room.wait()
        job = Job(sender, batch, [None] * len(parcels))
        try:
            for start in range(0, len(parcels), CHUNK):
                if start:
                    await trio.lowlevel.checkpoint()
                await self._decide(job, start, parcels[start : start + CHUNK])
        except BaseException:
            # The link is gone: nothing of it is stored, so nothing of it may count as pending.
            self._take_back([job])
            raise
        if job.stores:
            self._jobs.append(job)
            self._waiting += len(job.stores)
            self._meter.queued = self._waiting
            self._wake.set()
        else:
            sender.answer(batch, [outcome for outcome in job.outcomes if outcome is not None])

    async def _decide(self, job: Job, start: int, parcels: Sequence[Value]) -> None:
        now = self._now()
        read: list[_Read] = []
        for index, value in enumerate(parcels, start):
            try:
                parcel = read_parcel(value)
                read.append((index, read_for_admission(parcel, now=now), parcel.wraps))
            except RemoteProtocolError as error:
                job.outcomes[index] = Refusal.of(error)
        # A contact counts once, so whether it is new has to be known before.
        contacts = [entry for entry in read if entry[1].header.cls is MessageClass.CONNECTION]
        priors = await self._priors(contacts) if contacts else {}
        await self._judge(job, read, priors, now)
        refused = [entry for entry in read if self._may_be_known(job.outcomes[entry[0]])]
        if refused:
            priors = await self._priors(refused)
            known = [entry for entry in refused if entry[0] in priors]
            await self._judge(job, known, priors, now)

    @staticmethod
    def _may_be_known(outcome: Outcome | None) -> bool:
        return isinstance(outcome, Refusal) and outcome.code in _PERMISSION

    async def _priors(self, read: Sequence[_Read]) -> dict[int, Prior]:
        """What was accepted before under the same ids, by the index in the batch."""
        keys = {index: (envelope.device, envelope.header.id) for index, envelope, _ in read}
        found: dict[tuple[DeviceId, MessageId], Hash] = dict(await self._store.accepted(keys.values()))
        return {index: Prior(by_id=found[key]) for index, key in keys.items() if key in found}

    async def _judge(self, job: Job, read: Sequence[_Read], priors: dict[int, Prior], now: Instant) -> None:
        if not read:
            return
        sender, facts = job.sender, self._facts
        account, device = sender.account, sender.device
        await facts.prepare(account, [envelope.header for _, envelope, _ in read])
        view = facts.view(account, device)
        for index, envelope, wraps in read:
            header = envelope.header
            prior = priors.get(index, _NO_PRIOR) if priors else _NO_PRIOR
            if header.cls is MessageClass.CONNECTION and (device, header.id) in self._asked:
                prior = Prior(by_id=self._asked[device, header.id])
            known = view.of(header, prior)
            while known is None:
                await facts.prepare(account, [header])
                view = facts.view(account, device)
                known = view.of(header, prior)
            admission = admit(envelope, wraps, known, now=now)
            if not isinstance(admission, Admitted):
                job.outcomes[index] = admission if self._witness is None else log_refusal(envelope, admission)
                continue
            job.outcomes[index] = None
            if self._witness is not None:
                self._witness(known, envelope)
            view.note(admission)
            if header.cls is MessageClass.CONNECTION:
                self._asked[device, header.id] = envelope.hash
            for flow, contact in admission.contacts:
                facts.contact_changed(flow, contact)
                job.contacts.append(RecordContact(flow, contact))
            change = StoreEnvelope(
                device,
                header.id,
                header.to,
                header.seq,
                envelope.hash,
                header.created_at,
                header.expires_at,
                now,
                envelope.raw,
                admission.entries,
            )
            job.stores.append((index, change))

    def acknowledge(self, device: DeviceId, offset: int) -> None:
        """A device has committed all up to `offset`; the store is told with some later commit."""
        self._acks[device] = max(offset, self._acks.get(device, 0))
        if not self._wake.is_set():
            self._wake.set()

    async def keep_house(
        self, change: Expire | Sweep | PurgeSeen | SweepSignUps | PurgeInvites
    ) -> RelayResult:
        """Make the change with the next commit. Raises StoreFull."""
        chore = Chore(change)
        self._chores.append(chore)
        self._wake.set()
        await chore.done.wait()
        if chore.result is None:
            raise StoreFull("no space was left for keeping house")
        return chore.result

    @property
    def _hurry(self) -> bool:
        return self._settling or bool(self._chores)

    @property
    def acknowledged(self) -> int:
        """Rises whenever acknowledgements were committed, so that there may be something to sweep."""
        return self._acknowledged

    @property
    def quiet_for(self) -> float:
        """Seconds since the last envelope was committed."""
        return trio.current_time() - self._busy_at

    @property
    def stored(self) -> int:
        """Envelopes that were committed so far, and so have to be swept away some day."""
        return self._stored

    def acknowledged_by(self, device: DeviceId) -> int:
        """Up to where the device acknowledged what the store may not know of yet; 0 if nothing."""
        return self._acks.get(device, 0)

    # --- commit

    async def run(self) -> None:
        """Commit what was decided, until cancelled. Raises the store's errors but `StoreFull`."""
        while True:
            await self._wake.wait()
            if not self._jobs and not self._hurry:
                # Only acknowledgements: somebody's mail may come to share the synchronisation with them.
                with trio.move_on_after(ACK_LINGER_S):
                    while not self._jobs and not self._hurry:
                        self._wake = trio.Event()
                        await self._wake.wait()
            self._wake = trio.Event()
            await self._commit()

    async def settle(self) -> None:
        """Wait until everything handed in so far is committed and answered."""
        self._settling = True
        self._settled = trio.Event()
        self._wake.set()
        await self._settled.wait()

    async def _commit(self) -> None:
        jobs, self._jobs = self._jobs, []
        self._waiting = self._meter.queued = 0
        self._room.set()
        self._room = trio.Event()
        changes: list[RelayChange] = [change for job in jobs for _, change in job.stores]
        for job in jobs:
            changes.extend(job.contacts)
        acks = self._due_acks(jobs)
        changes.extend([AckMailbox(device, Offset(offset)) for device, offset in acks.items()])
        changes.extend(self._evidence)
        self._evidence = []
        # Forgotten by a crash, they would let through what the recipient, who remembers, has to refuse.
        changes.extend(self._facts.unsaved_rates())
        chores, self._chores = self._chores, []
        changes.extend([chore.change for chore in chores])
        if changes:
            began = trio.current_time()
            try:
                results = await self._store.commit(changes)
            except StoreFull:
                self._meter.disk_was_full(self._now())
                _LOG.warning("the disk is full, envelopes are refused", count=len(changes))
                self._facts.forget_all()
                self._refuse(jobs)
            else:
                stored = sum([len(job.stores) for job in jobs])
                self._meter.committed(trio.current_time() - began, stored)
                self._publish(jobs, results)
                for chore, result in zip(chores, results[len(results) - len(chores) :], strict=True):
                    self._finish(chore, result)
                for device in acks:
                    self._facts.went_out(device)
        if self._asked:
            for job in jobs:
                for _, change in job.stores:
                    self._asked.pop((change.device, change.id), None)
        for chore in chores:
            chore.done.set()
        if jobs:
            self._stored += sum([len(job.stores) for job in jobs])
            self._busy_at = trio.current_time()
        self._acknowledged += len(acks)
        if self._acks:
            self._wake.set()
        elif not self._jobs:
            self._settled.set()

    def _due_acks(self, jobs: Sequence[Job]) -> dict[DeviceId, int]:
        """The acknowledgements to commit now; later ones to the same mailboxes stand for those that wait."""
        now = trio.current_time()
        if jobs and not self._settling and now < self._acks_due:
            return {}
        self._acks_due = now + ACK_LINGER_S
        acks, self._acks = self._acks, {}
        return acks

    def _finish(self, chore: Chore, result: RelayResult) -> None:
        chore.result = result
        if isinstance(result, Expired):
            for device, offset, notice in result.notices:
                self._deliver(device, Notice(offset, notice.hash, RejectCode(notice.code)))

    def _refuse(self, jobs: Sequence[Job]) -> None:
        self._take_back(jobs)
        for job in jobs:
            job.sender.answer(job.batch, [outcome or _NO_ROOM for outcome in job.outcomes])

    def _take_back(self, jobs: Sequence[Job]) -> None:
        """What was decided on for these comes to nothing."""
        landing = Landing()
        for job in jobs:
            for _, change in job.stores:
                landing.some_of(change, ())
                self._asked.pop((change.device, change.id), None)
        self._facts.landed(landing)

    def _publish(self, jobs: Sequence[Job], results: Sequence[RelayResult]) -> None:
        at = 0
        landing = Landing()
        for job in jobs:
            outcomes = job.outcomes
            for index, change in job.stores:
                outcomes[index] = self._outcome(job.sender.account, change, results[at], landing)
                at += 1
            job.sender.answer(job.batch, [outcome or _NO_ROOM for outcome in outcomes])
        self._facts.landed(landing)

    def _outcome(
        self, sender: AccountId, change: StoreEnvelope, result: RelayResult, landing: Landing
    ) -> Outcome:
        match result:
            case Stored(place=place, offsets=offsets):
                pass
            case AlreadyStored(place=place, added=offsets):
                pass
            case Equivocation(prior_raw=prior_raw):
                landing.some_of(change, ())
                accusation = self._accusations.against(sender, change, prior_raw)
                if accusation is not None:
                    self._evidence.append(accusation)
                    facts = {"account": sender.hex(), "device": change.device.hex()}
                    self._audit.count(RelayAuditKind.EVIDENCE, RejectCode.EQUIVOCATION.value, **facts)
                    self._wake.set()
                return Refusal(RejectCode.EQUIVOCATION, Detail(text="its id or number was used for another"))
            case _:
                raise TypeError(f"a store answered {type(result).__name__} for an envelope")
        sealed = change.entries
        if len(sealed) == len(offsets):
            landing.all_of(change)
        else:
            landing.some_of(change, [device for device, _ in offsets])
        for index, (device, offset) in enumerate(offsets):
            # Mostly each entry got its place, in order; a rewrapped envelope adds only some.
            key = sealed[index] if len(sealed) == len(offsets) else _entry(sealed, device)
            self._deliver(device, Mail(offset, change.envelope, key[1]))
        return ParcelAccepted(place)


def _entry(entries: Sequence[tuple[DeviceId, bytes]], device: DeviceId) -> tuple[DeviceId, bytes]:
    return next(entry for entry in entries if entry[0] == device)
