"""Deciding on parcels: facts are looked up for many at once, and each parcel gets its outcome or its place.

What is admitted is pending until its commit ended, and counts against limits meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio

from taskferry_protocol.admission import Admitted, Prior, read_for_admission
from taskferry_protocol.envelope import Envelope, Wrap, read_parcel
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Outcome, Refusal
from taskferry_protocol.ids import DeviceId, Hash, Instant, MessageId
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.records import RecordContact, StoreEnvelope
from taskferry_stores.port import RelayStore

from .facts import NO_PRIOR, Facts
from .jobs import Job, Sender
from .limits import USUAL
from .usage import Landing
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

_Read = tuple[Job, int, Envelope, tuple[Wrap, ...]]
"""An envelope with its wraps, and its place in its batch."""


class Judge:
    """Decides for all links of one relay."""

    def __init__(
        self, store: RelayStore, facts: Facts, now: Callable[[], Instant], witness: Witness | None
    ) -> None:
        self._store = store
        self._facts = facts
        self._now = now
        self._witness = witness
        # Contacts that are decided on and not yet in the store.
        self._asked: dict[tuple[DeviceId, MessageId], Hash] = {}

    async def decide(self, sender: Sender, jobs: Sequence[Job]) -> None:
        """Decide on all parcels of one sender's batches; on none, if it raises."""
        waiting = [(job, index) for job in jobs for index in range(len(job.parcels))]
        try:
            for start in range(0, len(waiting), CHUNK):
                if start:
                    await trio.lowlevel.checkpoint()
                await self._decide(sender, waiting[start : start + CHUNK])
        except BaseException:
            # The link is gone: nothing of it is stored, so nothing of it may count as pending.
            self.take_back(jobs)
            raise

    async def _decide(self, sender: Sender, parcels: Iterable[tuple[Job, int]]) -> None:
        now = self._now()
        read: list[_Read] = []
        for job, index in parcels:
            try:
                parcel = read_parcel(job.parcels[index])
                read.append((job, index, read_for_admission(parcel, now=now), parcel.wraps))
            except RemoteProtocolError as error:
                job.outcomes[index] = Refusal.of(error)
        # A contact counts once, so whether it is new has to be known before.
        contacts = [entry for entry in read if entry[2].header.cls is MessageClass.CONNECTION]
        priors = await self._priors(contacts) if contacts else {}
        await self._judge(sender, read, priors, now)
        refused = [entry for entry in read if _may_be_known(entry[0].outcomes[entry[1]])]
        if refused:
            priors = await self._priors(refused)
            known = [entry for entry in refused if _key(entry[2]) in priors]
            await self._judge(sender, known, priors, now)

    async def _priors(self, read: Sequence[_Read]) -> dict[tuple[DeviceId, MessageId], Prior]:
        """What was accepted before under the same ids."""
        found = await self._store.accepted({_key(envelope) for _, _, envelope, _ in read})
        return {key: Prior(by_id=hash) for key, hash in found.items()}

    async def _judge(
        self,
        sender: Sender,
        read: Sequence[_Read],
        priors: dict[tuple[DeviceId, MessageId], Prior],
        now: Instant,
    ) -> None:
        if not read:
            return
        facts, account, device = self._facts, sender.account, sender.device
        await facts.prepare(account, [envelope.header for _, _, envelope, _ in read])
        view = facts.view(account, device)
        for job, index, envelope, wraps in read:
            header = envelope.header
            prior = priors.get(_key(envelope), NO_PRIOR) if priors else NO_PRIOR
            if header.cls is MessageClass.CONNECTION and (device, header.id) in self._asked:
                prior = Prior(by_id=self._asked[device, header.id])
            admission = view.decide(envelope, wraps, prior, now)
            while admission is None:
                await facts.prepare(account, [header])
                view = facts.view(account, device)
                admission = view.decide(envelope, wraps, prior, now)
            if not isinstance(admission, Admitted):
                job.outcomes[index] = admission if self._witness is None else log_refusal(envelope, admission)
                continue
            job.outcomes[index] = None
            if self._witness is not None and (known := view.of(header, prior)) is not None:
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

    def ended(self, jobs: Iterable[Job]) -> None:
        """A commit of these ended: the store knows now which contacts there are."""
        if self._asked:
            for job in jobs:
                for _, change in job.stores:
                    self._asked.pop((change.device, change.id), None)

    def take_back(self, jobs: Iterable[Job]) -> None:
        """What was decided on for these comes to nothing."""
        landing = Landing()
        for job in jobs:
            for _, change in job.stores:
                landing.some_of(change, ())
                self._asked.pop((change.device, change.id), None)
        self._facts.landed(landing)


def _key(envelope: Envelope) -> tuple[DeviceId, MessageId]:
    return envelope.device, envelope.header.id


def _may_be_known(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Refusal) and outcome.code in _PERMISSION
