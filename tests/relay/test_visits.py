"""Visitors: who holds an account's recovery key sees its log; whoever does not sees nothing at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from taskferry_apps.relay.limits import USUAL
from taskferry_apps.relay.visits import NOWHERE, Visits
from taskferry_apps.relay_client import CallRefused, Identity, LinkEnded, RelayClient, open_relay
from taskferry_protocol import calls
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.recovery import VISITOR
from taskferry_protocol.sessions import LogExtension

from .conftest import ORIGIN
from .people import Person, seal_raw


@asynccontextmanager
async def visiting(
    world, key: SigningKey, *, origin: str = ORIGIN, log: LogExtension | None = None
) -> AsyncIterator[RelayClient]:
    """A visit with this key."""
    transport = await world.network.dial()
    async with open_relay(
        transport, Identity(VISITOR, key), origin=origin, log=log, now=world.clock.now
    ) as client:
        yield client


async def asks(client: RelayClient, request: calls.CallRequest) -> str:
    """The code of a refused call, or the method's name."""
    try:
        await client.call(request)
    except CallRefused as refused:
        return refused.refusal.code.value
    return request.method


async def known(world, who: Person) -> None:
    """The relay knows an account."""
    async with world.open(who):
        pass


async def test_the_recovery_key_opens_its_own_log_by_name_and_id(world):
    """All of it, and it is told no position before it asks."""
    await known(world, world.alice)
    async with visiting(world, world.alice.recovery) as client:
        assert client.ready.log == NOWHERE
        for question in (calls.FindAccount("alice"), calls.GetAccount(world.alice.log.account)):
            answer = await client.call(question)
            assert isinstance(answer, calls.AccountFound)
            assert answer.statements == world.alice.log.statements
        assert await asks(client, calls.FindAccount("alice", 99)) == "account.get"


async def test_other_accounts_do_not_exist_for_a_visitor(world):
    """Neither by name nor by id can a stranger tell an account that is there from one that is not."""
    await known(world, world.alice)
    await known(world, world.bob)
    manage = world.alice.keys.manage
    for key in (world.bob.recovery, SigningKey.from_seed(b"g" * 32), world.alice.keys.signing, manage):
        async with visiting(world, key) as client:
            assert await asks(client, calls.FindAccount("alice")) == "unknown-account"
            assert await asks(client, calls.FindAccount("nobody")) == "unknown-account"
            assert await asks(client, calls.GetAccount(world.alice.log.account)) == "unknown-account"
            assert await asks(client, calls.GetAccount(AccountId(b"n" * 32))) == "unknown-account"


async def test_a_visitor_asks_for_a_log_alone_and_sends_nothing(world):
    """No other call is answered, and a parcel ends the session."""
    await known(world, world.alice)
    async with visiting(world, world.alice.recovery) as client:
        account = world.alice.log.account
        for request in (
            calls.AppendStatements(0, world.alice.log.statements),
            calls.GetCard(world.alice.agent),
            calls.GetPresence((world.alice.agent,)),
        ):
            assert await asks(client, request) == "not-authorized"
        assert await asks(client, calls.GetAccount(account)) == "account.get"
        sent = seal_raw(world.alice, world.bob, world.clock.now())
        with trio.fail_after(5), pytest.raises(LinkEnded) as ended:
            await client.send([sent.parcel])
        assert ended.value.code == "not-authorized"


async def test_a_visitor_brings_no_statements_and_dials_the_right_relay(world):
    """What is no visit is turned away in the opening."""
    for how, code in (
        ({"log": LogExtension(0, world.alice.log.statements)}, "bad-value"),
        ({"origin": "ws://evil.test:80"}, "wrong-origin"),
    ):
        with trio.fail_after(5), pytest.raises(LinkEnded) as ended:
            async with visiting(world, world.alice.recovery, **how):
                pass
        assert ended.value.code == code


def test_visits_from_one_address_are_counted():
    """Guessing by the thousand is turned away, with the time to come back."""
    visits = Visits(None)  # type: ignore[arg-type]
    for _ in range(USUAL.visits):
        visits.admit(0, (), "192.0.2.1", Instant(0))
    with pytest.raises(RemoteProtocolError) as failure:
        visits.admit(0, (), "192.0.2.1", Instant(0))
    assert failure.value.code == "rate-limited"
    visits.admit(0, (), "192.0.2.2", Instant(0))
