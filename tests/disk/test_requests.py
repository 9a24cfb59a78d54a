"""A request of several writes, of which the disk takes some: its answer is true of what is found then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio

from taskferry_apps.daemon.api.kinds import time_text
from taskferry_apps.daemon.keys import KeyRing
from taskferry_apps.daemon.manage import Manage
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.phrase import phrase_of
from taskferry_protocol.cards import read_card
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.passphrases import Effort
from taskferry_stores.sqlite import open_daemon_store
from tests.daemon.api.house import Answer, Api, Behind, serve_api
from tests.daemon.worlds import OWNER, Machine, MemoryVault, World, a_world, set_up, until
from tests.devices.machines import link_to

from .disk import Disk, Fault, Kind
from .test_stores import content

ASKED: ContextVar[bool] = ContextVar("a request of the test is under way", default=False)
NOTHING: Final = "nothing of this was stored"
PARTLY: Final = "a part of this may be stored already"
CHEAP: Final = Effort(1, 8_192)
PASSPHRASE: Final = "words before the key"
RELAY: Final = "https://relay.test"
NEW_PHRASE: Final = phrase_of(bytes(range(32)))
#: What the daemon keeps while nobody asks for anything: how far its mail was taken.
BY_THE_WAY: Final = ("cursor", "settings")


class CountingVault(MemoryVault):
    """Keys of which each saving by a request is counted as something that lasts."""

    lasting = 0

    async def save(self, ring: KeyRing) -> None:
        """Keep the keys."""
        await super().save(ring)
        self.lasting += ASKED.get()


class Aimed:
    """A real store whose disk is full for one commit of a request: the `at`th, counted from 1; 0 for none."""

    def __init__(self, inner: Any, disk: Disk) -> None:
        self._inner = inner
        self._disk = disk
        self.at = 0
        self.asked = 0
        self.lasting = 0

    async def commit(self, changes: Any) -> Any:
        """Commit, on a full disk if it is that one."""
        if not ASKED.get():
            return await self._inner.commit(changes)
        self.asked += 1
        if self.asked == self.at:
            self._disk.decide = lambda call: Fault.FULL if call.kind is Kind.WRITE else None
        try:
            done = await self._inner.commit(changes)
        finally:
            self._disk.forgive()
        self.lasting += 1
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@attrs.define
class Scene:
    """Alice's daemon on the disk that fails, and what an act needs beside it."""

    world: World
    daemon: Daemon
    api: Api
    path: Path
    store: Aimed
    vault: CountingVault
    phrase: str = ""
    second: str = ""
    """The other machine's device."""

    async def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Post, as a request whose writes count."""
        token = ASKED.set(True)
        try:
            return await self.api.post(path, body)
        finally:
            ASKED.reset(token)

    async def at_relay(self) -> int:
        """How many statements of Alice's the relay has."""
        found = await self.world.relay_store.accounts_named(("alice",))
        return len(found["alice"].statements) if found else 0


@asynccontextmanager
async def a_scene(disk: Disk, act: Act) -> AsyncIterator[Scene]:
    """A world with Alice's daemon, as an act needs it."""
    folder = disk.folder / f"{len(list(disk.folder.iterdir()))}"
    folder.mkdir()
    path = folder / "daemon.db"
    async with open_daemon_store(path) as real, a_world() as world:
        store, vault = Aimed(real, disk), CountingVault()
        machine = Machine("alice", store=store, vault=vault)
        behind = Behind(world.nursery, world.relay_store, world.clock, world.network)
        async with behind.running(machine) as daemon:
            daemon.manage = Manage(daemon._core, CHEAP)
            scene = Scene(world, daemon, serve_api(daemon), path, store, vault)
            if act.owner:
                scene.phrase = await set_up(daemon, "alice", "requester")
            if act.second:
                other = Machine("alice2")
                scene.second = (await link_to(world, daemon, other)).hex()
                async with world.running(other) as running:
                    await until(lambda: _is_in(running))
                    await until(lambda: _is_brought_up(daemon))
                    yield scene
            else:
                yield scene


