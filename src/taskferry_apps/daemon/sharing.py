"""Bringing a further device of the owner up to date: whom we know, who is connected, then history.

What is due stands in the store and moves in the very commits that post it, so that a kill -9 repeats nothing
and leaves nothing out. Mail for agents comes to the new device only once the first part is with the relay.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs
import trio

from taskferry_protocol import accounts
from taskferry_protocol.ids import AccountId, DeviceId
from taskferry_protocol.messages import SharedCard, SharedItem
from taskferry_protocol.records import (
    MessageQuery,
    Order,
    OutboxState,
    Place,
)

from ..logs import get_logger
from .agents_told import shared_agent
from .bell import Bell
from .bonds import all_bonds
from .core import Core
from .draft import Draft
from .labels import label_items
from .link import Link
from .owner import Owner
from .port import DaemonRefusal
from .share_jobs import JOBS, History, Job, Phase, put_job, read_jobs
from .shares import connection_item, message_items, pinned_items, share_with

__all__ = ["History", "Job", "Sharing"]

_PAGE: Final = 64
_LOOK_AGAIN_S: Final = 0.2
_AFTER_REFUSAL_S: Final = 5.0
#: After so long, what waited for this device before is taken, even where its mailbox is never quiet.
_DRAINED_AT_LAST_MS: Final = 60_000


async def _own_agents(core: Core) -> list[SharedItem]:
    """Our own agents: how freely they act, and their cards."""
    agents = await core.store.agents()
    cards = await core.store.cards([core.agent(agent.name) for agent in agents])
    told = [shared_agent(agent, core.now()) for agent in agents]
    return [*told, *(SharedCard(record.raw) for record in cards.values())]


class Sharing:
    """Runs beside the link, as long as some device lacks something."""

    def __init__(self, core: Core, link: Link, owner: Owner) -> None:
        self._core = core
        self._link = link
        self._owner = owner
        self._wake = Bell()

    async def begin(self, draft: Draft, job: Job) -> None:
        """Note in this draft, which comes before the one that adds the device, what it is to be given.

        The relay may have taken the device in, and whoever asked it be killed before that is kept here.
        """
        total = (await self._core.store.stats()).messages
        await put_job(draft, attrs.evolve(job, total=total), job.device)

    def go(self) -> None:
        """There is something to do."""
        self._wake.ring()

    async def jobs(self) -> tuple[Job, ...]:
        """What is under way."""
        return tuple(read_jobs((await self._core.store.settings((JOBS,))).get(JOBS)).values())

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
            job = read_jobs(await draft.setting(JOBS)).get(device)
            if job is None:
                return
            log = await draft.own_log()
            if all(found.id != device for found in log.state.active_devices()):
                if device not in log.state.devices and draft.now < job.named_by:
                    return
                await put_job(draft, None, device)
            elif job.phase == Phase.SHARE:
                last = await share_with(draft, device, await self._whom_we_know(), total=job.total)
                told = await self._last_place()
                await put_job(
                    draft, attrs.evolve(job, phase=Phase.SERVE.value, waits=last, told=told), device
                )
            elif job.phase == Phase.SERVE:
                await self._serve(draft, device)
                await put_job(draft, attrs.evolve(job, phase=Phase.HISTORY.value), device)
            elif job.phase == Phase.HISTORY and job.through:
                if not self._has_drained(job):
                    return
                peers = {bond.record.peer.account for bond in await all_bonds(self._core.store)}
                items = [*await self._accounts(peers), *await self._connections()]
                last = await share_with(draft, device, items, done=job.done, total=job.total)
                await put_job(draft, attrs.evolve(job, phase=Phase.REST.value, waits=last), device)
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
                items += pinned_items(pinned)
        items += await _own_agents(core)
        items += await self._connections()
        return [*items, *await label_items(core.store)]

    async def _accounts(self, accounts: Collection[AccountId]) -> list[SharedItem]:
        """Some pinned accounts, each as it stands now."""
        pinned = await self._core.store.accounts(accounts)
        return [item for account in sorted(pinned) for item in pinned_items(pinned[account])]

    async def _last_place(self) -> int:
        page = await self._core.store.message_page(MessageQuery(), None, 1, Order.NEWEST_FIRST)
        return page.items[0].place if page.items else 0

    def _has_drained(self, job: Job) -> bool:
        """Whether all is taken that the relay had for this device when history was through."""
        late = self._core.now() - job.through > _DRAINED_AT_LAST_MS
        return late or self._link.drained_until >= job.through

    async def _connections(self) -> list[SharedItem]:
        return [connection_item(bond.record) for bond in await all_bonds(self._core.store)]

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
            *message_items(sealed[hash] for hash in hashes),
        ]
        done = job.done + len(page.items)
        if not page.items and not job.through:
            # Mail of before the new device served may still wait at the relay for this one alone.
            await put_job(draft, attrs.evolve(job, through=draft.now), job.device)
            return
        if not page.items:
            await share_with(draft, job.device, (), done=done, total=done)
            await put_job(draft, None, job.device)
            draft.tell("device", "", state="up_to_date", id=job.device.hex())
            return
        total = max(job.total, done)
        # One that says only how far things are keeps the other owner's hand off the plug.
        last = await share_with(draft, job.device, items, done=done, total=total)
        moved = attrs.evolve(job, after=page.items[-1].place, done=done, total=total, waits=last)
        await put_job(draft, moved, job.device)
