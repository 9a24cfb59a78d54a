"""Accounts whose logs have become longer than an envelope: they connect, and are followed, as others are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from taskferry_apps.daemon import log_news
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.log_news import judge
from taskferry_apps.daemon.logbook import LogBook
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import STEP_BYTES, AccountLog, rotate_keys
from taskferry_protocol.frame_items import statement_page
from taskferry_protocol.limits import ENVELOPE_BYTES

from .worlds import OWNER, Machine, a_world, connect, connected, set_up, texts, until


def _aged(daemon: Daemon, log: AccountLog, statements: int) -> AccountLog:
    """The log after its one device has rotated its key for years."""
    core = daemon._core
    enc, key = log.state.devices[core.device].record.enc, core.keys.device.signing
    made = []
    for _ in range(statements):
        made.append(rotate_keys(log.state, key, enc, at=core.now()))
        log = log.extend(made[-1:])
    return log


async def _grow_old(daemon: Daemon, statements: int = 1_000) -> AccountLog:
    core = daemon._core
    held = await core.own_log()
    log = _aged(daemon, held, statements)
    start = held.state.length
    while start < log.state.length:
        page = statement_page(log.after(start))
        await daemon._link.append(start, page)
        start += len(page)
    async with core.lock:
        draft = Draft(core)
        draft.replace_log(held, log, held.state.length)
        await draft.commit()
    return log


async def test_two_owners_whose_logs_fit_into_no_envelope_connect():
    """What of a log fits goes with the request, and with the answer; the rest the relay has."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as alice,
        world.running(Machine("bob")) as bob,
    ):
        await set_up(alice, "alice", "requester")
        await set_up(bob, "bob", "writer")
        logs = [await _grow_old(daemon) for daemon in (alice, bob)]
        assert all(sum(map(len, log.statements)) > ENVELOPE_BYTES for log in logs)
        await connect(alice, bob, "requester", "@bob/writer")
        assert await bob._core.logs.get(logs[0].account) == logs[0]
        assert await alice._core.logs.get(logs[1].account) == logs[1]


async def test_others_have_their_turn_while_a_long_log_is_folded():
    """Whoever has made it so long makes nobody wait longer than for a piece of it, now or when it is read."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as alice,
        world.running(Machine("bob")) as bob,
    ):
        await set_up(alice, "alice", "requester")
        await set_up(bob, "bob", "writer")
        core, log = bob._core, _aged(alice, await alice._core.own_log(), 300)
        pieces = sum(map(len, log.statements)) // STEP_BYTES

        async def judged() -> None:
            assert await judge(core, log.account, 0, log.statements) is not None

        async def read() -> None:
            assert await LogBook(core.store).get(log.account) == log

        assert await _turns_of_others(judged) >= pieces
        async with core.lock:
            draft = Draft(core)
            draft.take_log(None, log)
            await draft.commit()
        assert await _turns_of_others(read) >= pieces


async def _turns_of_others(work: Callable[[], Awaitable[None]]) -> int:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        before = turns
        await work()
        nursery.cancel_scope.cancel()
    return turns - before


async def test_the_log_of_a_stranger_is_fetched_up_to_a_bound(monkeypatch):
    """Beyond it, a request is set aside; whom the owner asks for may have a log of any length."""
    monkeypatch.setattr(log_news, "STRANGER_BYTES", 250_000)
    async with (
        a_world() as world,
        world.running(Machine("alice")) as alice,
        world.running(Machine("bob")) as bob,
    ):
        await set_up(alice, "alice", "requester")
        await set_up(bob, "bob", "writer")
        log = await _grow_old(alice)
        await alice.request_connection(OWNER, "requester", "@bob/writer", "hello")

        async def set_aside() -> bool:
            return [item.code for item in await bob.quarantine(OWNER, "", 5)] == ["unknown-account"]

        await until(set_aside)
        assert await bob._core.logs.get(log.account) is None
        await bob.request_connection(OWNER, "writer", "@alice/requester", "hello")
        assert await bob._core.logs.get(log.account) == log


async def test_the_log_of_a_known_owner_is_followed_beyond_that_bound(monkeypatch):
    """Whoever is connected may rotate keys for years, and is heard."""
    monkeypatch.setattr(log_news, "STRANGER_BYTES", 1)
    async with a_world() as world, connected(world) as (alice, bob):
        log = await _grow_old(alice, 20)
        await alice.send_message(OWNER, "requester", "@bob/writer", "still here", (), "", "")

        async def heard() -> bool:
            return await texts(bob) == ["still here"]

        await until(heard)
        assert await bob._core.logs.get(log.account) == log
