"""Rates between honest daemons: a relay's pacing costs nobody a message."""

from __future__ import annotations

import trio

from taskferry_apps.daemon.port import GrantChange

from .worlds import OWNER, Machine, a_world, connect, set_up, until

HALF_A_MINUTE_MS = 30_000


async def test_a_burst_that_waited_for_its_recipient_arrives_whole():
    """Written in one second, paced by the relay while the recipient was away, fetched in one go."""
    alice, bob = Machine("alice"), Machine("bob")
    texts = [f"{number}" for number in range(9)]
    async with a_world() as world, world.running(alice) as asking:
        async with world.running(bob) as answering:
            await set_up(asking, "alice", "asks")
            await set_up(answering, "bob", "does")
            await connect(asking, answering, "asks", "@bob/does")
            await answering.set_permissions(OWNER, ("does", "@alice/asks"), GrantChange(rate_per_minute=2))

            async def slowed():
                (bond,) = await asking.connections(OWNER, "accepted", "")
                return bond.received is not None and bond.received.rate_per_minute == 2

            await until(slowed)
        for text in texts:
            await asking.send_message(OWNER, "asks", "@bob/does", text, (), "", "")

        async def relayed():
            world.clock.ahead_ms += HALF_A_MINUTE_MS
            asking._core.outgoing.ring()
            await trio.testing.wait_all_tasks_blocked()
            page = await asking.messages(OWNER, "asks", "", 50)
            return all(item.delivery is None or item.delivery.rung != "queued" for item in page.messages)

        await until(relayed)
        async with world.running(bob) as answering:

            async def arrived():
                page = await answering.inbox(OWNER, "does", False, "", 50, 0.0)
                return [m for m in page.messages if m.type == "message"]

            async def all_there():
                found = await arrived()
                return found if len(found) == len(texts) else None

            found = await until(all_there)
            assert sorted(str(message.payload["text"]) for message in found) == texts
            assert await answering.quarantine(OWNER, "", 50) == ()
