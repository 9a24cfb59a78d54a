"""What a relay answers beside the mail, and to whom."""

from __future__ import annotations

import pytest

from taskferry_apps.relay_client import CallRefused
from taskferry_protocol.accounts import recover, rename, set_recovery
from taskferry_protocol.calls import (
    AccountFound,
    AppendStatements,
    CallRequest,
    CardFound,
    ConnectionsFound,
    FindAccount,
    GetAccount,
    GetCard,
    GetPresence,
    ListConnections,
    PresenceFound,
    PutCard,
    PutConnection,
    PutGrant,
)
from taskferry_protocol.cards import Card, Visibility, sign_card
from taskferry_protocol.connections import EndKind, read_request
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AccountId, AgentRef, Instant
from taskferry_protocol.permissions import recall_grant

from .conftest import codes
from .people import Person, connect, end, grant, person, seal


async def refused(client, request: CallRequest) -> Refusal:
    """How the relay refuses a call."""
    with pytest.raises(CallRefused) as caught:
        await client.call(request)
    return caught.value.refusal


async def test_an_account_is_found_by_id_and_by_every_name_it_had(world):
    """Statements come from the index asked for."""
    alice = world.alice
    async with world.open(alice) as client:
        statement = rename(alice.log.state, "alicia", at=world.now, by=alice.manage)
        await client.call(AppendStatements(2, (statement,)))
        every = (*alice.log.statements, statement)
        account = alice.log.account
        assert await client.call(GetAccount(account)) == AccountFound(account, 0, every)
        assert await client.call(GetAccount(account, 2)) == AccountFound(account, 2, every[2:])
        assert await client.call(FindAccount("alice")) == AccountFound(account, 0, every)
        assert await client.call(FindAccount("alicia", 3)) == AccountFound(account, 3, ())
        assert (await refused(client, FindAccount("nobody"))).code == "unknown-account"
        assert (await refused(client, GetAccount(AccountId(bytes(32))))).code == "unknown-account"


async def test_appending_twice_is_once_and_on_another_head_is_refused(world):
    """Compare and swap: the loser gets what it has not seen."""
    alice = world.alice
    async with world.open(alice) as client:
        first = rename(alice.log.state, "ann", at=world.now, by=alice.manage)
        second = rename(alice.log.state, "anna", at=world.now, by=alice.manage)
        await client.call(AppendStatements(2, (first,)))
        await client.call(AppendStatements(2, (first,)))
        assert (await refused(client, AppendStatements(4, ()))).code == "not-an-extension"
        forked = await refused(client, AppendStatements(2, (second,)))
        assert forked.code == "forked"


async def test_an_offer_that_comes_too_late_is_no_fork(world):
    """Two devices sign at once: the second is told what the first said, and nothing is held."""
    alice = world.alice
    async with world.open(alice) as client:
        first = rename(alice.log.state, "ann", at=world.now, by=alice.manage)
        second = rename(alice.log.state, "anna", at=world.now, by=alice.manage)
        await client.call(AppendStatements(2, (first,), offer=True))
        await client.call(AppendStatements(2, (first,), offer=True))
        late = await refused(client, AppendStatements(2, (second,), offer=True))
        assert late.code == "not-an-extension"
        assert late.detail.statements == (first,)
        grown = alice.log.extend([first])
        third = rename(grown.state, "anna", at=world.now, by=alice.manage)
        await client.call(AppendStatements(3, (third,), offer=True))
        assert (await world.store.evidence(0, 10)).items == ()


async def test_a_fork_holds_the_account_until_recovery(friends):
    """Two branches by manage keys stop its traffic; a recovery-signed branch lets it go on."""
    alice = friends.alice
    async with friends.open(alice) as client:
        before = alice.log
        first = rename(before.state, "ann", at=friends.now, by=alice.manage)
        second = rename(before.state, "anna", at=friends.now, by=alice.manage)
        await client.call(AppendStatements(2, (first,)))
        alice.log = before.extend([first])
        assert codes(await client.send([seal(alice, friends.bob, "1", friends.now).parcel])) == ["accepted"]
        await refused(client, AppendStatements(2, (second,)))
        held = codes(await client.send([seal(alice, friends.bob, "2", friends.now).parcel]))
        assert held == ["account-held"]
        (evidence,) = (await friends.store.evidence(0, 10)).items
        assert (evidence.first, evidence.second) == (first, second)
        restated = recover(
            before.state,
            [(alice.keys.record, b"")],
            {"agent": [alice.keys.id]},
            at=friends.now,
            by=alice.recovery,
        )
        await client.call(AppendStatements(2, (restated,)))
        alice.log = before.extend([restated])
        assert codes(await client.send([seal(alice, friends.bob, "3", friends.now).parcel])) == ["accepted"]


async def test_cards_are_shown_to_whom_they_may_be(world):
    """A public card to everybody, a private one to those who are connected."""
    carol = person("carol", 3, world.now)
    async with world.open(world.alice) as alice, world.open(world.bob) as bob, world.open(carol) as other:
        private = card(world.alice, 1, Visibility.PRIVATE)
        await alice.call(PutCard(private))
        asked = GetCard(world.alice.agent)
        assert (await refused(bob, asked)).code == "unknown-agent"
        await alice.call(connect(world.alice, world.bob, world.now))
        assert await bob.call(asked) == CardFound(private)
        assert (await refused(other, asked)).code == "unknown-agent"
        public = card(world.alice, 2, Visibility.PUBLIC)
        await alice.call(PutCard(public))
        assert await other.call(asked) == CardFound(public)
        assert (await refused(alice, PutCard(private))).code == "bad-value"
        assert (await refused(bob, PutCard(public))).code == "wrong-account"
        assert (await refused(other, GetCard(world.bob.agent))).code == "unknown-agent"


