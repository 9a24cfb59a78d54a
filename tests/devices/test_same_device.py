"""A lost machine that comes back from its backup as the device that it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from taskferry_apps.daemon import link
from taskferry_apps.daemon.backups import Backups, Copying
from taskferry_apps.daemon.core import SEQUENCE_FLOOR, Core
from taskferry_apps.daemon.keys import decode_keys
from taskferry_apps.daemon.log_news import take_own_news
from taskferry_apps.daemon.orders import CardChange, GrantChange
from taskferry_apps.daemon.private_files import make_private_directory
from taskferry_apps.daemon.publications import noted
from taskferry_apps.daemon.regaining import is_due
from taskferry_apps.daemon.restoring import Identity, numbers_after, read_opening, restore
from taskferry_apps.daemon.secret_files import FileSecrets
from taskferry_apps.daemon.secret_port import DEVICE
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay_client import RelayClient
from taskferry_protocol.backups import PassphraseLock, key_by_passphrase
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.passphrases import Effort
from taskferry_stores.sqlite import open_daemon_store
from tests.daemon.worlds import OWNER, Machine, MemoryVault, World, a_world, connect, set_up, texts, until

from .machines import alarms_of, link_to, log_of, say

PASSPHRASE = "correct horse battery"


async def _has(daemon: Daemon, agent: str, *wanted: str) -> bool:
    return set(wanted) <= set(await texts(daemon, agent))


async def _is_delivered(daemon: Daemon, text: str) -> bool:
    sent = (await daemon.messages(OWNER, "", "", 50)).messages
    return any(
        one.payload.get("text") == text and one.delivery is not None and one.delivery.rung == "delivered"
        for one in sent
    )


async def _may_sign(daemon: Daemon) -> bool:
    return not daemon._core.suspended


async def _seals_for(sender: Daemon, recipient: Daemon) -> bool:
    core = recipient._core
    log = await sender._core.logs.get(core.own)
    assert log is not None
    return log.state.devices[core.device].record.enc == core.keys.device.encryption.public


async def _restored(world: World, file: Path, data: Path, at: Instant | None = None) -> None:
    with file.open("rb") as stream:
        opening = read_opening(stream)
        assert isinstance(opening.header.lock, PassphraseLock)
        key = key_by_passphrase(opening.header.lock, PASSPHRASE)
        put_back = partial(
            restore, identity=Identity.SAME, now=at or world.clock.now(), progress=lambda _: None
        )
        await trio.to_thread.run_sync(partial(put_back, stream, opening, key, data))


@pytest.mark.parametrize("days", [0, 8])
@pytest.mark.parametrize("rotated", [False, True])
async def test_it_goes_on_whatever_it_did_after_the_backup(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, days: int, rotated: bool
) -> None:
    """What came then does not come again; at the first start mail goes both ways, and the account is one.

    Before it has heard what the old one signed it signs nothing.
    """
    data, file = tmp_path / "alice", tmp_path / "alice.backup"
    make_private_directory(data)
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with (
            open_daemon_store(data / "daemon.db") as store,
            world.running(Machine("alice", store=store, folder=data)) as alice,
        ):
            await set_up(alice, "alice", "requester")
            await connect(alice, bob, "requester", "@bob/writer")
            await say(bob, "writer", "@alice/requester", "before")
            await until(lambda: _has(alice, "requester", "before"))
            backups = Backups(alice._core, Copying(store.copy_to, data), Effort(1, 8_192))
            made = await backups.make(OWNER, PASSPHRASE)
            async with made.pieces as pieces:
                file.write_bytes(b"".join([piece async for piece in pieces]))
            world.clock.ahead_ms += days * DAY_MS
            if rotated:
                await alice._owner.rotate_now(OWNER)
                await alice._link.wait_published((await log_of(alice)).state.length)
            await say(bob, "writer", "@alice/requester", "after")
            await say(alice, "requester", "@bob/writer", "after")
            await until(lambda: _has(alice, "requester", "after"))
            await until(lambda: _has(bob, "writer", "after"))
            # Its receipt is sealed for a key that may be lost: it has come by now, or would open nowhere.
            await until(lambda: _is_delivered(alice, "after"))
        again = tmp_path / "again"
        await _restored(world, file, again)
        raw = FileSecrets(again).read(DEVICE)
        assert raw is not None
        vault = MemoryVault()
        vault.ring = decode_keys(raw, "")
        silent: list[bool] = []

        async def listen(core: Core, client: RelayClient) -> None:
            silent.append(bool(core.suspended))
            await take_own_news(core, client)

        monkeypatch.setattr(link, "take_own_news", listen)
        async with (
            open_daemon_store(again / "daemon.db") as store,
            world.running(Machine("again", store=store, vault=vault, folder=again)) as alice,
        ):
            await until(lambda: _may_sign(alice))
            await say(alice, "requester", "@bob/writer", "I am back")
            await until(lambda: _has(bob, "writer", "after", "I am back"))
            await until(lambda: _seals_for(bob, alice))
            await say(bob, "writer", "@alice/requester", "welcome back")
            await until(lambda: _has(alice, "requester", "before", "welcome back"))
            assert silent[:1] == [True]
            assert "runs twice" not in await alarms_of(alice)
            # What was sealed for the key that is lost opens nowhere any more.
            assert rotated or not await store.quarantine_lines()
            for item in await alice.quarantine(OWNER, "", 50):
                assert item.next_step.startswith("Nothing here opens it")
                assert item.peer == "@bob/writer" or "nothing needs to be done" in item.next_step
            for daemon in (alice, bob):
                assert "held" not in await alarms_of(daemon)


async def test_what_its_owner_decided_after_the_backup_comes_back(tmp_path: Path) -> None:
    """What a peer may send is what was said last, an end stays one, and a card goes on from the newest."""
    data, file, again = tmp_path / "alice", tmp_path / "alice.backup", tmp_path / "again"
    make_private_directory(data)
    async with (
        a_world() as world,
        world.running(Machine("bob")) as bob,
        world.running(Machine("carol")) as carol,
    ):
        await set_up(bob, "bob", "writer")
        await set_up(carol, "carol", "painter")
        async with (
            open_daemon_store(data / "daemon.db") as store,
            world.running(Machine("alice", store=store, folder=data)) as alice,
        ):
            await set_up(alice, "alice", "requester")
            await connect(alice, bob, "requester", "@bob/writer")
            await connect(alice, carol, "requester", "@carol/painter")
            await _make(alice, Copying(store.copy_to, data), file)
            await alice.edit_agent(OWNER, "requester", CardChange(tagline="after the backup"))
            await alice.set_permissions(
                OWNER, ("requester", "@bob/writer"), GrantChange(classes=("message",), rate_per_minute=7)
            )
            await alice.end_connection(OWNER, ("requester", "@carol/painter"), "blocked", "")
            await until(lambda: _is_shown(bob, "after the backup"))
            await until(lambda: _is_published(alice))
        await _restored(world, file, again)
        async with _going_on(world, again) as alice:
            await until(lambda: _may_sign(alice))
            await until(lambda: _allows(alice, "@bob/writer", ("message",), 7))
            await until(lambda: _is_ended(alice, "@carol/painter"))
            await alice.edit_agent(OWNER, "requester", CardChange(tagline="after the restore"))
            await until(lambda: _is_shown(bob, "after the restore"))


@pytest.mark.parametrize("manage", [True, False])
async def test_what_another_machine_decided_meanwhile_stands(tmp_path: Path, manage: bool) -> None:
    """A machine that goes on from a backup learns of it, and signs nothing in its place."""
    data, file, again = tmp_path / "alice", tmp_path / "alice.backup", tmp_path / "again"
    make_private_directory(data)
    async with (
        a_world() as world,
        world.running(Machine("bob")) as bob,
        world.running(Machine("carol")) as carol,
        world.running(Machine("first")) as first,
    ):
        await set_up(bob, "bob", "writer")
        await set_up(carol, "carol", "painter")
        await set_up(first, "alice", "requester")
        await connect(first, bob, "requester", "@bob/writer")
        async with open_daemon_store(data / "daemon.db") as store:
            machine = Machine("second", store=store, folder=data)
            await link_to(world, first, machine, manage=manage)
            async with world.running(machine) as second:
                await until(lambda: _is_brought_up(first, second))
                await _make(second, Copying(store.copy_to, data), file)
                await connect(first, carol, "requester", "@carol/painter")
                await until(lambda: _is_connected(first, "@bob/writer", "@carol/painter"))
                more = GrantChange(human_gate=False, rate_per_minute=99)
                await first.set_permissions(OWNER, ("requester", "@bob/writer"), more)
                await until(lambda: _is_published(first))
                before = await _given(first)
                await until(lambda: _holds(second, before))
        await _restored(world, file, again)
        async with _going_on(world, again) as second:
            await until(lambda: _has_asked(second))
            assert await _holds(second, before)
        assert await _given(first) == before


@attrs.frozen
class _Given:
    peer: str
    version: int
    classes: tuple[str, ...]
    rate: int
    human_gate: bool


async def _given(daemon: Daemon) -> list[_Given]:
    """What this owner lets each peer send, as a machine holds it."""
    return sorted(
        (
            _Given(one.peer, held.version, held.classes, held.rate_per_minute, held.human_gate)
            for one in await daemon.connections(OWNER, "accepted", "")
            if (held := one.given) is not None
        ),
        key=lambda given: given.peer,
    )


async def _is_connected(daemon: Daemon, *peers: str) -> bool:
    return sorted(one.peer for one in await daemon.connections(OWNER, "accepted", "")) == sorted(peers)


async def _holds(daemon: Daemon, wanted: list[_Given]) -> bool:
    """Whether that is held there; each task may wait: the terms come with another machine's next word."""
    held, sought = (
        [attrs.evolve(one, human_gate=True) for one in given] for given in (await _given(daemon), wanted)
    )
    return held == sought


