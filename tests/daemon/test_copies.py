"""What another device of the same owner has signed arrives as a copy, in whatever order."""

from __future__ import annotations

from itertools import permutations

import pytest

from taskferry_apps import system
from taskferry_apps.daemon import task_arrivals
from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.port import Caller, GrantChange
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.frame_items import Mail
from taskferry_protocol.ids import Hash
from taskferry_protocol.links import Role, Seen, TaskLink
from taskferry_protocol.messages import TaskAccept, TaskCancel, TaskRequest, TaskSeen
from taskferry_protocol.records import Offset, RelayCursor
from taskferry_protocol.sealing import Sealed, wrap_for

from .forger import OTHER, Forger, codes, forger_between, forging
from .worlds import OWNER, Machine, a_world, connected

FIRST = TaskLink(None, 0, None, Seen(0, None))


async def _copy(forger: Forger, sealed: Sealed) -> None:
    """Hand alice's daemon what another device of hers has sent."""
    (wrap,) = wrap_for(sealed.key, [forger.alice.keys.device.encryption.public], system.entropy)
    forger.offset += 1
    at = RelayCursor("somewhere", OTHER, Offset(forger.offset))
    await Inbound(forger.alice, forger.fetch).take(Mail(forger.offset, sealed.envelope.raw, wrap.sealed), at)


async def _events(forger: Forger, task: Hash) -> set[tuple[Hash, str]]:
    held = (await forger.alice.store.task_events((task,))).get(task, ())
    return {(record.hash, record.side) for record in held}


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_confirmation_that_comes_first_waits_for_its_side(order):
    """Either side can sign a task_seen: it is placed once the request, or anything else, tells which."""
    async with forging() as (forger, _):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        accepted = Hash(b"a" * 32)
        seen = await forger.seal(TaskSeen(), link=TaskLink(task, 1, task, Seen(1, accepted)))
        cancel = await forger.seal(
            TaskCancel("never mind"), link=TaskLink(task, 2, seen.envelope.hash, Seen(1, accepted))
        )
        copies = (request, seen, cancel)
        for index in order:
            await _copy(forger, copies[index])
        assert await _events(forger, task) == {(sealed.envelope.hash, "requester") for sealed in copies}
        (row,) = (await forger.alice.store.tasks((task,)))[task]
        assert row.role == Role.REQUESTER.value


async def test_a_workers_confirmation_is_not_taken_for_a_requesters():
    """The side is the worker's, whatever order a set of two happens to have."""
    async with forging() as (forger, _):
        task = Hash(b"t" * 32)
        accept = await forger.seal(TaskAccept(), link=TaskLink(task, 0, None, Seen(1, task)))
        seen = await forger.seal(TaskSeen(), link=TaskLink(task, 1, accept.envelope.hash, Seen(1, task)))
        await _copy(forger, seen)
        assert await _events(forger, task) == set()
        await _copy(forger, accept)
        assert await _events(forger, task) == {(sealed.envelope.hash, "worker") for sealed in (accept, seen)}


@pytest.mark.parametrize("order", ["request first", "answer first"])
async def test_a_task_that_another_device_answered_waits_for_nobody_here(order):
    """The owner has decided there: the agent of this device sees the task, however the two arrive."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            gate = GrantChange(task_budget=5, human_gate=True)
            await a.set_permissions(OWNER, ("requester", "@bob/writer"), gate)
        there, back = await forger_between(world, alice, bob), await forger_between(world, bob, alice)
        request = await back.seal(TaskRequest("Title", "Brief"), link=FIRST, from_="writer", to="requester")
        task = request.envelope.hash
        accept = await there.seal(TaskAccept(), link=TaskLink(task, 0, None, Seen(1, task)))
        here = await world.open_daemon(alice)
        if order == "request first":
            await back.deliver(request)
            assert [held.task for held in await here.gates.held_tasks(OWNER)] == [task]
            await _copy(there, accept)
        else:
            await _copy(there, accept)
            await back.deliver(request)
        assert await here.gates.held_tasks(OWNER) == ()
        agent = Caller(frozenset({"requester"}))
        assert (await here.task(agent, task.hex())).summary.title == "Title"
        page = await here.inbox(agent, "requester", True, "", 10, 0)
        assert task in [message.task for message in page.messages]


async def _progress(forger: Forger, task: Hash, events: int) -> None:
    before = task
    for place in range(1, events + 1):
        link = TaskLink(task, place, before, Seen(0, None))
        sealed = await forger.seal(TaskCancel(f"reason {place}"), link=link)
        await forger.deliver(sealed)
        before = sealed.envelope.hash


async def test_a_task_has_so_many_events_and_no_more(monkeypatch):
    """Each is folded again with the next: beyond the bound they are quarantined, with a code."""
    monkeypatch.setattr(task_arrivals, "_EVENTS", 3)
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        await forger.deliver(request)
        await _progress(forger, request.envelope.hash, 4)
        assert set(await codes(bob)) == {"too-many"}
        assert await _shown(bob, request.envelope.hash) == "cancelled"


async def _shown(bob: Daemon, task: Hash) -> str:
    return (await bob.task(OWNER, task.hex())).summary.state
