"""A word in a task that did not arrive: whoever goes on in that task is told, and whoever looks at it."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.repeating import brought_again
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.taskbook import load_task
from taskferry_apps.daemon.undelivered import unconfirmed
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Notice
from taskferry_protocol.ids import Hash
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.links import Role
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import (
    Direction,
    DropOutbox,
    Generation,
    MessageQuery,
    Offset,
    Order,
    Place,
    RelayCursor,
    Rung,
    SetRung,
)

from .worlds import OWNER, Machine, World, a_world, act, ask, connected, in_state, on_rung, until

ANOTHER = Generation(b"o" * 16)


async def begun(world: World, alice: Machine, bob: Machine) -> Hash:
    """Connected, with a task that bob has accepted and alice has seen accepted; neither daemon runs now."""
    async with connected(world, alice, bob) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await in_state(a, task, "accepted")

        async def settled() -> bool:
            query = MessageQuery(direction=Direction.OUT)
            pages = [
                await one._core.store.message_page(query, None, 50, Order.NEWEST_FIRST) for one in (a, b)
            ]
            return all(row.rung is Rung.DELIVERED for page in pages for row in page.items)

        await until(settled)
    return task


async def troubles(daemon: Daemon, task: Hash) -> list[str]:
    """What the task's page says of words that did not arrive."""
    return [line for line in (await daemon.task(OWNER, task.hex())).waiting if "of this side" in line]


async def told(daemon: Daemon, hash: Hash) -> list[tuple[Hash, ...]]:
    """To what the feed refers that speaks of a message's end."""
    lines = (await daemon._core.store.events(Place(0), 500)).items
    return [
        line.refs
        for line in lines
        if line.kind == "delivery" and hash in line.refs and "expired" in line.text
    ]


async def test_who_goes_on_after_a_word_that_expired_is_told():
    """At once, with what was lost and what to do; and so is whoever looks at the task."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task = await begun(world, alice, bob)
        b = await world.open_daemon(bob)
        lost = (await act(b, task, "progress", text="half of it")).message
        world.clock.ahead_ms += 31 * DAY_MS
        async with world.running(bob) as b:
            await on_rung(b, lost, "expired")
            (line,) = await troubles(b, task)
            assert "task_progress of this side (event 1) expired" in line
            assert "@alice/requester never had it" in line
            sent = await act(b, task, "submit", parts=(TextPart("done"),))
            assert line in sent.warnings
            assert await told(b, lost) == [(lost, task)]


async def test_a_relays_word_for_it_is_told_with_the_task():
    """The relay says that it could not deliver: the feed names the task, too."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task = await begun(world, alice, bob)
        b = await world.open_daemon(bob)
        lost = (await act(b, task, "progress", text="half of it")).message
        b._core.unanswered.add(lost)

        async def nobody(account, start):
            return ()

        at = RelayCursor("somewhere", ANOTHER, Offset(1))
        await Inbound(b._core, nobody).take(Notice(1, lost, RejectCode.EXPIRED), at)
        assert await brought_again(b._core, lost)
        assert await told(b, lost) == [(lost, task)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("not-permitted", "Then it gets there by itself."),
        ("quarantined: not-permitted", "Then it gets there by itself."),
        ("quarantined: rate-limited", "Then it gets there by itself."),
        ("quarantined: bad-padding", "did not get there: quarantined: bad-padding."),
        ("", "did not get there: failed."),
    ],
)
async def test_why_it_was_refused_is_said(code, words):
    """Whether its recipient's owner can still let it in, or not."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task = await begun(world, alice, bob)
        b = await world.open_daemon(bob)
        assert await troubles(b, task) == []
        first = (await act(b, task, "progress", text="half of it")).message
        await act(b, task, "progress", text="more of it")
        failed = SetRung(first, "writer", Rung.FAILED, code, world.clock.now())
        await bob.store.commit([failed, DropOutbox((first,))])
        (line,) = await troubles(b, task)
        assert words in line


async def test_what_the_peer_has_said_to_have_taken_is_not_called_lost():
    """A relay's word that something expired is hearsay: the peer's own word in the task counts."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task = await begun(world, alice, bob)
        async with world.running(alice) as a, world.running(bob) as b:
            await act(b, task, "progress", text="half of it")
            await in_state(a, task, "working")
            await act(a, task, "cancel")
            await in_state(b, task, "cancelled")
            view = (await load_task(b._core, task)).view
            assert [event.type.value for event in unconfirmed(view, Role.WORKER)] == ["task_seen"]