async def _is_brought_up(first: Daemon, second: Daemon) -> bool:
    return second._core.account is not None and not await first._sharing.jobs()


async def _has_asked(daemon: Daemon) -> bool:
    return not await is_due(daemon._core.store)


@asynccontextmanager
async def _going_on(world: World, data: Path) -> AsyncIterator[Daemon]:
    """The daemon of a data directory that a backup was put back into, while the block lasts."""
    vault = MemoryVault()
    vault.ring = decode_keys(FileSecrets(data).read(DEVICE) or b"", "")
    async with (
        open_daemon_store(data / "daemon.db") as store,
        world.running(Machine("again", store=store, vault=vault, folder=data)) as daemon,
    ):
        yield daemon


async def _make(daemon: Daemon, copying: Copying, file: Path) -> None:
    made = await Backups(daemon._core, copying, Effort(1, 8_192)).make(OWNER, PASSPHRASE)
    async with made.pieces as pieces:
        file.write_bytes(b"".join([piece async for piece in pieces]))


async def _is_shown(peer: Daemon, tagline: str) -> bool:
    (connection,) = await peer.connections(OWNER, "accepted", "")
    return connection.card is not None and connection.card.tagline == tagline


async def _is_published(daemon: Daemon) -> bool:
    return not await noted(daemon._core.store)


