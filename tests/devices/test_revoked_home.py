"""A home that is revoked before its last events reached the owner's other machine: both ends still agree.

The relay keeps back, for as long as it likes, what it should have delivered to that machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon import quarantine
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.envelope import Envelope, parse_envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Entry, Mail, Notice
from taskferry_protocol.frames import DeliverFrame, Frame
from taskferry_protocol.ids import DeviceId, Hash
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import MessageClass, TaskCancel, TextPart
from taskferry_protocol.records import Order
from tests.daemon.forger import Forger
from tests.daemon.worlds import OWNER, act, ask, in_state, until

from .courier import Courier
from .machines import Pair, a_pair, alarms_of, log_of


@attrs.frozen
class Scene:
    """A task that works, whose home is about to be lost; what comes late comes by the courier."""

    pair: Pair
    task: Hash
    home: DeviceId
    courier: Courier

    async def revoke(self) -> None:
        """Put the home out."""
        await self.pair.second.devices.revoke(OWNER, self.home.hex(), "lost", lose=True)

    async def hashes(self, daemon: Daemon) -> list[Hash]:
        """The events that count there."""
        return [event.hash for event in (await daemon.task(OWNER, self.task.hex())).events]

    async def agree(self) -> None:
        """Wait until Bob and Alice's other machine show the same."""

        async def same() -> bool:
            return await self.hashes(self.pair.second) == await self.hashes(self.pair.bob)

        await until(same)


@asynccontextmanager
async def a_scene(kept: Callable[[Envelope, DeviceId], bool]) -> AsyncIterator[Scene]:
    """Bob has submitted; what `kept` says is kept back from Alice's second machine from then on."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer", revisions=3)
        await in_state(pair.bob, task, "sent")
        await act(pair.bob, task, "accept")
        await in_state(pair.first, task, "accepted")
        await act(pair.bob, task, "submit", parts=(TextPart("done"),))
        await in_state(pair.first, task, "submitted")
        (home,) = [id for id in (await log_of(pair.first)).state.devices if id != pair.device]

        async def settled() -> bool:
            views = [await daemon.task(OWNER, task.hex()) for daemon in (pair.first, pair.second, pair.bob)]
            chains = [[event.hash for event in view.events] for view in views]
            # What is kept back must not come as history.
            return chains[0] == chains[1] == chains[2] and not await pair.first._sharing.jobs()

        await until(settled)
        courier = Courier(pair.second, lambda envelope: kept(envelope, home))
        pair.world.tamper = courier.tamper
        yield Scene(pair, task, home, courier)


def of_home(envelope: Envelope, home: DeviceId) -> bool:
    """What the home has signed about tasks."""
    return envelope.device == home and envelope.header.cls is MessageClass.TASK


def of_task(envelope: Envelope, home: DeviceId) -> bool:
    """All events of tasks, the peer's too."""
    return envelope.header.cls in {MessageClass.TASK, MessageClass.ARTIFACT}


async def set_aside(daemon: Daemon) -> list[str]:
    """The codes of what a machine has quarantined of tasks."""
    page = await daemon._core.store.quarantine_page(None, 50, Order.OLDEST_FIRST)
    return [item.code for item in page.items if item.cls in {"task", "artifact"}]


async def _completed_at_bob(scene: Scene) -> None:
    await act(scene.pair.first, scene.task, "complete")
    await in_state(scene.pair.bob, scene.task, "completed")


async def test_what_the_worker_had_taken_counts_though_it_comes_after_the_revocation(autojump_clock):
    """The other machine waits for it, signs nothing in its place, and takes it when it comes."""
    async with a_scene(of_home) as scene:
        second = scene.pair.second
        await _completed_at_bob(scene)

        async def missed() -> bool:
            return any(
                "has not come" in line for line in (await second.task(OWNER, scene.task.hex())).waiting
            )

        await until(missed)
        await scene.revoke()
        with pytest.raises(DaemonRefusal) as refused:
            await act(second, scene.task, "cancel")
        assert refused.value.code == "not-possible"
        assert "have not come here yet" in refused.value.message
        await scene.courier.deliver()
        await in_state(second, scene.task, "completed")
        await scene.agree()
        assert await set_aside(second) == []
        alarms = await alarms_of(second)
        assert f"laptop signed in task {scene.task.hex()[:8]} before it was revoked counts" in alarms


async def test_an_adoption_that_came_too_late_gives_way(autojump_clock):
    """The home's word was set aside; the peer's shows that it was taken before, so it counts here too."""
    async with a_scene(of_task) as scene:
        second = scene.pair.second
        await _completed_at_bob(scene)

        async def answered() -> bool:
            return len(scene.courier.kept) >= 2

        await until(answered)
        await scene.revoke()
        await scene.courier.deliver(scene.home)
        assert await set_aside(second) == ["device-gone"]
        await act(second, scene.task, "cancel")
        shown = (await second.task(OWNER, scene.task.hex())).summary
        assert (shown.state, shown.confirmed, shown.final) == ("cancelled", False, False)
        scene.pair.world.tamper = None
        await scene.courier.deliver()
        await in_state(second, scene.task, "completed")
        await scene.agree()
        assert await set_aside(second) == []
        assert "before it was revoked counts" in await alarms_of(second)
        shown = (await second.task(OWNER, scene.task.hex())).summary
        assert (shown.state, shown.final) == ("completed", True)