async def _is_in(daemon: Daemon) -> bool:
    return daemon._core.account is not None


async def _is_brought_up(daemon: Daemon) -> bool:
    return not (await daemon.devices.overview(OWNER)).sharing


@attrs.frozen(kw_only=True)
class Act:
    """What an owner asks for, and whether it is there in the end.

    `stands` are the codes with which it may be refused when it is asked for again, since it stands already.
    """

    ask: Callable[[Scene], Awaitable[Answer]]
    done: Callable[[Scene], Awaitable[bool]]
    first: Callable[[Scene], Awaitable[object]] | None = None
    owner: bool = True
    second: bool = False
    stands: tuple[str, ...] = ()


def posts(path: str, **body: Any) -> Callable[[Scene], Awaitable[Answer]]:
    """That, with this body."""
    return lambda scene: scene.ask(path, body)


def shows(path: str, word: str) -> Callable[[Scene], Awaitable[bool]]:
    """Whether a word is in what the daemon answers."""

    async def done(scene: Scene) -> bool:
        return word in (await scene.api.get(path)).raw.decode()

    return done


async def lose_alice(scene: Scene) -> None:
    """Alice had another machine, and has the phrase alone."""
    async with scene.world.running(Machine("lost")) as daemon:
        scene.phrase = await set_up(daemon, "alice", "requester")


async def recover(scene: Scene) -> Answer:
    """Take the account back here."""
    return await scene.ask("/recovery", {"phrase": scene.phrase, "owner": "alice", "relay": RELAY})


async def is_back(scene: Scene) -> bool:
    """Whether the agent is there, with a card that this machine has signed and the relay has."""
    log = await scene.daemon._core.own_log()
    agent = AgentRef(log.account, "requester")

    async def signed_here() -> bool:
        held = (await scene.store.cards((agent,)))[agent]
        told = (await scene.world.relay_store.cards((agent,))).get(agent)
        return read_card(held.raw, log).agent == agent and told is not None and told.raw == held.raw

    return await until(signed_here)


async def renew(scene: Scene) -> Answer:
    """Put other words in force."""
    return await scene.ask("/recovery/phrase", {"phrase": scene.phrase, "new_phrase": NEW_PHRASE})


async def has_other_words(scene: Scene) -> bool:
    """Whether they are in force."""
    return (await scene.api.post("/recovery/check", {"phrase": NEW_PHRASE})).status == 200


async def rotate(scene: Scene) -> Answer:
    """Take another key."""
    return await scene.ask("/devices/rotate", {})


async def has_rotated(scene: Scene) -> bool:
    """Whether the key that is saved is the one that the log names."""
    ring = scene.vault.ring
    assert ring is not None
    record = (await scene.daemon._core.own_log()).state.devices[ring.device.id].record
    return ring.next_encryption is None and record.enc == ring.device.encryption.public


async def put_out(scene: Scene) -> Answer:
    """Put the other machine out."""
    return await scene.ask(f"/devices/{scene.second}/revoke", {"reason": "lost"})


async def invite(scene: Scene) -> Answer:
    """Make an invite of a day."""
    until_when = time_text(Instant(scene.world.clock.now() + DAY_MS))
    return await scene.ask("/invites", {"agent": "requester", "expires_at": until_when})


async def lock(scene: Scene) -> None:
    """A passphrase stands before the key."""
    await scene.api.ok("POST", "/manage/passphrase", {"new_passphrase": PASSPHRASE})


