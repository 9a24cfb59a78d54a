"""What changes between two accounts, however often, costs others nothing and keeps none of their mail."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import trio

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.facts import Facts
from taskferry_apps.relay.routes import Routes
from taskferry_apps.relay.view import Route
from taskferry_protocol.ids import AccountId, AgentRef
from taskferry_protocol.records import Flow, RateRecord
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, codes, serving
from .people import seal


class Restless(MemoryRelayStore):
    """Whenever somebody's routes are looked up, a connection of others changes."""

    facts: Facts | None = None
    looks = 0

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """What is stored, and others' change behind it."""
        found = await super().rates(flows)
        if self.facts is not None:
            self.looks += 1
            self.facts.forget_between(AccountId(b"m" * 32), AccountId(b"t" * 32))
        return found


async def test_others_who_change_connections_without_end_keep_nobodys_mail_waiting() -> None:
    """A look at two agents' connection is stale where that one changed, and not where another did."""
    store = Restless(GENERATION)
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        store.facts = world.relay._engine._facts
        async with world.open(world.alice) as client:
            with trio.fail_after(5):
                parcels = [seal(world.alice, world.bob, "hi", world.now).parcel]
                assert codes(await client.send(parcels)) == ["accepted"]
    assert store.looks == 1


def test_a_change_between_two_accounts_looks_at_no_others_routes() -> None:
    """However many are held: they are found by the two accounts, and others' stay."""
    looked = 0

    class Watched(AgentRef):
        """Counts how often it is looked at."""

        def __getattribute__(self, name: str) -> object:
            nonlocal looked
            looked += name == "account"
            return super().__getattribute__(name)

    def agent(n: int, name: str) -> AgentRef:
        return Watched(AccountId(n.to_bytes(32, "big")), name)

    routes = Routes(10_000)
    for n in range(1_000):
        routes.put(Route(Flow(agent(n, "a"), agent(n + 1, "b")), None, acquainted=False))
    looked = 0
    routes.drop_between(AccountId((8).to_bytes(32, "big")), AccountId((7).to_bytes(32, "big")))
    assert looked == 0
    assert routes.get((agent(7, "a"), agent(8, "b"))) is None
    assert routes.get((agent(8, "a"), agent(9, "b"))) is not None


def test_no_more_routes_are_held_than_may_be() -> None:
    """Those between the accounts that were used least recently go."""
    routes = Routes(4)
    one, other = AccountId(bytes(32)), AccountId(b"o" * 32)
    flows = [Flow(AgentRef(one, f"a{n}"), AgentRef(one, "b")) for n in range(3)]
    flows += [Flow(AgentRef(other, f"a{n}"), AgentRef(one, "b")) for n in range(2)]
    for flow in flows:
        routes.put(Route(flow, None, acquainted=False))
    assert [routes.get((flow.from_, flow.to)) is not None for flow in flows] == [False] * 3 + [True] * 2
    routes.drop((flows[3].from_, flows[3].to))
    assert [routes.get((flow.from_, flow.to)) is not None for flow in flows[3:]] == [False, True]