def card(who: Person, version: int, visibility: Visibility) -> bytes:
    """A card of a person's agent."""
    described = Card(who.agent, version, Instant(1), who.log.position, visibility=visibility)
    return sign_card(described, who.manage)


async def test_presence_is_for_those_who_are_connected(friends):
    """To strangers everybody is offline."""
    carol = person("carol", 3, friends.now)
    nobody = AgentRef(friends.bob.agent.account, "nobody")
    question = GetPresence((friends.bob.agent, friends.alice.agent, nobody))
    async with friends.open(friends.alice) as alice, friends.open(carol) as other:
        assert await alice.call(question) == PresenceFound((False, True, False))
        async with friends.open(friends.bob):
            assert await alice.call(question) == PresenceFound((True, True, False))
            assert await other.call(question) == PresenceFound((False, False, False))


async def test_connections_are_of_two_and_end_for_good(world):
    """Strangers cannot store, end or widen other people's connections."""
    carol = person("carol", 3, world.now)
    async with world.open(world.alice) as alice, world.open(world.bob) as bob, world.open(carol) as other:
        call = connect(world.alice, world.bob, world.now)
        assert (await refused(other, call)).code == "unknown-request"
        await alice.call(call)
        await bob.call(call)
        request = read_request(call.request, world.alice.log)
        ended = end(world.bob, request, world.now, EndKind.BLOCKED)
        assert (await refused(other, ended)).code == "unknown-request"
        again = grant(world.alice, request, world.now)
        assert (await refused(other, PutGrant(again))).code == "unknown-request"
        await bob.call(ended)
        await bob.call(ended)
        assert (await refused(alice, PutGrant(again))).code == "unknown-request"
        assert (await refused(alice, call)).code == "unknown-request"


async def test_each_side_may_bring_its_own_grant(world):
    """Whoever stores the connection second adds what the first did not have."""
    async with world.open(world.alice) as alice, world.open(world.bob) as bob:
        call = connect(world.alice, world.bob, world.now)
        await bob.call(PutConnection(call.request, call.accept, call.grants[:1]))
        sent = seal(world.alice, world.bob, "1", world.now).parcel
        assert codes(await alice.send([sent])) == ["not-permitted"]
        await bob.call(PutConnection(call.request, call.accept, call.grants[1:]))
        assert codes(await alice.send([sent])) == ["accepted"]


async def test_connections_are_listed_to_their_own_side_alone(world):
    """With all that belongs to them, an end too, page by page; a third party is shown none."""
    carol = person("carol", 3, world.now)
    call = connect(world.alice, world.bob, world.now)
    request = read_request(call.request, world.alice.log)
    async with world.open(world.alice) as alice, world.open(world.bob) as bob, world.open(carol) as other:
        assert await alice.call(ListConnections()) == ConnectionsFound(())
        await alice.call(call)
        for client in (alice, bob):
            (shown,) = (await client.call(ListConnections())).connections
            assert (shown.request, shown.accept, shown.end) == (call.request, call.accept, b"")
            assert sorted(shown.grants) == sorted(call.grants)
            assert await client.call(ListConnections(request.hash)) == ConnectionsFound(())
        assert await other.call(ListConnections()) == ConnectionsFound(())
        ended = end(world.bob, request, world.now)
        await bob.call(ended)
        (shown,) = (await alice.call(ListConnections())).connections
        assert shown.end == ended.end


async def test_a_lower_grant_is_refused(friends):
    """Versions only rise."""
    async with friends.open(friends.alice) as alice:
        call = connect(friends.alice, friends.bob, friends.now)
        await alice.call(call)
        request = read_request(call.request, friends.alice.log)
        first = recall_grant(call.grants[0])
        second = grant(friends.alice, request, friends.now, before=first)
        await alice.call(PutGrant(second))
        assert (await refused(alice, PutGrant(call.grants[0]))).code == "stale-grant"


async def test_a_forged_connection_is_refused(world):
    """An acceptance by another key than a manage key connects nobody."""
    async with world.open(world.alice) as alice, world.open(world.bob):
        good = connect(world.alice, world.bob, world.now)
        other = connect(world.alice, world.bob, world.now)
        assert (await refused(alice, PutConnection(good.request, other.accept))).code == "unknown-request"
        impostor = person("bob2", 2, world.now)
        impostor.keys, impostor.log = person("x", 44, world.now).keys, world.bob.log
        forged = connect(world.alice, impostor, world.now)
        assert (await refused(alice, forged)).code == "not-authorized"


async def test_another_recovery_key_does_not_fork(friends):
    """Setting the recovery key is a statement like others."""
    alice = friends.alice
    async with friends.open(alice) as client:
        new = person("x", 99, friends.now).recovery
        statement = set_recovery(alice.log.state, new, at=friends.now, by=alice.recovery)
        answer = await client.call(AppendStatements(2, (statement,)))
        assert answer.log.length == 3
