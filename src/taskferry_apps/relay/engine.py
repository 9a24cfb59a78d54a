"""Parcels in, outcomes out: decide on whole batches, commit many batches at once, and only then speak.

A link hands in batches and goes on reading; decisions are made in its own task as they come, while the
committer's task has what was decided before written to disk. Nothing here awaits once for each parcel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import trio

from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.cbor import Value
from taskferry_protocol.envelope import OneWrap
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Mail, Notice, Outcome, ParcelAccepted, Refusal
from taskferry_protocol.ids import AccountId, DeviceId, Instant
from taskferry_protocol.records import (
    AckMailbox,
    AlreadyStored,
    Equivocation,
    Expire,
    Expired,
    Offset,
    PurgeInvites,
    PurgeSeen,
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
from .jobs import NO_ROOM, Chore, Deliver, Job, Sender, entry_for, too_much
from .judge import Judge
from .limits import USUAL
from .line import Line
from .meter import Meter
from .senders import Senders
from .usage import Landing
from .witness import Witness

__all__ = ["Engine", "Sender"]

WAITING: Final = USUAL.waiting
#: An acknowledgement that is lost is said again, so it waits for later ones of the same mailbox, which stand
#: for it; until then the mailbox counts as a little fuller than it is.
ACK_LINGER_S: Final = 0.2
#: While more batches than this come with each commit, waiting a little for more of them pays: a commit costs
#: much the same however many share it. Whoever sends a message now and then never waits.
LINGER_ABOVE: Final = 6
LINGER_S: Final = 0.002
#: Mailbox entries handed out before others have their turn: some 4 ms.
TOLD_AT_ONCE: Final = 1_024

_LOG = get_logger()


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
        senders: Senders,
    ) -> None:
        self._senders = senders
        self._audit = audit
        self._meter = meter
        self._store = store
        self._facts = facts
        self._deliver = deliver
        self._now = now
        self._judge = Judge(store, facts, now, witness)
        self._line = Line()
        self._last_jobs = 0
        self._acks: dict[DeviceId, int] = {}
        self._acks_due = 0.0
        self._stored = 0
        self._acknowledged = 0
        self._busy_at = 0.0
        self._chores: list[Chore] = []
        self._accusations = Accusations()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._settled = trio.Event()
        self._settling = False

    # --- decide

    async def take(self, sender: Sender, batches: Sequence[tuple[int, Sequence[Value | OneWrap]]]) -> None:
        """Decide on batches. Their sender is answered once what was accepted of each is committed."""
        account, jobs = sender.account, [Job(sender, batch, parcels) for batch, parcels in batches]
        count = sum([len(job.parcels) for job in jobs])
        wait = self._senders.wait_ms(account, self._now())
        if wait:
            for batch, parcels in batches:
                sender.answer(batch, [too_much(wait)] * len(parcels))
            return
        while self._line.entries >= WAITING or self._senders.is_waiting(account):
            await self._room.wait()
        self._senders.begin(account, sum([job.weight for job in jobs]))
        try:
            await self._judge.decide(sender, jobs)
        except BaseException:
            self._make_room(jobs)
            # It was looked at all the same.
            self._senders.spend(account, count, self._now())
            raise
        self._senders.spend(account, max(count, sum([job.entries for job in jobs])), self._now())
        for job in jobs:
            if job.stores:
                self._line.add(job)
                self._meter.queued = self._line.envelopes
                self._wake.set()
            else:
                self._make_room([job])
                sender.answer(job.batch, [outcome for outcome in job.outcomes if outcome is not None])

    def _make_room(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._senders.end(job.sender.account, job.weight)
        self._room.set()
        self._room = trio.Event()

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
            if not self._line and not self._hurry:
                # Only acknowledgements: somebody's mail may come to share the synchronisation with them.
                with trio.move_on_after(ACK_LINGER_S):
                    while not self._line and not self._hurry:
                        self._wake = trio.Event()
                        await self._wake.wait()
            if self._last_jobs > LINGER_ABOVE and not self._hurry:
                await trio.sleep(LINGER_S)
            self._wake = trio.Event()
            await self._commit()

    async def settle(self) -> None:
        """Wait until everything handed in so far is committed and answered."""
        self._settling = True
        self._settled = trio.Event()
        self._wake.set()
        await self._settled.wait()

    async def _commit(self) -> None:
        jobs = self._line.take()
        self._last_jobs = len(jobs)
        self._meter.queued = self._line.envelopes
        self._make_room(jobs)
        changes: list[RelayChange] = [change for job in jobs for _, change in job.stores]
        for job in jobs:
            changes.extend(job.contacts)
        acks = self._due_acks(jobs)
        changes.extend([AckMailbox(device, Offset(offset)) for device, offset in acks.items()])
        evidence = self._accusations.take()
        changes.extend(evidence)
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
                self._accusations.found_no_room(evidence, began)
                self._refuse(jobs)
                if jobs:
                    # What makes room goes alone, or those who find none would keep it from coming.
                    await self._commit_alone(acks, chores)
            else:
                stored = sum([len(job.stores) for job in jobs])
                self._meter.committed(trio.current_time() - began, stored)
                await self._publish(jobs, results)
                self._kept_house(acks, chores, results)
        await self._commit_evidence()
        self._judge.ended(jobs)
        for chore in chores:
            chore.done.set()
        if jobs:
            self._stored += sum([len(job.stores) for job in jobs])
            self._busy_at = trio.current_time()
        self._acknowledged += len(acks)
        if self._acks or self._line:
            self._wake.set()
        else:
            self._settled.set()

    async def _commit_alone(self, acks: Mapping[DeviceId, int], chores: Sequence[Chore]) -> None:
        changes: list[RelayChange] = [AckMailbox(device, Offset(offset)) for device, offset in acks.items()]
        changes.extend([chore.change for chore in chores])
        with suppress(StoreFull):
            self._kept_house(acks, chores, await self._store.commit(changes))

    async def _commit_evidence(self) -> None:
        """What found no room before, now that there may be some."""
        now = trio.current_time()
        evidence = self._accusations.take_again(now, is_last=self._settling)
        if not evidence:
            return
        try:
            await self._store.commit(evidence)
        except StoreFull:
            self._accusations.found_no_room(evidence, now)

    def _kept_house(
        self, acks: Mapping[DeviceId, int], chores: Sequence[Chore], results: Sequence[RelayResult]
    ) -> None:
        for chore, result in zip(chores, results[len(results) - len(chores) :], strict=True):
            self._finish(chore, result)
        for device in acks:
            self._facts.went_out(device)

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
                self._deliver(device, [Notice(offset, notice.hash, RejectCode(notice.code))])

    def _refuse(self, jobs: Sequence[Job]) -> None:
        self._judge.take_back(jobs)
        for job in jobs:
            job.sender.answer(job.batch, [outcome or NO_ROOM for outcome in job.outcomes])

    async def _publish(self, jobs: Sequence[Job], results: Sequence[RelayResult]) -> None:
        """Hand out what is stored, and answer. Others have their turn after so many entries."""
        at = told = 0
        landing = Landing()
        for job in jobs:
            outcomes = job.outcomes
            # By device, in order: a batch goes to few.
            landed: dict[DeviceId, list[Mail]] = {}
            for index, change in job.stores:
                result = results[at]
                at += 1
                told += len(change.entries)
                if told > TOLD_AT_ONCE:
                    self._land(landed, landing)
                    await trio.lowlevel.checkpoint()
                    told = len(change.entries)
                if isinstance(result, Stored) and len(result.offsets) == len(change.entries):
                    # Each entry got its place, in order.
                    envelope = change.envelope
                    for (device, offset), (_, sealed) in zip(result.offsets, change.entries, strict=True):
                        entries = landed.get(device)
                        if entries is None:
                            entries = landed[device] = []
                        entries.append(Mail(offset, envelope, sealed))
                    outcomes[index] = ParcelAccepted(result.place)
                else:
                    self._land(landed, landing)
                    outcomes[index] = self._outcome(job.sender.account, change, result, landing)
            self._land(landed, landing)
            job.sender.answer(job.batch, [outcome or NO_ROOM for outcome in outcomes])
        self._facts.landed(landing)

    def _land(self, landed: dict[DeviceId, list[Mail]], landing: Landing) -> None:
        """Hand out what got its place; afterwards there is nothing of it."""
        for device, entries in landed.items():
            size = sum([len(entry.envelope) + len(entry.sealed) for entry in entries])
            landing.stored(device, len(entries), size)
            self._deliver(device, entries)
        landed.clear()

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
                if self._accusations.accuse(sender, change, prior_raw):
                    facts = {"account": sender.hex(), "device": change.device.hex()}
                    self._audit.count(RelayAuditKind.EVIDENCE, RejectCode.EQUIVOCATION.value, **facts)
                    self._wake.set()
                return Refusal(RejectCode.EQUIVOCATION, Detail(text="its id or number was used for another"))
            case _:
                raise TypeError(f"a store answered {type(result).__name__} for an envelope")
        # A rewrapped envelope adds only some.
        landing.some_of(change, [device for device, _ in offsets])
        for device, offset in offsets:
            self._deliver(device, [Mail(offset, change.envelope, entry_for(change.entries, device)[1])])
        return ParcelAccepted(place)
