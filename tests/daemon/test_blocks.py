"""A block is of an agent: no second request, invite or rule lets it back in."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_protocol.ids import AgentRef

from .worlds import OWNER, Machine, a_world, connect, set_up, until

PAIR = ("requester", "@bob/writer")


async def ask_again(asking, asked, mine="writer", peer="requester", link=None):
    """Another request, by a daemon that does not care that there is one."""
    core = asking._core
    async with core.lock:
        draft = Draft(core)
        to = AgentRef(asked._core.own, peer)
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
        await ask_again(b, a)

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
        await ask_again(b, a)

        async def waits():
            return await a.connections(OWNER, "requested_in", "")

        await until(waits)
        await a.end_connection(OWNER, bond.id.hex(), "blocked", "", None)
        await ask_again(b, a)

        async def refused():
            return [item for item in await a.quarantine(OWNER, "", 50) if item.code == "not-permitted"]

        await until(refused)
        assert await states(a) == ["ended", "ended"]
        with pytest.raises(DaemonRefusal) as own:
            await a.request_connection(OWNER, *PAIR, "")
        assert "blocked" in own.value.message
        await a.gates.unblock(OWNER, bond.id.hex())
        assert (await a.request_connection(OWNER, *PAIR, "")).state == "requested_out"