async def _allows(daemon: Daemon, peer: str, classes: tuple[str, ...], rate: int) -> bool:
    held = [one.given for one in await daemon.connections(OWNER, "accepted", "") if one.peer == peer]
    return [(one.classes, one.rate_per_minute) for one in held if one is not None] == [(classes, rate)]


async def _is_ended(daemon: Daemon, peer: str) -> bool:
    return [one.end_kind for one in await daemon.connections(OWNER, "ended", "") if one.peer == peer] == [
        "blocked"
    ]


async def _backed_up(world: World, data: Path, file: Path) -> None:
    """Take a backup of a daemon that has an account, at this clock."""
    async with (
        open_daemon_store(data / "daemon.db") as store,
        world.running(Machine("alice", store=store, folder=data)) as alice,
    ):
        await set_up(alice, "alice", "requester")
        await _make(alice, Copying(store.copy_to, data), file)


async def _floor(data: Path) -> int:
    async with open_daemon_store(data / "daemon.db") as store:
        return int.from_bytes((await store.settings((SEQUENCE_FLOOR,)))[SEQUENCE_FLOOR], "big")


async def test_no_number_comes_twice_where_the_clock_is_wrong(tmp_path: Path) -> None:
    """A machine that begins in 1970 numbers above all that was sent, and each time from elsewhere."""
    data, file = tmp_path / "alice", tmp_path / "alice.backup"
    make_private_directory(data)
    async with a_world() as world:
        await _backed_up(world, data, file)
        made_at = world.clock.now()
        floors = []
        for number in range(3):
            await _restored(world, file, tmp_path / f"{number}", Instant(60_000))
            floors.append(await _floor(tmp_path / f"{number}"))
        assert min(floors) > made_at
        assert len(set(floors)) == 3
        await _restored(world, file, tmp_path / "right", later := Instant(made_at + DAY_MS))
        assert await _floor(tmp_path / "right") == later


def test_numbers_go_on_above_those_of_an_earlier_restore_with_a_clock_ahead() -> None:
    """What was numbered by a clock of years to come is not numbered again once the clock is right."""
    drawn = numbers_after(2_000, Instant(1_000), bytes)
    assert drawn > 2_000 + 1_000_000_000
    assert numbers_after(2_000, Instant(2_001), bytes) == 2_001
