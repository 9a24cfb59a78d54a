"""Connections that break: nothing is lost, nothing happens twice, and nobody waits without end."""

from __future__ import annotations

import anyio
import attrs
import pytest

from taskferry_apps.client import DaemonAway, Event

from .cutting import a_wire
from .stories import Place, tell


@pytest.fixture
async def wire(ferry):
    """A wire before Alice's daemon."""
    async with a_wire(ferry.alice.url) as wire:
        yield wire


async def test_a_swallowed_answer_has_no_second_effect(ferry, kind, wire):
    """The daemon acted and its answer was lost: asked again, it tells the same, and Bob has one message."""

    async def story() -> None:
        async with attrs.evolve(ferry.alice, url=wire.url).client(kind) as alice:
            await alice.status()
            wire.answers_to_cut = 2
            sent = await alice.send_message("@bob/writer", "once")
            task = await alice.send_task("@bob/writer", "Once")
        async with ferry.bob.client(kind) as bob:
            seen: list[str] = []
            while len(seen) < 2:
                seen = [item.id for item in (await bob.inbox(wait=5)).messages]
            assert seen == [sent.message_id, task.id]
        assert wire.answers_to_cut == 0

    await tell(kind, story)


async def test_a_feed_goes_on_where_it_broke(ferry, kind, wire):
    """Cut before the first event, and between any two: what happened meanwhile comes, once and in order."""

    async def story() -> None:
        near = attrs.evolve(ferry.alice, url=wire.url)
        messages: list[str] = []

        async def cut_and_say(other) -> None:
            while not wire.feeds:
                await anyio.sleep(0.01)
            await wire.cut()
            messages.append((await other.send_message("@bob/writer", "x")).message_id)

        async with near.client(kind) as alice, near.client(kind) as other, alice.events() as events:
            seen: list[Event] = []
            for number in range(4):
                async with anyio.create_task_group() as group:
                    group.start_soon(cut_and_say, other)
                    while len([one for one in seen if _is_sent(one)]) <= number:
                        seen.append(await anext(events))
            places = [one.id for one in seen]
            assert places == sorted(set(places))
            assert [one.message_id for one in seen if _is_sent(one)] == messages
            assert events.place == places[-1]
            assert wire.feeds >= 4
            # Another program goes on after an event, and is given the rest.
            async with alice.events(after=places[0]) as again:
                assert [(await anext(again)).id for _ in places[1:]] == places[1:]

    await tell(kind, story)


def _is_sent(event: Event) -> bool:
    return event.kind == "message" and event.facts.get("direction") == "out"


async def test_without_a_daemon_a_wait_ends_with_the_patience(kind):
    """Nobody at the address: said at once, with how to start one; no hang, whatever is called."""

    async def story() -> None:
        async with Place("http://127.0.0.1:1", "tfa_x").client(kind, agent="writer") as lonely:
            for call in (lonely.inbox, lonely.agents, lonely.whoami):
                with pytest.raises(DaemonAway, match="taskferry up"):
                    await call()
            with pytest.raises(DaemonAway):
                await lonely.task("aa" * 32).wait(600)
            async with lonely.events() as events:
                with pytest.raises(DaemonAway):
                    await anext(events)

    await tell(kind, story)


async def test_a_daemon_that_goes_for_good_is_away(ferry, kind, wire):
    """Known once and then gone: calls and feeds try for as long as the patience says, and say so."""

    async def story() -> None:
        async with attrs.evolve(ferry.alice, url=wire.url).client(kind, patience=1) as alice:
            await alice.agents()
            wire.target = 1
            await wire.cut()
            with pytest.raises(DaemonAway):
                await alice.agents()
            async with alice.events() as events:
                with pytest.raises(DaemonAway):
                    await anext(events)

    await tell(kind, story)
