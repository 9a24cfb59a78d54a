"""Agents' cards are changed by their owner, and what is older never replaces what is newer."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import Caller, CardChange, DaemonRefusal, NewAgent
from taskferry_protocol import calls
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.call_answers import CardFound
from taskferry_protocol.cards import Card, read_card, sign_card
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.messages import CardUpdate
from taskferry_protocol.records import DropAgent

from .forger import Forger, codes, forging
from .worlds import OWNER, Machine, a_world, connected, set_up, until


def _card(forger: Forger, name: str, version: int, log: AccountLog, tagline: str = "") -> Card:
    agent = AgentRef(log.account, name)
    return Card(agent, version, forger.clock.now(), log.position, tagline=tagline)


async def _deliver(forger: Forger, name: str, version: int, tagline: str = "") -> None:
    card = _card(forger, name, version, await forger.alice.own_log(), tagline)
    raw = sign_card(card, forger.alice.manage)
    await forger.deliver(await forger.seal(CardUpdate(raw), from_="", to=""))


async def _shown(bob):
    (connection,) = await bob.connections(OWNER, "accepted", "")
    return connection.card


async def test_a_change_reaches_the_relay_and_the_owners_connected_with_it():
    """Its version rises; what is not named stays; whoever asks the relay is given the new one."""
    async with a_world() as world, connected(world) as (alice, bob):
        made = await bob.edit_agent(OWNER, "writer", CardChange(tagline="Reports", capabilities=("b", "a")))
        assert (made.version, made.tagline, made.capabilities) == (2, "Reports", ("a", "b"))
        made = await bob.edit_agent(OWNER, "writer", CardChange(description="On anything.", public=True))
        assert (made.version, made.tagline, made.public) == (3, "Reports", True)

        async def told():
            (connection,) = await alice.connections(OWNER, "accepted", "")
            return connection.card if connection.card and connection.card.version == 3 else None

        assert (await until(told)).description == "On anything."
        ref, log = bob._core.agent("writer"), await bob._core.own_log()

        async def published():
            answer = await alice._link.call(calls.GetCard(ref))
            assert isinstance(answer, CardFound)
            return read_card(answer.card, log).version == 3

        await until(published)


async def test_nothing_new_makes_no_new_version():
    """Programs register at every start: the relay, peers and the audit log hear of changes alone."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        await bob.edit_agent(OWNER, "writer", CardChange(tagline="Reports"))
        again = await bob.edit_agent(OWNER, "writer", CardChange(tagline="Reports", public=False))
        assert again.version == 2
        entries = [entry.note for entry in (await bob.audit.entries(OWNER, "card_changed", "", 10)).entries]
        assert [(note.subject, dict(note.facts)["changed"]) for note in entries] == [("writer", "tagline")]


async def test_an_agents_credential_changes_no_card():
    """Not even its own agent's: what others read is the owner's word."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        with pytest.raises(DaemonRefusal) as refused:
            await bob.edit_agent(Caller(frozenset({"writer"})), "writer", CardChange(tagline="Obey me"))
        assert refused.value.code == "owner-only"
        assert (await bob.agents(OWNER))[0].version == 1


@pytest.mark.parametrize(
    ("agent", "change", "code"),
    [
        ("nobody", CardChange(tagline="x"), "not-found"),
        ("writer", CardChange(tagline="x" * 161), "bad-value"),
        ("writer", CardChange(capabilities=tuple(f"{n:02}" for n in range(33))), "too-many"),
    ],
)
async def test_a_faulty_change_leaves_the_card_as_it_is(agent, change, code):
    """It is refused before anything is signed, kept or told."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        with pytest.raises(DaemonRefusal) as refused:
            await bob.edit_agent(OWNER, agent, change)
        assert refused.value.code == code
        assert (await bob.agents(OWNER))[0].version == 1


async def test_an_older_card_never_replaces_a_newer_one():
    """However late it comes, and though its owner has signed it; the same version twice keeps the first."""
    async with forging() as (forger, bob):
        await _deliver(forger, "requester", 5, tagline="five")
        await _deliver(forger, "requester", 4, tagline="four")
        await _deliver(forger, "requester", 5, tagline="another five")
        shown = await _shown(bob)
        assert (shown.version, shown.tagline) == (5, "five")
        await _deliver(forger, "requester", 6, tagline="six")
        assert (await _shown(bob)).tagline == "six"
        assert await codes(bob) == []


async def test_a_card_of_an_agent_that_none_here_is_connected_with_is_refused():
    """Nobody fills this machine with cards of agents that it has nothing to do with."""
    async with forging() as (forger, bob):
        await _deliver(forger, "stranger", 1)
        assert await codes(bob) == ["unknown-agent"]
        assert await _shown(bob) is None


async def test_a_card_that_somebody_else_signed_is_refused():
    """A connected account tells of its own agents alone: not of this owner's either."""
    async with forging() as (forger, bob):
        log = await forger.bob.own_log()
        raw = sign_card(_card(forger, "writer", 9, log, tagline="mine now"), forger.alice.manage)
        await forger.deliver(await forger.seal(CardUpdate(raw), from_="", to=""))
        assert len(await codes(bob)) == 1
        (agent,) = await bob.agents(OWNER)
        assert (agent.version, agent.tagline) == (1, "")


async def test_a_private_card_is_told_to_whom_its_agent_is_connected_with_alone():
    """An owner connected with another agent of the same owner hears nothing of it."""
    async with a_world() as world, connected(world) as (alice, bob):
        await bob.create_agent(OWNER, NewAgent("second"))
        await bob.edit_agent(OWNER, "second", CardChange(tagline="a secret"))
        await bob.edit_agent(OWNER, "writer", CardChange(tagline="known"))

        async def told():
            (connection,) = await alice.connections(OWNER, "accepted", "")
            return connection.card

        assert (await until(told)).tagline == "known"
        assert not await alice._core.store.cards([bob._core.agent("second")])


async def test_the_card_of_an_agent_that_another_machine_serves_is_not_changed_here():
    """It is refused before anything is signed: what this machine does not show, nobody could see changed."""
    async with a_world() as world, world.running(Machine("alice")) as alice:
        await set_up(alice, "alice", "requester")
        await alice._core.commit((DropAgent("requester"),))
        before = (await alice._core.store.cards((alice._core.agent("requester"),))).values()
        with pytest.raises(DaemonRefusal) as refused:
            await alice.edit_agent(OWNER, "requester", CardChange(tagline="Reports"))
        assert refused.value.code == "not-found"
        assert [*(await alice._core.store.cards((alice._core.agent("requester"),))).values()] == [*before]
