"""A former agent is told apart from the next one of its name on each machine of the owner alike."""

from __future__ import annotations

from taskferry_apps.daemon.port import Caller, NewAgent
from taskferry_apps.daemon.service import Daemon
from tests.daemon.worlds import OWNER, Machine, a_world, ask, connect, in_state, set_up, until

from .machines import brought_up, link_to, log_of

REQUESTER = Caller(frozenset({"requester"}))


async def shown(daemon: Daemon) -> dict[bytes, str]:
    """Whose each message is that the owner is shown."""
    return {view.id: view.mine for view in (await daemon.messages(OWNER, "", "", 100)).messages}


async def tell(bob: Daemon, text: str) -> bytes:
    """Something that Bob's agent says to Alice's."""
    return (await bob.send_message(OWNER, "writer", "@alice/requester", text, (), "", "")).message


async def has(daemon: Daemon, *messages: bytes) -> None:
    """Wait until a machine has these."""

    async def there():
        return set(messages) <= (await shown(daemon)).keys()

    await until(there)


async def anew(alice: Daemon, bob: Daemon) -> bytes:
    """Withdrawn, made and connected anew; something that is said to the next one."""
    await alice.withdraw_agent(OWNER, "requester")
    await alice.create_agent(OWNER, NewAgent("requester"))

    async def heard():
        return not await bob.connections(OWNER, "accepted", "")

    await until(heard)
    await connect(alice, bob, "requester", "@bob/writer")
    return (
        await bob.send_message(OWNER, "writer", "@alice/requester", "to the next one", (), "", "")
    ).message


async def test_a_machine_that_is_linked_later_tells_the_agents_of_a_name_apart():
    """The history that it is given says by which log each message was sealed."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            task = await ask(first, "requester", "@bob/writer")
            await in_state(bob, task, "sent")
            old = await tell(bob, "to the first")
            await has(first, old)
            new = await anew(first, bob)
            await has(first, new)
            machine = Machine("alice2")
            await link_to(world, first, machine)
            async with world.running(machine) as second:
                await brought_up(first, second)
                await has(second, task, old, new)
                for daemon in (first, second):
                    whose = await shown(daemon)
                    assert {whose[task], whose[old]} == {"@alice/requester~1"}
                    assert whose[new] == "@alice/requester"
                    said = {view.id for view in (await daemon.messages(REQUESTER, "", "", 50)).messages}
                    assert not {task, old} & said
                    assert (await daemon.tasks(REQUESTER, "", "", "", "", 50))[0] == ()
                    waiting = (await daemon.status()).waiting
                    assert waiting is not None
                    assert waiting.undecided == 0
                    assert not (await daemon.history.counts(OWNER)).states


async def test_a_machine_that_was_away_tells_them_apart_once_it_hears_of_it():
    """It saw neither the withdrawal nor the making, and reads both in the log."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            machine = Machine("alice2")
            await link_to(world, first, machine)
            async with world.running(machine) as second:
                await brought_up(first, second)
                old = await tell(bob, "to the first")
                await has(second, old)
            new = await anew(first, bob)
            async with world.running(machine) as second:
                await has(second, new)
                assert (await log_of(second)).position == (await log_of(first)).position
                whose = await shown(second)
                assert (whose[old], whose[new]) == ("@alice/requester~1", "@alice/requester")
                said = {view.id for view in (await second.messages(REQUESTER, "", "", 50)).messages}
                assert old not in said