#: Every act that writes more than once, and some that write once.
ACTS: Final[Mapping[str, Act]] = {
    "set up": Act(
        ask=posts("/setup", owner="alice", relay=RELAY), done=shows("/account", "alice"), owner=False
    ),
    "recovered": Act(ask=recover, done=is_back, owner=False, first=lose_alice),
    "other words": Act(ask=renew, done=has_other_words, stands=("wrong-phrase",)),
    "keys rotated": Act(ask=rotate, done=has_rotated),
    "keys rotated beside another machine": Act(ask=rotate, done=has_rotated, second=True),
    "passphrase set": Act(
        ask=posts("/manage/passphrase", new_passphrase=PASSPHRASE),
        done=shows("/health", "locked"),
        stands=("wrong-passphrase",),
    ),
    "key unlocked": Act(
        ask=posts("/manage/unlock", passphrase=PASSPHRASE, minutes=5),
        done=shows("/health", "unlocked"),
        first=lock,
    ),
    "agent made": Act(
        ask=posts("/agents", handle="extra"), done=shows("/agents", "@alice/extra"), stands=("conflict",)
    ),
    "agent made beside another machine": Act(
        ask=posts("/agents", handle="extra"),
        done=shows("/agents", "@alice/extra"),
        second=True,
        stands=("conflict",),
    ),
    "device put out": Act(
        ask=put_out, done=shows("/devices", "revoked"), second=True, stands=("conflict", "device-gone")
    ),
    "invite made": Act(ask=invite, done=shows("/invites", "requester")),
    "credential made": Act(
        ask=posts("/tokens", agents=["requester"], label="once"), done=shows("/tokens", "once")
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ACTS)
async def test_an_answer_is_true_of_what_a_full_disk_has_taken(disk: Disk, name: str) -> None:
    """Each commit of an act in turn finds no room: nothing was stored, or a part, as the answer says."""
    act = ACTS[name]
    at, told = 1, 0
    while await fail_at(disk, act, at):
        at += 1
        told += 1
    assert told >= 1


async def fail_at(disk: Disk, act: Act, at: int) -> bool:
    """Let one commit of the act fail, if it has as many; then ask again until it is done."""
    async with a_scene(disk, act) as scene:
        if act.first is not None:
            await act.first(scene)
        relay, before = await scene.at_relay(), found_in(scene.path)
        scene.store.at, scene.vault.lasting = at, 0
        answer = await act.ask(scene)
        if scene.store.asked < at:
            assert answer.status == 200, answer.raw
            return False
        assert (answer.status, answer.error["code"]) == (503, "storage")
        told = f"{answer.error['message']} {answer.error['next']}"
        lasting = scene.store.lasting + scene.vault.lasting + await scene.at_relay() - relay
        assert (NOTHING in told, PARTLY in told) == (not lasting, bool(lasting)), told
        if not lasting:
            assert found_in(scene.path) == before
        again = await act.ask(scene)
        while again.status == 409 and again.error["code"] == "conflict" and not await act.done(scene):
            # What the relay has taken is on its way here.
            await trio.sleep(0.05)
            again = await act.ask(scene)
        assert again.status == 200 or again.error["code"] in act.stands, again.raw
        assert await act.done(scene)
    async with open_daemon_store(scene.path) as store:
        assert await store.own_account() is not None
    return True


@pytest.mark.parametrize(("at", "sent"), [(1, 2), (2, 128)])
async def test_of_many_messages_each_answer_is_true_of_its_own(disk: Disk, at: int, sent: int) -> None:
    """Two commits hold all: what one of them had no room for says so, and of the others each is there."""
    async with a_scene(disk, Act(ask=rotate, done=has_rotated)) as scene:
        for reader in ("reader0", "reader1"):
            await scene.api.ok("POST", "/agents", {"handle": reader})
        words = [f"words of {number}" for number in range(130)]
        many = [
            {"from": "requester", "to": f"@alice/reader{number % 2}", "text": text}
            for number, text in enumerate(words)
        ]
        scene.store.at = at
        answer = await scene.ask("/messages/batch", {"messages": many})
        results = answer.json["results"]
        assert (answer.status, answer.json["sent"], answer.json["failed"]) == (200, sent, 130 - sent)
        page = await scene.api.ok("GET", "/messages", agent="requester", limit=200)
        listed = {item["payload"].get("text") for item in page["messages"]}
        for text, result in zip(words, results, strict=True):
            assert (text in listed) == result["ok"]
            assert result["ok"] or NOTHING in result["error"]["message"]


def found_in(path: Path) -> dict[str, list[str]]:
    """What the database holds, but for what a daemon keeps by the way."""
    return {table: rows for table, rows in content(path).items() if table not in BY_THE_WAY}