async def test_no_flood_of_what_is_refused_drops_an_event_that_may_come_to_count(monkeypatch, autojump_clock):
    """The peer's word shows that it had taken the home's; by then much else was set aside."""
    monkeypatch.setattr(quarantine, "MOST_ITEMS", 3)
    async with a_scene(of_task) as scene:
        second, bob = scene.pair.second, scene.pair.bob
        await _completed_at_bob(scene)

        async def answered() -> bool:
            return len(scene.courier.kept) >= 2

        await until(answered)
        await scene.revoke()
        await scene.courier.deliver(scene.home)
        flood = Forger(bob._core, second._core, scene.pair.world.clock)
        link = TaskLink(scene.task, 1, scene.task, Seen(1, scene.task))
        for _ in range(4):
            nothing = await flood.seal(TaskCancel("mine"), link=link, from_="writer", to="requester")
            await flood.deliver(nothing)
        assert sorted(await set_aside(second)) == ["device-gone", "wrong-party", "wrong-party"]
        scene.pair.world.tamper = None
        await scene.courier.deliver()
        await in_state(second, scene.task, "completed")
        await scene.agree()


async def test_the_peers_word_may_come_before_what_it_names(autojump_clock):
    """Adopted, contradicted by the peer, and then the home's own word comes: its place is taken back."""
    async with a_scene(of_task) as scene:
        second = scene.pair.second
        await act(scene.pair.first, scene.task, "revise", reasons=("more",))
        await in_state(scene.pair.bob, scene.task, "revision_requested")
        await act(scene.pair.bob, scene.task, "submit", parts=(TextPart("done"),))

        async def answered() -> bool:
            return len({parse_envelope(mail.envelope).device for mail in scene.courier.kept}) == 2

        await until(answered)
        await scene.revoke()
        await act(second, scene.task, "cancel")
        (bob,) = {parse_envelope(mail.envelope).device for mail in scene.courier.kept} - {scene.home}
        await scene.courier.deliver(bob)
        assert set(await set_aside(second)) == {"unknown-seen"}
        assert (await second.task(OWNER, scene.task.hex())).summary.state == "cancelled"
        scene.pair.world.tamper = None
        await scene.courier.deliver()
        await in_state(second, scene.task, "resubmitted")
        await scene.agree()
        assert await set_aside(second) == []
        inbox = await second.inbox(OWNER, "requester", True, "", 50, 0)
        assert [message.type for message in inbox.messages if message.task == scene.task][-1:] == [
            "artifact_submit"
        ]
        await act(second, scene.task, "complete")
        await in_state(scene.pair.bob, scene.task, "completed")
        await scene.agree()


async def test_what_nobody_took_in_time_stays_set_aside(autojump_clock):
    """The home signs on, but the peer has heard of the revocation: the adoption counts."""
    async with a_scene(of_home) as scene:
        second, bob = scene.pair.second, scene.pair.bob
        # Nothing of the home's reaches anybody any more, until all have heard.
        scene.pair.world.tamper = _all_of(scene.home, scene.courier)
        await act(scene.pair.first, scene.task, "complete")

        async def sent() -> bool:
            return bool(scene.courier.kept)

        await until(sent)
        await scene.revoke()

        async def heard() -> bool:
            log = await bob._core.logs.get(scene.pair.second._core.own)
            return log is not None and log.position == (await log_of(second)).position

        await until(heard)
        await act(second, scene.task, "cancel")
        await in_state(bob, scene.task, "cancelled")
        await scene.agree()
        late = Courier(bob, lambda _: False)
        late.kept = [
            mail for mail in scene.courier.kept if late.is_for_it(parse_envelope(mail.envelope), mail.sealed)
        ]
        assert late.kept
        await late.deliver()
        assert await set_aside(bob) == ["device-gone"]
        await scene.courier.deliver()
        assert await set_aside(second) == ["device-gone"]
        for daemon in (second, bob):
            shown = (await daemon.task(OWNER, scene.task.hex())).summary
            assert (shown.state, shown.final) == ("cancelled", True)


def _all_of(home: DeviceId, courier: Courier) -> Callable[[Frame], Frame]:
    """Keep back every task event of a device, whomever it is for."""

    def sift(entry: Entry) -> Entry:
        if not isinstance(entry, Mail) or not of_home(parse_envelope(entry.envelope), home):
            return entry
        courier.kept.append(entry)
        return Notice(entry.offset, Hash(bytes(32)), RejectCode.EXPIRED)

    def tamper(frame: Frame) -> Frame:
        if not isinstance(frame, DeliverFrame):
            return frame
        return attrs.evolve(frame, entries=tuple(map(sift, frame.entries)))

    return tamper
