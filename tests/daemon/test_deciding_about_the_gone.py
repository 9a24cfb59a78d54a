"""What the owner decides about a peer whose agent nobody serves stands, though nobody is there to be told."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import GrantChange
from taskferry_protocol import accounts

from .test_nobody_left import hear
from .test_upkeep import a_pair
from .worlds import OWNER


async def withdraw(world, here, there):
    """There the agent is withdrawn, and here that is heard; its daemon may serve it again at any time."""
    log = await there._core.own_log()
    gone = accounts.set_agent(log.state, "writer", (), at=world.clock.now(), by=there._core.manage)
    await hear(here._core, gone, log)


@pytest.mark.parametrize("kind", ["revoked", "blocked"])
async def test_a_peer_cannot_keep_its_connection_by_withdrawing_its_agent(kind):
    """The connection is ended, and the relay is told of it; the peer hears of it from nobody."""
    async with a_pair() as (world, a, b):
        await withdraw(world, a, b)
        (held,) = await a.connections(OWNER, "accepted", "")
        view = await a.end_connection(OWNER, held.id.hex(), kind, "")
        assert view.state == "ended"
        assert not await a.connections(OWNER, "accepted", "")


async def test_a_peer_cannot_keep_its_permissions_by_withdrawing_its_agent():
    """What it may send is narrowed at once, for whenever it comes back."""
    async with a_pair() as (world, a, b):
        await withdraw(world, a, b)
        (held,) = await a.connections(OWNER, "accepted", "")
        await a.set_permissions(OWNER, held.id.hex(), GrantChange(classes=("message",)))
        record = (await a._core.store.connections((held.id,)))[held.id]
        assert max(grant.version for grant in record.grants if grant.grantor == record.mine) == 2
