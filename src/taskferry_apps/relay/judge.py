"""Deciding on parcels: facts are looked up for many at once, and each parcel gets its outcome or its place.

What is admitted is pending until its commit ended, and counts against limits meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from taskferry_protocol.admission import Admitted, Prior, read_for_admission
from taskferry_protocol.cbor import Value
from taskferry_protocol.envelope import Envelope, OneWrap, Wrap, read_parcel
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import DeviceId, Hash, Instant, MessageId
from taskferry_protocol.likeness import Like, Likeness
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import GRANTABLE
from taskferry_protocol.records import RecordContact, StoreEnvelope
from taskferry_stores.port import RelayStore

from .facts import Facts
from .jobs import Job, Sender
from .limits import USUAL
from .reading import Reader, read_too_much
from .usage import Landing
from .view import NO_PRIOR, View
from .witness import Witness, log_refusal

__all__ = ["Judge"]

CHUNK: Final = USUAL.decided_at_once

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

_Place = tuple[Job, int]
"""A parcel of a batch."""
_Read = tuple[_Place, Envelope, tuple[Wrap, ...], list[tuple[_Place, Like]]]
"""A parcel's envelope and wraps, and what stands behind it that is like it."""


class Judge:
    """Decides for all links of one relay."""

    def __init__(
        self, store: RelayStore, facts: Facts, now: Callable[[], Instant], witness: Witness | None
    ) -> None:
        self._store = store
        self._facts = facts
        self._now = now
        self._witness = witness
        # Batches that are decided on and not yet in the store.
        self._pending: set[Job] = set()
        # Contacts among them.
        self._asked: dict[tuple[DeviceId, MessageId], Hash] = {}

    async def decide(self, sender: Sender, jobs: Sequence[Job]) -> None:
        """Decide on all parcels of one sender's batches; on none, if it raises."""
        waiting = [(job, index) for job in jobs for index in range(len(job.parcels))]
        try:
            self._pending.update(jobs)
            for start in range(0, len(waiting), CHUNK):
                if start:
                    await trio.lowlevel.checkpoint()
                await self._decide(sender, waiting[start : start + CHUNK])
        except BaseException:
            # The link is gone: nothing of it is stored, so nothing of it may count as pending.
            self.take_back(jobs)
            raise
        self._pending.difference_update([job for job in jobs if not job.stores])

    async def _decide(self, sender: Sender, places: Sequence[_Place]) -> None:
        now = self._now()
        read = self._read(places, now)
        # A contact counts once, so whether it is new has to be known before.
        contacts = [entry for entry in read if entry[1].header.cls is MessageClass.CONNECTION]
        priors = await self._priors(contacts) if contacts else {}
        await self._judge(sender, read, priors, now)
        refused = [entry for entry in read if _may_be_known(entry[0])]
        if refused:
            # What is being written is not in the store yet, or has just come there.
            priors = self._unwritten(refused)
            priors |= await self._priors(refused)
            known: list[_Read] = [(*entry[:3], []) for entry in refused if _key(entry[1]) in priors]
            await self._judge(sender, known, priors, now, again=True)

    def _read(self, places: Sequence[_Place], now: Instant) -> list[_Read]:
        """What can be read of these parcels."""
        read: list[_Read] = []
        behind: list[tuple[_Place, Like]] = []
        likeness: Likeness | None = None
        last = len(places) - 1
        for at, place in enumerate(places):
            job, index = place
            value = job.parcels[index]
            if likeness is not None:
                like = likeness.read(value, now) if isinstance(value, tuple) else None
                if like is not None:
                    behind.append((place, like))
                    continue
                likeness = None
            entry = _read_one(place, now)
            if entry is None:
                continue
            read.append(entry)
            behind = entry[3]
            if at < last and self._witness is None:
                after, number = places[at + 1]
                likeness = _likeness(entry[1], value, after.parcels[number])
        return read

    async def _priors(self, read: Sequence[_Read]) -> dict[tuple[DeviceId, MessageId], Prior]:
        """What was accepted before under the same ids."""
        found = await self._store.accepted({_key(envelope) for _, envelope, _, _ in read})
        return {key: Prior(by_id=hash) for key, hash in found.items()}

    def _unwritten(self, read: Sequence[_Read]) -> dict[tuple[DeviceId, MessageId], Prior]:
        """What was decided on before under the same ids, and is on its way to the store."""
        wanted = {_key(envelope) for _, envelope, _, _ in read}
        return {
            key: Prior(by_id=change.hash)
            for job in self._pending
            for _, change in job.stores
            if (key := (change.device, change.id)) in wanted
        }

    async def _judge(
        self,
        sender: Sender,
        read: list[_Read],
        priors: dict[tuple[DeviceId, MessageId], Prior],
        now: Instant,
        *,
        again: bool = False,
    ) -> None:
        """Decide in order. What was like another and needs a decision of its own is put into `read`."""
        if not read:
            return
        facts, account, device = self._facts, sender.account, sender.device
        reader = Reader(account, device)
        nobodys = await facts.prepare(reader, [envelope.header for _, envelope, _, _ in read])
        view = facts.view(account, device, nobodys)
        at = 0
        while at < len(read):
            (job, index), envelope, wraps, behind = read[at]
            at += 1
            header = envelope.header
            prior = priors.get(_key(envelope), NO_PRIOR) if priors else NO_PRIOR
            if header.cls is MessageClass.CONNECTION and (device, header.id) in self._asked:
                prior = Prior(by_id=self._asked[device, header.id])
            if prior is not NO_PRIOR and not again and prior.by_id != envelope.hash:
                # The store has what its id was used for before, and keeps both as evidence.
                prior = NO_PRIOR
            admission = view.decide(envelope, wraps, prior, now)
            while admission is None:
                wait = facts.wait_ms(reader, header.to.account)
                if wait:
                    admission = read_too_much(wait)
                else:
                    nobodys = await facts.prepare(reader, [header])
                view = facts.view(account, device, nobodys)
                if not wait:
                    admission = view.decide(envelope, wraps, prior, now)
            if isinstance(admission, Admitted):
                self._admit(job, index, admission, view, prior, now)
            else:
                job.outcomes[index] = admission if self._witness is None else log_refusal(envelope, admission)
            if behind:
                decided = view.carry([like for _, like in behind])
                for ((job, index), _), outcome in zip(behind, decided, strict=False):
                    if isinstance(outcome, StoreEnvelope):
                        job.stores.append((index, outcome))
                    else:
                        job.outcomes[index] = outcome
                rest = [_read_one(place, now) for place, _ in behind[len(decided) :]]
                read[at:at] = [entry for entry in rest if entry is not None]

    def _admit(
        self, job: Job, index: int, admission: Admitted, view: View, prior: Prior, now: Instant
    ) -> None:
        envelope, device = admission.envelope, admission.envelope.device
        header = envelope.header
        job.outcomes[index] = None
        if self._witness is not None and (known := view.of(header, prior)) is not None:
            self._witness(known, envelope)
        view.note(admission)
        if header.cls is MessageClass.CONNECTION:
            self._asked.setdefault((device, header.id), envelope.hash)
        for flow, contact in admission.contacts:
            self._facts.contact_changed(flow, contact)
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

    def ended(self, jobs: Sequence[Job]) -> None:
        """A commit of these ended: the store knows now which contacts there are."""
        self._pending.difference_update(jobs)
        self._facts.written([change for job in jobs for change in job.contacts])
        if self._asked:
            for job in jobs:
                for _, change in job.stores:
                    self._asked.pop((change.device, change.id), None)

    def take_back(self, jobs: Sequence[Job]) -> None:
        """What was decided on for these comes to nothing."""
        self._pending.difference_update(jobs)
        self._facts.came_to_nothing([change for job in jobs for change in job.contacts])
        landing = Landing()
        for job in jobs:
            for _, change in job.stores:
                landing.some_of(change, ())
                self._asked.pop((change.device, change.id), None)
        self._facts.landed(landing)


def _key(envelope: Envelope) -> tuple[DeviceId, MessageId]:
    return envelope.device, envelope.header.id


def _read_one(place: _Place, now: Instant) -> _Read | None:
    """A parcel's envelope and wraps; None if it is refused for what they are."""
    job, index = place
    try:
        parcel = read_parcel(job.parcels[index])
        return place, read_for_admission(parcel, now=now), parcel.wraps, []
    except RemoteProtocolError as error:
        job.outcomes[index] = Refusal.of(error)
    return None


def _likeness(envelope: Envelope, parcel: Value | OneWrap, following: Value | OneWrap) -> Likeness | None:
    """By what to read those that follow an envelope, if the next is for the same device.

    None for what no lane carries: it gains nothing, and requests for contact have to be looked up each.
    """
    if envelope.header.cls not in GRANTABLE:
        return None
    if not isinstance(parcel, tuple) or not isinstance(following, tuple) or parcel[1] != following[1]:
        return None
    return Likeness.of(envelope, parcel[1])


def _may_be_known(place: _Place) -> bool:
    outcome = place[0].outcomes[place[1]]
    return isinstance(outcome, Refusal) and outcome.code in _PERMISSION
