"""Invites at a relay: whose are kept, who finds them, and who cannot spoil them."""

from __future__ import annotations

import pytest

from taskferry_apps.relay_client import CallRefused
from taskferry_protocol.accounts import set_agent
from taskferry_protocol.calls import AppendStatements, Done, GetInvite, InviteFound, PutInvite, WithdrawInvite
from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.invites import sign_invite
from taskferry_protocol.limits import INVITES

from .people import DAY_MS, Person

ID = b"sixteen bytes id"


def invite(of: Person, now: Instant, id: bytes = ID, **more) -> bytes:
    """An invite of a person's agent."""
    values = {
        "id": id,
        "secret": b"sixteen secrets!",
        "uses": 1,
        "expires_at": Instant(now + DAY_MS),
        "at": now,
        "log": of.log.position,
        "by": of.manage,
        **more,
    }
    return sign_invite(values.pop("agent", of.agent), **values)


async def code(client, request) -> str:
    """With which code the relay refuses a call."""
    with pytest.raises(CallRefused) as caught:
        await client.call(request)
    return caught.value.refusal.code.value


async def test_whoever_has_the_code_finds_the_invite(world):
    """It comes back as it was signed, to somebody who knows neither side."""
    raw = invite(world.alice, world.now)
    async with world.open(world.alice) as alice, world.open(world.bob) as bob:
        assert await alice.call(PutInvite(raw)) == Done()
        assert await alice.call(PutInvite(raw)) == Done()
        assert await bob.call(GetInvite(ID)) == InviteFound(raw)
        assert await code(bob, GetInvite(bytes(16))) == "unknown-invite"


async def test_only_its_owner_withdraws_it(world):
    """Another account's wish is granted in words alone."""
    raw = invite(world.alice, world.now)
    async with world.open(world.alice) as alice, world.open(world.bob) as bob:
        await alice.call(PutInvite(raw))
        assert await bob.call(WithdrawInvite(ID)) == Done()
        assert await bob.call(GetInvite(ID)) == InviteFound(raw)
        assert await alice.call(WithdrawInvite(ID)) == Done()
        assert await code(bob, GetInvite(ID)) == "unknown-invite"


async def test_invite_that_is_over_is_found_no_more(world):
    """From the moment that it names, whether or not it was swept away yet."""
    async with world.open(world.alice) as alice:
        await alice.call(PutInvite(invite(world.alice, world.now)))
        world.clock.ahead_ms += DAY_MS
        assert await code(alice, GetInvite(ID)) == "unknown-invite"


async def test_nobody_publishes_for_another(world):
    """Neither another's statement nor another's agent, and not under an id that is taken."""
    alice, bob = world.alice, world.bob
    async with world.open(alice) as a, world.open(bob) as b:
        assert await code(b, PutInvite(invite(alice, world.now))) == "wrong-account"
        forged = invite(bob, world.now, agent=alice.agent)
        assert await code(b, PutInvite(forged)) == "wrong-account"
        raw = invite(alice, world.now)
        await a.call(PutInvite(raw))
        assert await code(b, PutInvite(invite(bob, world.now))) == "bad-value"
        assert await b.call(GetInvite(ID)) == InviteFound(raw)


async def test_invite_is_for_an_agent_that_is_there_and_not_over(world):
    """A device that may not manage cannot invite; nor can anybody for an agent that nobody serves."""
    alice = world.alice
    async with world.open(alice) as client:
        ghost = AgentRef(alice.log.account, "ghost")
        assert await code(client, PutInvite(invite(alice, world.now, agent=ghost))) == "unknown-agent"
        late = Instant(world.now - 1)
        over = invite(alice, Instant(world.now - DAY_MS), expires_at=late)
        assert await code(client, PutInvite(over)) == "expired"
        device = invite(alice, world.now, by=alice.keys.signing)
        assert await code(client, PutInvite(device)) == "not-authorized"
        gone = set_agent(alice.log.state, "agent", [], at=world.now, by=alice.manage)
        await client.call(AppendStatements(alice.log.state.length, (gone,)))
        assert await code(client, PutInvite(invite(alice, world.now))) == "unknown-agent"


async def test_account_publishes_only_so_many(world):
    """What one account keeps at a relay is bounded, and withdrawing makes room."""
    alice = world.alice
    async with world.open(alice) as client:
        for n in range(INVITES):
            await client.call(PutInvite(invite(alice, world.now, n.to_bytes(16, "big"))))
        assert await code(client, PutInvite(invite(alice, world.now))) == "too-many"
        await client.call(WithdrawInvite(bytes(16)))
        await client.call(PutInvite(invite(alice, world.now)))
