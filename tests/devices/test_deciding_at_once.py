"""Two machines of one owner decide about the same request, or one of them hears of it late."""

from __future__ import annotations

from functools import partial

import pytest

from taskferry_apps.daemon.port import GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import MessageClass
from tests.daemon.worlds import OWNER, until

from .courier import Courier
from .machines import Pair, a_pair

HELPER = "@bob/helper"


async def _asked(pair: Pair) -> tuple[Courier, str]:
    """Bob's new agent asks for a connection, and all that Alice's first machine says of it is kept back."""
    first = pair.first._core.device

    def keeps(envelope: Envelope) -> bool:
        return envelope.device == first and envelope.header.cls is MessageClass.CONNECTION

    courier = Courier(pair.second, keeps)
    pair.world.tamper = courier.tamper
    await pair.bob.create_agent(OWNER, NewAgent("helper"))
    await pair.bob.request_connection(OWNER, "helper", "@alice/requester", "May I?")
    for daemon in (pair.first, pair.second):
        await until(partial(_with_helper, daemon, "requested_in"))
    (request,) = await pair.first.connections(OWNER, "requested_in", "")
    return courier, request.id.hex()


async def _with_helper(daemon: Daemon, state: str):
    found = await daemon.connections(OWNER, state, "")
    return next((one for one in found if one.peer == HELPER), None)


async def _kept(courier: Courier):
    return courier.kept


async def test_an_acceptance_in_time_counts_on_a_machine_that_had_given_the_request_up():
    """The other machine was away until the request's time was over: it is connected all the same."""
    async with a_pair() as pair:
        courier, request = await _asked(pair)
        id = Hash(bytes.fromhex(request))
        record = (await pair.first._core.store.connections((id,)))[id]
        pair.world.clock.ahead_ms += record.expires_at - pair.world.clock.now() - 60_000
        await pair.first.accept_connection(OWNER, request, GrantChange())
        await until(lambda: _kept(courier))
        pair.world.clock.ahead_ms += 120_000
        await pair.second._connections.expire_requests()
        assert await _with_helper(pair.second, "expired")
        await courier.deliver()
        assert await _with_helper(pair.second, "accepted")


@pytest.mark.parametrize("stricter", ["first", "second"])
async def test_of_two_acceptances_at_once_each_machine_allows_what_both_do(stricter):
    """One machine allows messages alone, the other tasks too: neither goes beyond the stricter word."""
    async with a_pair() as pair:
        courier, request = await _asked(pair)
        words = [GrantChange(classes=("message",)), GrantChange(classes=("message", "task"))]
        if stricter == "second":
            words.reverse()
        await pair.first.accept_connection(OWNER, request, words[0])
        await until(lambda: _kept(courier))
        await pair.second.accept_connection(OWNER, request, words[1])
        await courier.deliver()

        async def strict(daemon: Daemon):
            found = await _with_helper(daemon, "accepted")
            return found is not None and found.given is not None and "task" not in found.given.classes

        for daemon in (pair.first, pair.second):
            await until(partial(strict, daemon))
