"""The outbox's way to the relay: sent in order, again until it is answered, each answer committed.

After a full batch the next goes along while the answer is awaited, as far as the relay has room, so that a
long queue is not held up by one round trip after another. Of what is under way together, one may overtake
another that is refused for now.

A refusal is final and the agent sees its code, except where waiting, wrapping or publishing again may help.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

import attrs
import trio

from taskferry_protocol.cbor import decode
from taskferry_protocol.envelope import parse_envelope, read_parcel
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Outcome, ParcelAccepted, Refusal
from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.limits import ENVELOPE_BYTES, MINUTE_MS
from taskferry_protocol.records import (
    ConnectionState,
    DeferOutbox,
    DropOutbox,
    MessageRecord,
    OutboxRecord,
    PutOutbox,
    RelayedOutbox,
    Rung,
    SetRung,
)
from taskferry_protocol.records.forgetting import ForgetSealed
from taskferry_transports.backoff import delay

from ..relay_answers import LinkEnded, Pending
from .asked import lose
from .bonds import bonds_between
from .core import Core
from .draft import Draft, is_class_without_receipt
from .identity_changes import WAITING_CODE, stopped
from .port import DaemonRefusal
from .publications import Publication, Subject, note
from .repeating import is_early, note_expired

__all__ = ["Outbound", "Renew", "give_up_all", "give_up_expired"]

Renew = Callable[[bytes, Refusal], Awaitable[bool]]
"""Bring the log of an account up to what the relay has, given its refusal; whether it could be."""

BATCH: Final = 256
BATCH_BYTES: Final = 900_000
#: Batches under way: the relay decides on one while the answer to another is committed here.
AT_ONCE: Final = 2
#: Tries after which a refusal that might have healed is believed.
PATIENCE: Final = 6
#: By then everything has expired.
_NEVER: Final = Instant(2**52)
#: How long until somebody looks again whether the owner has decided about an identity.
HELD_BACK_MS: Final = MINUTE_MS // 2


class Remedy(StrEnum):
    """What may help after a refusal."""

    WAIT = "wait"
    PUBLISH = "publish"
    NONE = "none"


_WAIT: Final = frozenset(
    {
        RejectCode.RATE_LIMITED,
        RejectCode.MAILBOX_FULL,
        RejectCode.ACCOUNT_HELD,
        RejectCode.SUSPENDED,
        RejectCode.INTERNAL,
        RejectCode.SHUTTING_DOWN,
        RejectCode.TIMEOUT,
    }
)
_PUBLISH: Final = frozenset(
    {
        RejectCode.NOT_CONNECTED,
        RejectCode.NOT_PERMITTED,
        RejectCode.UNKNOWN_RECIPIENT,
    }
)
_OURS: Final = frozenset({RejectCode.UNKNOWN_AGENT, RejectCode.NOT_AN_EXTENSION})


class Relay(Protocol):
    """What an open session does for the outbox; `RelayClient` is one."""

    def fitting(self, parcels: Sequence[bytes]) -> int:
        """How many of the first encoded parcels it would take now."""

    async def submit(self, parcels: Sequence[bytes]) -> Pending:
        """Take as many of the first as fit, once one does. Raises LinkEnded."""


@attrs.frozen
class _UnderWay:
    """What was handed to the relay together."""

    entries: Sequence[OutboxRecord]
    batch: Pending


class Outbound:
    """Empties the outbox while a session is open."""

    def __init__(self, core: Core, relay: Relay, renew: Renew) -> None:
        self._core = core
        self._relay = relay
        self._renew = renew
        self._under_way: deque[_UnderWay] = deque()
        self._is_more = False
        self._healed: set[Hash] = set()
        """What was refused often before a remedy was tried for it in this session."""
        core.unanswered.clear()

    @property
    def awaits(self) -> bool:
        """Whether an answer of the relay is awaited."""
        return bool(self._under_way)

    async def due(self) -> tuple[OutboxRecord, ...]:
        """What is to be sent now, in order; what is for an identity in question goes on waiting.

        Nothing while an answer is awaited, unless what was sent last was all that one batch takes; then no
        more than the relay has room for now. Raises LinkEnded where the clock was set back by a month.
        """
        self._core.clock.check_session()
        if self._under_way and not (self._is_more and len(self._under_way) < AT_ONCE):
            return ()
        sent = [entry.hash for one in self._under_way for entry in one.entries]
        due = await self._core.store.outbox_due(self._core.now(), BATCH, BATCH_BYTES, sent)
        size = sum(len(entry.parcel) for entry in due)
        self._is_more = len(due) == BATCH or size > BATCH_BYTES - ENVELOPE_BYTES
        if self._under_way:
            due = due[: self._relay.fitting([entry.parcel for entry in due])]
        held = await stopped(self._core.store, {entry.to.account for entry in due})
        if not held:
            return due
        async with self._core.lock:
            draft = Draft(self._core)
            for entry in due:
                if entry.to.account in held:
                    await _hold_back(draft, entry)
            await draft.commit()
        return tuple(entry for entry in due if entry.to.account not in held)

    async def send(self, due: Sequence[OutboxRecord]) -> None:
        """Hand the first of these to the relay, once it takes any; `settle` hears what it answers.

        The others stay due. Raises LinkEnded.
        """
        batch = await self._relay.submit([entry.parcel for entry in due])
        # Before anything else is heard of it: a notice may come before the answer is committed.
        self._core.unanswered.update(entry.hash for entry in due[: batch.count])
        self._is_more = self._is_more or batch.count < len(due)
        self._under_way.append(_UnderWay(due[: batch.count], batch))

    async def settle(self) -> None:
        """Wait for the first answer, and commit it with all others that are there. Raises LinkEnded."""
        await self._under_way[0].batch.wait()
        sent: list[OutboxRecord] = []
        outcomes: list[Outcome] = []
        # What is answered counts, though the session should end before the lock is free.
        with trio.CancelScope(shield=True):
            async with self._core.lock:
                while self._under_way and self._under_way[0].batch.is_answered:
                    one = self._under_way.popleft()
                    sent += one.entries
                    outcomes += await one.batch.wait()
                stale = await self._commit(sent, outcomes)
        for group in _by_account(stale):
            await self._wrap_again(group)
        if any(isinstance(one, Refusal) and one.code is RejectCode.BAD_TIME for one in outcomes):
            raise LinkEnded(None, "the clock was set: the relay is asked anew what time it is")

    async def _commit(
        self, sent: Sequence[OutboxRecord], outcomes: Sequence[Outcome]
    ) -> list[tuple[OutboxRecord, Refusal]]:
        """Commit what the relay answered; which are to be wrapped again. The lock is held."""
        stale: list[tuple[OutboxRecord, Refusal]] = []
        draft = Draft(self._core)
        self._core.unanswered.difference_update(entry.hash for entry in sent)
        rungs = await self._core.store.outbox_rungs([entry.hash for entry in sent])
        for entry, outcome in zip(sent, outcomes, strict=True):
            if entry.hash not in rungs:
                # Its recipient's word, or its end, came before the relay's: what that says stays.
                continue
            if isinstance(outcome, ParcelAccepted):
                self._healed.discard(entry.hash)
                _relayed(draft, entry, rungs[entry.hash])
            elif outcome.code is RejectCode.STALE_LOG:
                stale.append((entry, outcome))
            else:
                await self._refused(draft, entry, outcome)
        await draft.commit()
        return stale

    # --- Outcomes

    async def _refused(self, draft: Draft, entry: OutboxRecord, refusal: Refusal) -> None:
        remedy = await self._remedy(draft, entry, refusal.code)
        if remedy is Remedy.NONE:
            rung = Rung.EXPIRED if refusal.code is RejectCode.EXPIRED else Rung.FAILED
            await _end(draft, entry, rung, refusal.code.value)
            return
        self._defer(draft, entry, refusal)

    def _defer(self, draft: Draft, entry: OutboxRecord, refusal: Refusal) -> None:
        attempts = entry.attempts + 1
        draft.add(DeferOutbox(entry.hash, attempts, self._next_at(draft, attempts, refusal)))

    def _next_at(self, draft: Draft, attempts: int, refusal: Refusal) -> Instant:
        asked = refusal.detail.retry_after
        wait = delay(attempts, self._core.jitter(), retry_after=asked / 1000 if asked is not None else None)
        return Instant(draft.now + math.ceil(wait * 1000))

    async def _remedy(self, draft: Draft, entry: OutboxRecord, code: RejectCode) -> Remedy:
        if code in _WAIT:
            return Remedy.WAIT
        if code not in _OURS | _PUBLISH:
            return Remedy.NONE
        if code is not RejectCode.UNKNOWN_RECIPIENT and entry.attempts >= PATIENCE:
            # Tried often, though perhaps for being told to wait alone: what may heal it is done once more.
            if entry.hash in self._healed:
                self._healed.remove(entry.hash)
                return Remedy.NONE
            self._healed.add(entry.hash)
        if code in _OURS:
            return Remedy.WAIT  # our log is on its way to the relay
        if entry.to.account == self._core.own:
            # A device or an agent of ours that the relay does not know yet: our log is on its way.
            serving = (await draft.own_log()).state.serving(entry.to.name)
            return Remedy.WAIT if serving else Remedy.NONE
        # A relay that was restored from a backup may have forgotten what it was told before. A peer that it
        # does not know comes back to it when its own daemon does, however long that takes.
        mine = parse_envelope(read_parcel(decode(entry.parcel)).envelope).header.from_
        for bond in await bonds_between(self._core.store, mine, entry.to):
            if bond.record.state is ConnectionState.ACCEPTED:
                await note(draft, Publication(Subject.CONNECTION, bond.record.request))
                return Remedy.PUBLISH
        return Remedy.NONE

    async def _wrap_again(self, stale: Sequence[tuple[OutboxRecord, Refusal]]) -> None:
        """The same envelopes, wrapped for the devices that their recipient has now. Raises LinkEnded."""
        first, refusal = stale[0]
        renewed = await self._renew(first.to.account, refusal)
        hashes = [entry.hash for entry, _ in stale]
        async with self._core.lock:
            draft = Draft(self._core)
            held = await self._core.store.outbox(hashes)
            sealed = await self._core.store.sealed(hashes) if renewed else {}
            for entry, refusal in stale:
                current = held.get(entry.hash)
                if current is None:
                    continue
                if not renewed:
                    self._defer(draft, current, refusal)
                    continue
                kept = sealed[entry.hash]
                try:
                    parcel = await draft.wrap(parse_envelope(kept.envelope), kept.key)
                except DaemonRefusal as refused:
                    await _end(draft, current, Rung.FAILED, refused.code)
                    continue
                again = attrs.evolve(current, parcel=parcel, attempts=current.attempts + 1)
                if current.attempts >= PATIENCE:
                    # Tried often for whatever reason: the relay's view may have to settle first.
                    at = self._next_at(draft, again.attempts, refusal)
                    again = attrs.evolve(again, next_attempt_at=at)
                draft.add(PutOutbox(again))
                await trio.lowlevel.checkpoint()
            await draft.commit()


def _by_account(
    stale: Sequence[tuple[OutboxRecord, Refusal]],
) -> list[list[tuple[OutboxRecord, Refusal]]]:
    """Those for one account together, since one look at its log is news to all; apart where none is shown."""
    groups: dict[tuple[AccountId, bool], list[tuple[OutboxRecord, Refusal]]] = {}
    for entry, refusal in stale:
        shown = bool(refusal.detail.statements)
        groups.setdefault((entry.to.account, shown), []).append((entry, refusal))
    return list(groups.values())


def _relayed(draft: Draft, entry: OutboxRecord, rungs: Sequence[tuple[str, Rung]]) -> None:
    # What one device has confirmed was offered again for the others, of whom nobody hears a word.
    confirmed = [rung is Rung.DELIVERED for _, rung in rungs]
    if is_class_without_receipt(entry.cls) or (confirmed and all(confirmed)):
        draft.add(DropOutbox((entry.hash,)), ForgetSealed((entry.hash,)))
        return
    draft.add(RelayedOutbox((entry.hash,)))
    for name, _ in rungs:
        draft.add(SetRung(entry.hash, name, Rung.RELAYED, "", draft.now))
        draft.tell("delivery", name, (entry.hash,), rung=Rung.RELAYED.value)


async def _hold_back(draft: Draft, entry: OutboxRecord) -> None:
    draft.add(DeferOutbox(entry.hash, entry.attempts, Instant(draft.now + HELD_BACK_MS)))
    for message in (await draft.core.store.messages((entry.hash,))).get(entry.hash, ()):
        if message.rung is Rung.QUEUED and message.code != WAITING_CODE:
            draft.add(SetRung(entry.hash, message.mine.name, Rung.QUEUED, WAITING_CODE, draft.now))
            draft.tell("delivery", message.mine.name, (entry.hash,), rung="queued", code=WAITING_CODE)


async def give_up_expired(core: Core) -> None:
    """What has not been delivered within its life: its delivery is not known."""
    async with core.lock:
        draft = Draft(core)
        for entry in await core.store.outbox_expired(draft.now, BATCH):
            await _end(draft, entry, Rung.EXPIRED, RejectCode.EXPIRED.value)
        await draft.commit()


async def give_up_all(core: Core) -> None:
    """End everything that waits for an answer: the device that sent it is gone. The lock is held."""
    while entries := await core.store.outbox_expired(_NEVER, BATCH):
        draft = Draft(core)
        for entry in entries:
            await _end(draft, entry, Rung.EXPIRED, RejectCode.DEVICE_GONE.value)
        await draft.commit()


async def _end(draft: Draft, entry: OutboxRecord, rung: Rung, code: str) -> None:
    draft.add(DropOutbox((entry.hash,)), ForgetSealed((entry.hash,)))
    if entry.to.device is not None:
        await lose(draft, entry.hash, code)
    for message in await _messages(draft, entry.hash):
        name = message.mine.name
        refs = (entry.hash,) if message.task is None else (entry.hash, message.task)
        draft.add(SetRung(entry.hash, name, rung, code, draft.now))
        ended = attrs.evolve(message, rung=rung, code=code)
        if (rung is Rung.EXPIRED and code == RejectCode.EXPIRED) or is_early(ended, draft.now):
            await note_expired(draft, message)
        draft.tell("delivery", name, refs, rung=rung.value, code=code)


async def _messages(draft: Draft, hash: Hash) -> list[MessageRecord]:
    """The messages of ours that it is, unless known as delivered."""
    found = (await draft.core.store.messages((hash,))).get(hash, ())
    return [message for message in found if message.rung not in (None, Rung.DELIVERED)]
