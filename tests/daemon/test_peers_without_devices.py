"""A peer whose last machine is put out keeps nobody from telling the others what is new."""

from __future__ import annotations

from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import CardChange

from .worlds import OWNER, Machine, a_world, connect, set_up, until


async def test_a_peer_that_has_no_device_any_more_stops_no_news_of_ours():
    """Its owner put the last one out: keys are changed and cards signed as before, and others told."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as alice,
        world.running(Machine("bob")) as bob,
        world.running(Machine("carol")) as carol,
    ):
        await set_up(alice, "alice", "requester")
        await set_up(bob, "bob", "writer")
        await set_up(carol, "carol", "reader")
        await connect(alice, bob, "requester", "@bob/writer")
        await connect(alice, carol, "requester", "@carol/reader")
        await bob.devices.revoke(OWNER, bob._core.device.hex(), "the end", lose=True)

        async def both():
            return len(await alice.connections(OWNER, "accepted", "")) == 2

        await until(both)
        # As the relay shows it to whoever asks.
        log = await bob._core.own_log()
        assert not log.state.active_devices()
        async with alice._core.lock:
            draft = Draft(alice._core)
            held = await draft.log(log.account)
            assert held is not None
            draft.replace_log(held, log, held.state.length, "bob")
            await draft.commit()
        await alice.edit_agent(OWNER, "requester", CardChange(tagline="Asks"))
        await alice.devices.rotate(OWNER)

        async def told():
            length = len((await alice._core.own_log()).statements)
            log = await carol._core.logs.get(alice._core.own)
            (connection,) = await carol.connections(OWNER, "accepted", "")
            is_new = connection.card is not None and connection.card.version == 2
            return is_new and log is not None and len(log.statements) == length

        await until(told)
