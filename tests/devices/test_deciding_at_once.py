"""Two machines of one owner decide about the same request, or one of them hears of it late."""

from __future__ import annotations

from functools import partial

import pytest

from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import message_items, share_with
from taskferry_apps.daemon.taskbook import load_task
from taskferry_protocol.envelope import Envelope, parse_envelope
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import MessageClass
from tests.daemon.worlds import OWNER, act, ask, in_state, until

from .courier import Courier
from .machines import Pair, a_pair, alarms_of
from .test_revoked_home import of_task, set_aside

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
        await until(lambda: _with_helper(pair.second, "accepted"))


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


@pytest.mark.parametrize("comes", ["as mail", "in a share of history"])
async def test_whoever_declined_a_task_that_another_machine_had_accepted_is_told(comes: str):
    """The other side had taken the acceptance: the owner learns that saying no came too late, once."""
    async with a_pair() as pair:
        first, second = pair.first, pair.second
        await until(partial(_has_shared_all, first))
        grant = GrantChange(task_budget=5, human_gate=True)
        await first.set_permissions(OWNER, ("requester", "@bob/writer"), grant)
        device = first._core.device
        courier = Courier(second, lambda envelope: of_task(envelope, device) and envelope.device == device)
        pair.world.tamper = courier.tamper
        task = await until(partial(_asked_for, pair.bob))
        for daemon in (first, second):
            await until(partial(daemon.gates.held_tasks, OWNER))
        await act(first, task, "accept")
        await in_state(pair.bob, task, "accepted")
        (accept,) = await until(partial(_kept, courier))
        await act(second, task, "decline")
        assert (await second.task(OWNER, task.hex())).summary.confirmed is False
        if comes == "as mail":
            await courier.deliver()
        else:
            await until(partial(_has_events, second, task, 3))
            await _share(pair, parse_envelope(accept.envelope).hash)
        text = f"Your no to task {task.hex()[:8]} came too late: your device laptop had answered it."

        async def told() -> bool:
            return text in await alarms_of(second)

        await until(told)
        assert (await second.task(OWNER, task.hex())).summary.state == "accepted"
        assert "unknown-seen" not in await set_aside(second)
        pair.world.tamper = None
        await act(pair.bob, task, "cancel")
        for daemon in (first, second):
            await in_state(daemon, task, "cancelled")
        assert (await alarms_of(second)).count(text) == 1
        assert "Your no" not in await alarms_of(first)


async def _has_shared_all(daemon: Daemon) -> bool:
    return not await daemon._sharing.jobs()


async def _has_events(daemon: Daemon, task: Hash, many: int) -> bool:
    return len((await load_task(daemon._core, task)).events) == many


async def _share(pair: Pair, hash: Hash) -> None:
    """The first machine shares a message with the second one."""
    core = pair.first._core
    async with core.lock:
        draft = Draft(core)
        (sealed,) = (await core.store.sealed((hash,))).values()
        await share_with(draft, pair.device, message_items([sealed]))
        await draft.commit()
    core.outgoing.ring()


async def _asked_for(daemon: Daemon):
    try:
        return await ask(daemon, "writer", "@alice/requester")
    except DaemonRefusal:
        return None  # what Alice allows has not come yet
