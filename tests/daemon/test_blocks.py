"""A block is of an agent: no second request, invite or rule lets it back in."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from taskferry_apps.daemon.accepting import accept_waiting
from taskferry_apps.daemon.bonds import Bond
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.grants import welcome
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange
from taskferry_protocol.ids import AgentRef

from .test_manage import WORDS, cheaply
from .worlds import OWNER, Machine, a_world, connect, set_up, until

PAIR = ("requester", "@bob/writer")


async def ask_again(asking, asked, mine="writer", peer="requester", link=None):
    """Another request, by a daemon that does not care that there is one."""
    core = asking._core
    async with core.lock:
        draft = Draft(core)
        to = AgentRef(asked, peer)
        await asking._connections._ask(draft, OWNER, core.agent(mine), to, "once more", link)
        await draft.commit()
    core.outgoing.ring()


async def states(daemon):
    """The states of all connections."""
    return sorted(view.state for view in await daemon.connections(OWNER, "", ""))


@pytest.mark.parametrize("kind", ["blocked", "revoked"])
async def test_what_is_ended_is_all_that_is_between_two_agents(kind):
    """Named by its agents, with a second request waiting: neither it nor the connection is left."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as a,
        world.running(Machine("bob")) as b,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await connect(b, a, "writer", "@alice/requester")
        await ask_again(b, a._core.own)

        async def both():
            return await states(a) == ["accepted", "requested_in"]

        await until(both)
        await a.end_connection(OWNER, PAIR, kind, "", None)
        assert await states(a) == ["ended", "ended"]


async def test_who_is_blocked_is_not_heard_until_the_block_is_lifted():
    """Not by a request that was on its way, nor by a new one; nor does the owner ask them by mistake."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as a,
        world.running(Machine("bob")) as b,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await connect(b, a, "writer", "@alice/requester")
        (bond,) = await a.connections(OWNER, "accepted", "")
        await ask_again(b, a._core.own)

        async def waits():
            return await a.connections(OWNER, "requested_in", "")

        await until(waits)
        await a.end_connection(OWNER, bond.id.hex(), "blocked", "", None)
        await ask_again(b, a._core.own)

        async def refused():
            return [item for item in await a.quarantine(OWNER, "", 50) if item.code == "not-permitted"]

        await until(refused)
        assert await states(a) == ["ended", "ended"]
        with pytest.raises(DaemonRefusal) as own:
            await a.request_connection(OWNER, *PAIR, "")
        assert "blocked" in own.value.message
        await a.gates.unblock(OWNER, bond.id.hex())
        assert (await a.request_connection(OWNER, *PAIR, "")).state == "requested_out"


async def test_what_an_owner_takes_is_taken_in_all_connections_with_that_agent():
    """Whoever ends the newest of them goes on under an older one, with no more than was said last."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as a,
        world.running(Machine("bob")) as b,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await connect(b, a, "writer", "@alice/requester")
        await ask_again(b, a._core.own)
        (request,) = await until(lambda: a.connections(OWNER, "requested_in", ""))
        await a.accept_connection(OWNER, request.id.hex(), GrantChange(classes=("message", "task")))
        assert [given(one) for one in await a.connections(OWNER, "accepted", "")] == [{"message", "task"}] * 2
        await a.set_permissions(OWNER, PAIR, GrantChange(classes=("message",)))
        await until(lambda: are(b, ["accepted", "accepted"]))
        await b.end_connection(OWNER, request.id.hex(), "revoked", "")
        await until(lambda: are(a, ["accepted", "accepted"], ["accepted", "ended"], ["ended", "ended"]))
        assert all(given(one) == {"message"} for one in await a.connections(OWNER, "", ""))


@asynccontextmanager
async def one_request_waiting(world):
    """Alice and Bob: her request waits at his daemon, and she has accepted his, for messages alone."""
    async with (
        world.running(Machine("alice")) as a,
        world.running(Machine("bob")) as b,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await a.request_connection(OWNER, *PAIR, "")
        (old,) = await until(lambda: b.connections(OWNER, "requested_in", ""))
        world.clock.ahead_ms += 1_000
        await ask_again(b, a._core.own)
        (new,) = await until(lambda: a.connections(OWNER, "requested_in", ""))
        await a.accept_connection(OWNER, new.id.hex(), GrantChange(classes=("message",)))
        await until(lambda: are(b, ["accepted", "requested_in"]))
        yield a, b, old.id


async def accept_late(daemon, request):
    """Accept a request whatever else was agreed on since, as an owner may who looks at it late."""
    core = daemon._core
    async with core.lock:
        draft = Draft(core)
        await accept_waiting(draft, Bond((await core.store.connections((request,)))[request]), welcome())
        await draft.commit()
    core.outgoing.ring()


async def test_a_request_that_is_accepted_late_lets_nobody_send_more_than_was_said_since():
    """It had waited while another connection of the two was made, restricted and ended."""
    async with a_world() as world, one_request_waiting(world) as (a, b, old):
        await accept_late(b, old)
        await until(lambda: are(a, ["accepted", "accepted"]))
        assert [given(one) for one in await a.connections(OWNER, "accepted", "")] == [{"message"}] * 2


async def test_no_request_is_accepted_late_while_the_key_that_would_restrict_it_is_locked():
    """It would let the peer send more than was said since, and nobody would take that back later."""
    async with a_world() as world, one_request_waiting(world) as (a, b, old):
        await cheaply(a).manage.set_passphrase(OWNER, WORDS, "")
        await accept_late(b, old)

        async def set_aside():
            return [item.code for item in await a.quarantine(OWNER, "", 5)] == ["request-expired"]

        await until(set_aside)
        assert [given(one) for one in await a.connections(OWNER, "accepted", "")] == [{"message"}]


def given(connection):
    """The classes that the peer may send."""
    return set(connection.given.classes)


async def are(daemon, *wanted):
    """Whether the states of all connections are one of these."""
    return await states(daemon) in wanted
