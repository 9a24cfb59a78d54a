"""Bringing a further device of the owner up to date: whom we know, who is connected, then history.

What is due stands in the store and moves in the very commits that post it, so that a kill -9 repeats nothing
and leaves nothing out. Mail for agents comes to the new device only once the first part is with the relay.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from enum import StrEnum
from typing import Final

import attrs
import trio

from taskferry_protocol import accounts
from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant
from taskferry_protocol.limits import DAY_MS, ENVELOPE_BYTES
from taskferry_protocol.messages import (
    SharedCard,
    SharedConnection,
    SharedItem,
    SharedLabel,
    SharedMessage,
)
from taskferry_protocol.records import (
    DropSetting,
    MessageQuery,
    Order,
    OutboxState,
    PinnedAccount,
    Place,
    PutSetting,
    Trust,
)

from ..logs import get_logger
from .agents_told import shared_agent
from .bell import Bell
from .bonds import all_bonds
from .core import Core
from .draft import Draft
from .labels import labels_of
from .link import Link
from .owner import Owner
from .port import DaemonRefusal
from .shares import account_items, share_with

__all__ = ["History", "Job", "Sharing"]

_KEY: Final = "sharing"
_PAGE: Final = 64
#: An envelope beyond this does not fit into another one with its padding.
_LARGEST: Final = ENVELOPE_BYTES - 6_000
_LOOK_AGAIN_S: Final = 0.2
_AFTER_REFUSAL_S: Final = 5.0
#: After so long, what waited for this device before is taken, even where its mailbox is never quiet.
_DRAINED_AT_LAST_MS: Final = 60_000


class History(StrEnum):
    """How much of what was before a new device is given. What belongs to open tasks always goes along."""

    NONE = "none"
    MONTH = "30d"
    ALL = "all"


class _Phase(StrEnum):
    SHARE = "share"
    SERVE = "serve"
    HISTORY = "history"
    REST = "rest"
    """What has come to this device alone, while the new one did not serve yet, and what that changed."""


@attrs.frozen
class Job:
    """How far a device has been brought. `since` is when history begins; `done` of `total` are looked at.

    `through` is when history was first through, 0 before; what came to this device alone is waited for then.
    `told` is the place of the last message that was here when the logs of others were shared.
    """

    device: DeviceId
    since: Instant
    phase: str = _Phase.SHARE.value
    after: int = 0
    done: int = 0
    total: int = 0
    waits: Hash | None = None
    through: int = 0
    told: int = 0

    @classmethod
    def begin(cls, device: DeviceId, history: History, now: Instant) -> Job:
        """A job for a device that was added just now."""
        since = {History.NONE: now, History.MONTH: max(0, now - 30 * DAY_MS), History.ALL: 0}[history]
        return cls(device, Instant(since))


def _read(raw: bytes | None) -> dict[DeviceId, Job]:
    rows = json.loads(raw) if raw is not None else []
    jobs = [
        Job(
            DeviceId(bytes.fromhex(row["device"])),
            Instant(row["since"]),
            row["phase"],
            row["after"],
            row["done"],
            row["total"],
            Hash(bytes.fromhex(row["waits"])) if row["waits"] else None,
            row.get("through", 0),
            row.get("told", 0),
        )
        for row in rows
    ]
    return {job.device: job for job in jobs}


async def _put(draft: Draft, job: Job | None, device: DeviceId) -> None:
    jobs = _read(await draft.setting(_KEY))
    jobs.pop(device, None)
    if job is not None:
        jobs[device] = job
    if not jobs:
        draft.add(DropSetting(_KEY))
        return
    rows = [
        attrs.asdict(row) | {"device": row.device.hex(), "waits": row.waits.hex() if row.waits else ""}
        for row in jobs.values()
    ]
    draft.add(PutSetting(_KEY, json.dumps(rows).encode()))


async def _own_agents(core: Core) -> list[SharedItem]:
    """Our own agents: how freely they act, and their cards."""
    agents = await core.store.agents()
    cards = await core.store.cards([core.agent(agent.name) for agent in agents])
    told = [shared_agent(agent, core.now()) for agent in agents]
    return [*told, *(SharedCard(record.raw) for record in cards.values())]


def _account(pinned: PinnedAccount) -> list[SharedItem]:
    """An account as it is shared; of our own, nothing: each device has it from the relay."""
    if pinned.trust is Trust.OWN:
        return []
    record = pinned.record
    return account_items(record.account, record.name, record.statements, pinned.trust, record.held)


class Sharing:
    """Runs beside the link, as long as some device lacks something."""

    def __init__(self, core: Core, link: Link, owner: Owner) -> None:
        self._core = core
        self._link = link
        self._owner = owner
        self._wake = Bell()

    async def begin(self, draft: Draft, job: Job) -> None:
        """Note in this draft, which adds the device, what it is to be given."""
        total = (await self._core.store.stats()).messages
        await _put(draft, attrs.evolve(job, total=total), job.device)

    def go(self) -> None:
        """There is something to do."""
        self._wake.ring()

    async def jobs(self) -> tuple[Job, ...]:
        """What is under way."""
        return tuple(_read((await self._core.store.settings((_KEY,))).get(_KEY)).values())

    async def run(self) -> None:
        """Go on until cancelled. Raises the store's errors."""
        while True:
            heard = self._wake.next
            jobs = await self.jobs() if self._core.account is not None else ()
            pause = _LOOK_AGAIN_S if jobs else float("inf")
            for job in jobs:
                if self._link.connected and not await self._waits(job):
                    try:
                        await self._step(job.device)
                    except DaemonRefusal as refused:
                        # The key is locked, another device was faster, the relay is full or has just gone.
                        get_logger().info("a new device does not serve yet", reason=refused.code)
                        pause = _AFTER_REFUSAL_S
            with trio.move_on_after(pause):
                await heard.wait()

    async def _waits(self, job: Job) -> bool:
        """Whether the relay has not taken yet what was posted last."""
        if job.waits is None:
            return False
        entry = (await self._core.store.outbox((job.waits,))).get(job.waits)
        return entry is not None and entry.state is OutboxState.WAITING

    async def _step(self, device: DeviceId) -> None:
        async with self._core.lock:
            draft = Draft(self._core)
            job = _read(await draft.setting(_KEY)).get(device)
            if job is None:
                return
            log = await draft.own_log()
            if all(found.id != device for found in log.state.active_devices()):
                await _put(draft, None, device)
            elif job.phase == _Phase.SHARE:
                last = await share_with(draft, device, await self._whom_we_know(), total=job.total)
                told = await self._last_place()
                await _put(draft, attrs.evolve(job, phase=_Phase.SERVE.value, waits=last, told=told), device)
            elif job.phase == _Phase.SERVE:
                await self._serve(draft, device)
                await _put(draft, attrs.evolve(job, phase=_Phase.HISTORY.value), device)
            elif job.phase == _Phase.HISTORY and job.through:
                if not self._has_drained(job):
                    return
                peers = {bond.record.peer.account for bond in await all_bonds(self._core.store)}
                items = [*await self._accounts(peers), *await self._connections()]
                last = await share_with(draft, device, items, done=job.done, total=job.total)
                await _put(draft, attrs.evolve(job, phase=_Phase.REST.value, waits=last), device)
            else:
                await self._history(draft, job)
            await draft.commit()
        self._core.outgoing.ring()

    async def _serve(self, draft: Draft, device: DeviceId) -> None:
        """Let the new device serve what this one does."""
        core = self._core
        for name in sorted((await draft.own_log()).state.agents):
            log = await draft.own_log()
            serving = log.state.agents[name]
            if core.device in serving and device not in serving:
                devices = tuple(sorted((*serving, device)))
                await self._owner.extend(
                    draft, accounts.set_agent(log.state, name, devices, at=draft.now, by=core.manage)
                )

    async def _whom_we_know(self) -> list[SharedItem]:
        core = self._core
        items: list[SharedItem] = []
        after: AccountId | None = None
        while page := await core.store.all_accounts(after, _PAGE):
            for pinned in page:
                after = pinned.record.account
                items += _account(pinned)
        items += await _own_agents(core)
        items += await self._connections()
        labels = await labels_of(core.store)
        return [*items, *(SharedLabel(id, label) for id, label in sorted(labels.items()))]

    async def _accounts(self, accounts: Collection[AccountId]) -> list[SharedItem]:
        """Some pinned accounts, each as it stands now."""
        pinned = await self._core.store.accounts(accounts)
        return [item for account in sorted(pinned) for item in _account(pinned[account])]

    async def _last_place(self) -> int:
        page = await self._core.store.message_page(MessageQuery(), None, 1, Order.NEWEST_FIRST)
        return page.items[0].place if page.items else 0

    def _has_drained(self, job: Job) -> bool:
        """Whether all is taken that the relay had for this device when history was through."""
        late = self._core.now() - job.through > _DRAINED_AT_LAST_MS
        return late or self._link.drained_until >= job.through

    async def _connections(self) -> list[SharedItem]:
        items: list[SharedItem] = []
        for bond in await all_bonds(self._core.store):
            made = bond.record
            grants = tuple((grant.raw, grant.terms) for grant in made.grants)
            items.append(
                SharedConnection(
                    made.request_raw,
                    made.accept_raw,
                    made.end_raw,
                    made.note,
                    made.created_at,
                    grants,
                )
            )
        return items

    async def _history(self, draft: Draft, job: Job) -> None:
        """The next page of messages; after the last, the word that nothing more comes."""
        store = self._core.store
        after = Place(job.after) if job.after else None
        page = await store.message_page(MessageQuery(), after, _PAGE, Order.OLDEST_FIRST)
        tasks = await store.tasks({message.task for message in page.items if message.task is not None})
        open_ones = {task for task, rows in tasks.items() if any(row.open for row in rows)}
        hashes = list(
            dict.fromkeys(
                message.hash
                for message in page.items
                if message.created_at >= job.since or message.task in open_ones
            )
        )
        sealed = await store.sealed(hashes)
        # What came since the logs were shared may quote more of them: a fresh key, a device, a new peer.
        senders = {message.peer.account for message in page.items if message.place > job.told}
        items: list[SharedItem] = [
            *(await self._accounts(senders) if senders else ()),
            *(
                SharedMessage(sealed[hash].envelope, sealed[hash].key)
                for hash in hashes
                if len(sealed[hash].envelope) <= _LARGEST
            ),
        ]
        done = job.done + len(page.items)
        if not page.items and not job.through:
            # Mail of before the new device served may still wait at the relay for this one alone.
            await _put(draft, attrs.evolve(job, through=draft.now), job.device)
            return
        if not page.items:
            await share_with(draft, job.device, (), done=done, total=done)
            await _put(draft, None, job.device)
            draft.tell("device", "", state="up_to_date", id=job.device.hex())
            return
        total = max(job.total, done)
        # One that says only how far things are keeps the other owner's hand off the plug.
        last = await share_with(draft, job.device, items, done=done, total=total)
        moved = attrs.evolve(job, after=page.items[-1].place, done=done, total=total, waits=last)
        await _put(draft, moved, job.device)
