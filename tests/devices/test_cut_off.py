"""What is agreed with the relay first and kept here after: cut off in between, it is made good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from taskferry_apps import system
from taskferry_apps.daemon.entering import Entry, Pending
from taskferry_apps.daemon.keys import make_keys
from taskferry_apps.daemon.port import DaemonRefusal, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import DeviceStatus
from taskferry_protocol.ids import AccountId, Hash, Instant, LogPosition
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.passphrases import Effort
from taskferry_protocol.records import AppendStatements, PutSetting
from taskferry_stores.errors import StoreFull
from taskferry_stores.memory import MemoryDaemonStore
from tests.daemon.worlds import OWNER, URL, Machine, a_world, set_up, until
from tests.hanging_up import hung_up

from .machines import Pair, a_pair, link_to, log_of
from .places import Places, compared


class Dead(Exception):
    """The process is gone."""


class Mortal(MemoryDaemonStore):
    """A store whose machine loses power when statements are to be kept, once it is to."""

    is_to_die = False

    async def commit(self, changes):
        """Commit, or die."""
        if self.is_to_die and any(isinstance(change, AppendStatements) for change in changes):
            raise Dead
        return await super().commit(changes)


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines meet in this process."""
    monkeypatch.setattr("taskferry_apps.daemon.linking.open_meeting", Places())


async def _is_served(daemon: Daemon) -> bool:
    return daemon._core.account is not None and bool(await daemon.agents(OWNER))


async def _serving(daemon: Daemon, count: int) -> bool:
    return len((await log_of(daemon)).state.agents["requester"]) == count


async def test_a_machine_that_the_relay_has_let_in_is_brought_up_to_date_after_a_crash(autojump_clock):
    """The one that let it in dies before it has kept that: once it is back, it goes on."""
    store = Mortal()
    alice, third = Machine("alice", store), Machine("third")
    async with a_world() as world:
        try:
            async with world.running(third) as new, world.running(alice) as old:
                await set_up(old, "alice", "requester")
                await link_to(world, old, Machine("second"))
                await until(lambda: _serving(old, 2))
                ours, theirs = await compared(old, new)
                await new.devices.confirm(OWNER, ours)
                store.is_to_die = True
                await old.devices.confirm(OWNER, theirs)
                await trio.sleep_forever()
        except* Dead:
            store.is_to_die = False
        async with world.running(third) as new, world.running(alice) as old:
            await until(lambda: _is_served(new))
            assert await _serving(old, 3)


async def _has_consent(daemon: Daemon) -> bool:
    attempt = daemon._linking._attempt
    return attempt is not None and attempt.approving is not None and attempt.approving.consent is not None


CHANGES: dict[str, Callable[[Pair], Awaitable[object]]] = {
    "revoke": lambda pair: pair.first.devices.revoke(OWNER, pair.device.hex(), "lost", True),
    "rotate": lambda pair: pair.first.devices.rotate(OWNER),
    "agent": lambda pair: pair.first.create_agent(OWNER, NewAgent("desk")),
}


async def _agrees(pair: Pair) -> bool:
    """Whether the relay, the machine that changed the account and the peer hold the same log."""
    mine = await log_of(pair.first)
    shown = (await pair.world.relay_store.accounts((mine.account,)))[mine.account]
    told = await pair.bob._core.logs.get(mine.account)
    return told is not None and mine.position == shown.position == told.position


@pytest.mark.parametrize("waits", [2, 4, 6])
@pytest.mark.parametrize("change", CHANGES)
async def test_what_the_relay_has_taken_is_kept_and_told_though_whoever_asked_hung_up(
    change: str, waits: int, autojump_clock
):
    """A change of the account is made as a whole, or not at all."""
    async with a_pair() as pair:
        await hung_up(lambda: CHANGES[change](pair), waits)
        await until(lambda: _agrees(pair))


async def test_what_the_relay_has_taken_is_learned_of_though_the_disk_was_full(
    monkeypatch: pytest.MonkeyPatch, autojump_clock
):
    """The change is refused here, counts all the same, and is asked for at once."""
    async with a_pair() as pair:
        store = pair.first._core.store
        assert isinstance(store, MemoryDaemonStore)
        commit = store.commit

        async def full(changes):
            if any(isinstance(change, AppendStatements) for change in changes):
                monkeypatch.setattr(store, "commit", commit)
                raise StoreFull("no space is left")
            return await commit(changes)

        monkeypatch.setattr(store, "commit", full)
        with pytest.raises(StoreFull):
            await CHANGES["revoke"](pair)

        async def is_revoked() -> bool:
            log = await log_of(pair.first)
            return log.state.devices[pair.device].status is not DeviceStatus.ACTIVE

        await until(is_revoked)


