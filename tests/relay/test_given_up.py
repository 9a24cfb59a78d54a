"""Whoever hangs up while the relay writes down what was asked: what is written is in force."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.reading import Reader
from taskferry_protocol.accounts import set_agent
from taskferry_protocol.calls import AppendStatements, CallRequest, PutGrant
from taskferry_protocol.connections import read_request
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import read_grant
from taskferry_protocol.records import PutSetting
from taskferry_stores.sqlite import open_relay_store

from .conftest import GENERATION, ORIGIN, World, codes, serving
from .people import connect, end, grant, seal

LOOKS_EVERY_S = 0.005


def withdrawals(world: World) -> dict[str, tuple[CallRequest, str]]:
    """Bob's ways not to be written to by Alice any more, each with what she is told from then on."""
    alice, bob = world.alice, world.bob
    call = connect(alice, bob, world.now)
    request = read_request(call.request, alice.log)
    less = grant(
        bob,
        request,
        world.now,
        classes=frozenset({MessageClass.TASK}),
        before=read_grant(call.grants[1], bob.log),
    )
    gone = set_agent(bob.log.state, "agent", [], at=world.now, by=bob.manage)
    return {
        "connects": (call, ""),
        "end": (end(bob, request, world.now), "not-connected"),
        "grant": (PutGrant(less), "not-permitted"),
        "statement": (AppendStatements(bob.log.position.length, (gone,)), "unknown-recipient"),
    }


@pytest.mark.parametrize("how", ["end", "grant", "statement"])
async def test_what_was_withdrawn_is_in_force_though_its_owner_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also where it goes to the disk together with what others ask for."""
    async with (
        open_relay_store(tmp_path / "relay.db", generation=GENERATION) as store,
        serving(store, Policy([ORIGIN])) as world,
    ):
        alice, bob = world.alice, world.bob
        calls = withdrawals(world)
        call, code = calls[how]
        async with world.open(alice) as client:
            async with world.open(bob) as other:
                await other.call(calls["connects"][0])
            assert codes(await client.send([seal(alice, bob, "1", world.now).parcel])) == ["accepted"]
            engine = store._engine
            write, gates, sizes = engine._write, [threading.Event(), threading.Event()], []

            def slowly(group):
                sizes.append(len(group))
                if len(sizes) <= len(gates):
                    gates[len(sizes) - 1].wait(10)
                return write(group)

            monkeypatch.setattr(engine, "_write", slowly)
            bobs = trio.CancelScope()

            async def withdraw() -> None:
                with bobs:
                    await world.relay._office.calls.answer(Reader(bob.log.account, bob.keys.id), call)

            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(store.commit, [PutSetting("first", b"1")])
                    while not sizes:
                        await trio.sleep(LOOKS_EVERY_S)
                    nursery.start_soon(store.commit, [PutSetting("leads", b"1")])
                    await trio.testing.wait_all_tasks_blocked()
                    nursery.start_soon(withdraw)
                    while len(engine._queue) < 2:
                        await trio.sleep(LOOKS_EVERY_S)
                    gates[0].set()
                    while len(sizes) < 2:
                        await trio.sleep(LOOKS_EVERY_S)
                    bobs.cancel()
                    gates[1].set()
            assert sizes[:2] == [1, 2]
            assert codes(await client.send([seal(alice, bob, "2", world.now).parcel])) == [code]
