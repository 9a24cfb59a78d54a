"""A relay that calls a connection ended, and shows no end of it: how often it is asked what it has."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import trio

from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import GrantChange
from taskferry_apps.daemon.publications import Publication, Subject, note
from taskferry_apps.daemon.publishing import Publisher
from taskferry_apps.daemon.regaining import DUE, regain_anew
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay_answers import CallRefused
from taskferry_apps.relay_client import RelayClient
from taskferry_protocol.calls import CallAnswer, CallRequest, ListConnections
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import Hash
from taskferry_protocol.limits import MINUTE_MS

from .test_blocks import ask_again
from .worlds import OWNER, Machine, World, a_world, connect, set_up, until


async def _publish(publisher: Publisher, core: Core, requests: Sequence[Hash]) -> None:
    async with core.lock:
        draft = Draft(core)
        await note(draft, *(Publication(Subject.CONNECTION, request) for request in requests))
        await draft.commit()
    await publisher.publish()


async def _two_connections(world: World, machine: Machine) -> Sequence[Hash]:
    async with world.running(machine) as alice, world.running(Machine("bob")) as bob:
        await set_up(alice, "alice", "requester")
        await set_up(bob, "bob", "writer")
        await connect(alice, bob, "requester", "@bob/writer")
        await ask_again(bob, alice._core.own)
        (request,) = await until(lambda: alice.connections(OWNER, "requested_in", ""))
        await alice.accept_connection(OWNER, request.id.hex(), GrantChange())
        return [one.id for one in await alice.connections(OWNER, "accepted", "")]


async def _refuse(_: object) -> None:
    await trio.lowlevel.checkpoint()
    raise CallRefused(Refusal(RejectCode.UNKNOWN_REQUEST, Detail(text="this connection has ended")))


async def test_a_relay_that_refuses_what_stands_is_asked_for_everything_seldom():
    """However many connections and messages it refuses, or it would be asked for all of them for each."""
    async with a_world() as world:
        machine = Machine("alice")
        requests = await _two_connections(world, machine)
        core = (await world.open_daemon(machine))._core

        asked: list[int] = []

        async def regain(_: Core, __: RelayClient) -> None:
            await trio.lowlevel.checkpoint()
            asked.append(core.now())

        ready = SimpleNamespace(log=(await core.own_log()).position)
        publisher = Publisher(core, cast("Any", SimpleNamespace(ready=ready, call=_refuse)), regain)
        for _ in range(3):
            await _publish(publisher, core, requests)
        assert len(asked) == 1
        world.clock.ahead_ms += 11 * MINUTE_MS
        await _publish(publisher, core, requests)
        assert len(asked) == 2


async def test_what_a_recovery_still_has_to_ask_for_is_asked_for_as_of_a_recovery():
    """Or what a lost device had signed would count as another machine's word."""
    async with a_world() as world, world.running(Machine("alice")) as alice:
        await set_up(alice, "alice", "requester")
        core = alice._core
        await core.commit((DUE,))
        await regain_anew(core, cast("Any", SimpleNamespace(call=_refuse)))
        assert await core.store.settings((DUE.key,)) == {DUE.key: DUE.value}


async def test_a_relay_that_shows_what_is_known_is_asked_for_nobodys_log():
    """One question for each page of connections, and none for each of them."""
    async with a_world() as world:
        machine = Machine("alice")
        requests = await _two_connections(world, machine)
        async with world.running(machine) as alice:
            await until(lambda: _is_connected(alice))
            await alice.end_connection(OWNER, requests[1].hex(), "revoked", "")
            client = alice._link._client
            assert client is not None
            asked: list[CallRequest] = []

            async def call(request: CallRequest) -> CallAnswer:
                asked.append(request)
                return await client.call(request)

            await regain_anew(alice._core, cast("Any", SimpleNamespace(call=call)))
            assert {type(request) for request in asked} == {ListConnections}


async def _is_connected(daemon: Daemon) -> bool:
    return daemon._link.connected