@pytest.mark.parametrize("waits", [1, 2, 3, 4])
@pytest.mark.parametrize("who", ["old", "new"])
async def test_words_that_were_typed_count_though_whoever_typed_them_hung_up(
    who: str, waits: int, autojump_clock
):
    """A try is carried on by the daemon: the machine is linked, and nobody waits ten minutes for nothing."""
    third, alice = Machine("third"), Machine("alice")
    async with a_world() as world, world.running(third) as new, world.running(alice) as old:
        await set_up(old, "alice", "requester")
        ours, theirs = await compared(old, new)
        await hung_up(partial(new.devices.confirm, OWNER, ours), waits if who == "new" else 10**9)
        await until(partial(_has_consent, old))
        await hung_up(partial(old.devices.confirm, OWNER, theirs), waits if who == "old" else 10**9)
        await until(lambda: _is_served(new))


async def test_a_try_that_a_crash_cut_off_and_the_next_one_end_together(autojump_clock):
    """The machine still looks for what it consented to first, and both find what it consents to last."""
    third, alice = Machine("third"), Machine("alice")
    async with a_world() as world, world.running(alice) as old:
        await set_up(old, "alice", "requester")
        async with world.running(third) as new:
            ours, _ = await compared(old, new)
            await new.devices.confirm(OWNER, ours)
        await old.devices.cancel(OWNER)
        async with world.running(third) as new:
            lock = new._core.lock
            await until(partial(_carries, new))
            ours, theirs = await compared(old, new)
            await new.devices.confirm(OWNER, ours)
            with trio.fail_after(20):
                async with lock:
                    await old.devices.confirm(OWNER, theirs)
                    while lock.statistics().tasks_waiting < 2:
                        await trio.sleep(0.01)
                while lock.statistics().tasks_waiting:
                    await trio.sleep(0.01)
            await until(lambda: _is_served(new))


async def _carries(daemon: Daemon) -> bool:
    return daemon._linking._nursery is not None


async def test_giving_up_a_try_takes_no_keys_from_the_next_one(autojump_clock):
    """What the machine has just consented to is kept, though the time of an earlier try is over."""
    machine = Machine("third")
    async with a_world() as world:
        core = (await world.open_daemon(machine))._core
        entry, now = Entry(core, world.route_to), core.now()
        position = LogPosition(1, Hash(bytes(32)))
        account = AccountId(bytes(32))
        core.ring = make_keys("first", system.entropy, now)
        await core.commit((PutSetting("linking", Pending(account, position, URL, now).encode()),))
        ring = make_keys("next", system.entropy, now)
        later = Pending(account, position, URL, Instant(now + MINUTE_MS))
        async with trio.open_nursery() as nursery:
            async with core.lock:
                nursery.start_soon(entry.promise, ring, later)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(entry.resume)
                with trio.fail_after(20):
                    while core.lock.statistics().tasks_waiting < 2:
                        await trio.sleep(0.01)
            while core.lock.locked():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert core.ring is machine.vault.ring is ring
        assert await core.store.settings(("linking",)) == {"linking": later.encode()}


@pytest.mark.parametrize("why", ["locked", "relay-unreachable"])
async def test_a_machine_that_cannot_be_let_in_is_told_so_on_both_sides(
    monkeypatch: pytest.MonkeyPatch, why: str, autojump_clock
):
    """The key was locked meanwhile, or the relay has gone: nobody waits for words that came to nothing."""
    third, alice = Machine("third"), Machine("alice")
    async with a_world() as world, world.running(third) as new, world.running(alice) as old:
        await set_up(old, "alice", "requester")
        await link_to(world, old, Machine("second"))
        await until(lambda: _serving(old, 2))
        ours, theirs = await compared(old, new)
        if why == "locked":
            monkeypatch.setattr(old.manage, "_effort", Effort(1, 8 * 1024 * 1024))
            await old.manage.set_passphrase(OWNER, "a passphrase of many words", "")
        else:
            world.stop_relay()

            async def is_alone() -> bool:
                return not old._link.connected

            await until(is_alone)
        await new.devices.confirm(OWNER, ours)
        await until(partial(_has_consent, old))
        with pytest.raises(DaemonRefusal) as refused:
            await old.devices.confirm(OWNER, theirs)
        assert refused.value.code == why
        shown = await old.devices.linking(OWNER, "", 0)
        assert (shown.phase, shown.code) == ("failed", why)

        async def is_told() -> bool:
            return (await new.devices.linking(OWNER, "", 0)).phase == "failed"

        await until(is_told)
