"""Words of a task that expired on their way: brought once more as they were signed, and taken once."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from taskferry_apps.daemon import repeating
from taskferry_apps.daemon.alarms import RUNS_TWICE
from taskferry_apps.daemon.draft import LIFETIME_MS, Draft
from taskferry_apps.daemon.port import GrantChange
from taskferry_apps.daemon.repeating import repeat_expired
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import revoke_device
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.limits import DAY_MS, SEEN_MS
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import (
    ArtifactSubmit,
    Outcome,
    Receipt,
    ReceiptItem,
    TaskCancel,
    TaskRepeat,
    TaskRequest,
    TaskSeen,
    TextMessage,
    TextPart,
)
from taskferry_protocol.records import DropOutbox, PurgeSeen, Rung, SetRung, SettleReceipts
from taskferry_protocol.sealing import Sealed

from .forger import Forger, codes, forger_between, forging
from .test_barred import MORE, a_task, fail_on_the_way, further, owed, state
from .test_undelivered import begun, troubles
from .worlds import (
    OWNER,
    Machine,
    World,
    a_world,
    act,
    allow_tasks,
    ask,
    connect,
    in_state,
    on_rung,
    set_up,
    texts,
    until,
)

PAIR = ("writer", "@alice/requester")
FIRST = TaskLink(None, 0, None, Seen(0, None))


def carrying(sealed: Sealed, key: bytes | None = None) -> TaskRepeat:
    """What brings an envelope once more."""
    return TaskRepeat(sealed.envelope.raw, sealed.key if key is None else key)


async def later(forger: Forger, item: Sealed, **more: Any) -> None:
    """Bring an envelope after its own time, in one of now."""
    await forger.deliver(await forger.seal(carrying(item), **more))


def pass_time(forger: Forger) -> None:
    """Until what was sealed before has expired."""
    forger.clock.ahead_ms += 2 * 3_600_000


# --- Both ends ----------------------------------------------------------------------------------------------


async def lost_by_bob(world: World, alice: Machine, bob: Machine) -> tuple[Hash, Hash]:
    """A task, and a word of bob's in it that expired while alice was away."""
    task = await begun(world, alice, bob)
    async with world.running(bob) as b:
        word = (await act(b, task, "progress", text="half of it")).message
        await on_rung(b, word, "relayed")
    world.clock.ahead_ms += LIFETIME_MS + DAY_MS
    return task, word


async def test_who_comes_back_after_weeks_has_missed_nothing():
    """What expired is brought once more: both ends agree, and its sender sees it as delivered."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task, word = await lost_by_bob(world, alice, bob)
        async with world.running(bob) as b:
            await on_rung(b, word, "expired")
            (line,) = await troubles(b, task)
            assert "It is brought again" in line
            await act(b, task, "submit", parts=(TextPart("done"),))
            async with world.running(alice) as a:
                await in_state(a, task, "submitted")
                await on_rung(b, word, "delivered")
            assert await troubles(b, task) == []
        world.clock.ahead_ms += LIFETIME_MS + DAY_MS
        await repeat_expired((await world.open_daemon(bob))._core)
        assert await kept(bob) == []


async def test_it_is_brought_again_when_that_has_expired_too_and_not_for_ever(monkeypatch):
    """One at a time, for half a year; then whoever goes on is told to ask anew."""
    monkeypatch.setattr(repeating, "TIMES", 2)
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task, word = await lost_by_bob(world, alice, bob)
        for times in (1, 2):
            async with world.running(bob) as b:
                await on_rung(b, word, "expired")
                await until(partial(brought, bob, times))
                await until(lambda: waiting(bob, 1))
            assert await kept(bob) == [times]
            world.clock.ahead_ms += LIFETIME_MS + DAY_MS
        async with world.running(bob) as b:
            await until(lambda: waiting(bob, 0))
            await repeat_expired(b._core)
            assert await kept(bob) == []
            (line,) = await troubles(b, task)
            assert "ask anew in a new task" in line


@pytest.mark.parametrize("code", ["expired", "bad-time"])
async def test_what_its_peer_found_not_in_time_is_brought_again(code):
    """Its machine slept with it in hand, or its clock was wrong: without it nothing later would count."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task = await begun(world, alice, bob)
        word = (await act(await world.open_daemon(alice), task, "cancel")).message
        forger = await forger_between(world, bob, alice)
        said = Receipt((ReceiptItem(word, Outcome.QUARANTINED, code),))
        await forger.deliver(await forger.seal(said, from_="writer", to="requester"))
        a = await world.open_daemon(alice)
        await on_rung(a, word, "failed")
        (line,) = await troubles(a, task)
        assert "It is brought again" in line
        async with world.running(alice) as a, world.running(bob) as b:
            await in_state(b, task, "cancelled")
            await on_rung(a, word, "delivered")


async def test_what_was_barred_until_its_time_was_over_is_brought_once_it_is_allowed():
    """The recipient has forgotten it by then; its author hears of the permission, and brings it."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task, word = await fail_on_the_way(world, alice, bob)
        async with world.running(alice) as a, world.running(bob):
            await on_rung(a, word, "failed")
        world.clock.ahead_ms += LIFETIME_MS + DAY_MS
        async with world.running(alice) as a, world.running(bob) as b:
            await b.set_permissions(OWNER, PAIR, MORE)
            await until(lambda: waiting_words(alice))
            await repeat_expired(a._core)
            await on_rung(a, word, "delivered")
            assert await state(b, task) == "cancelled"


async def waiting_words(machine: Machine) -> bool:
    """Whether something is noted there, or was brought already."""
    return bool(await kept(machine))


async def brought(machine: Machine, times: int) -> bool:
    """Whether the one word that is noted was brought so often."""
    return await kept(machine) == [times]


async def waiting(machine: Machine, count: int) -> bool:
    """Whether so many envelopes of it wait for word."""
    found = await machine.store.outbox_expired(Instant(2**50), 10)
    return len(found) == count


async def kept(machine: Machine) -> list[int]:
    """How often each word that is noted was brought."""
    raw = (await machine.store.settings(("expired words",))).get("expired words")
    return [times for _, _, times in json.loads(raw)] if raw else []


async def expired(world: World, machine: Machine, daemon: Daemon, *hashes: Hash) -> None:
    """These have expired, as the upkeep finds."""
    draft = Draft(daemon._core)
    for hash in hashes:
        for message in (await machine.store.messages((hash,)))[hash]:
            draft.add(SetRung(hash, message.mine.name, Rung.EXPIRED, "expired", world.clock.now()))
            await repeating.note_expired(draft, message)
    draft.add(DropOutbox(hashes))
    await draft.commit()


async def test_what_was_taken_back_before_any_of_it_arrived_is_not_brought():
    """Nobody is shown what was asked, once its owner has cancelled it; what is still wanted comes."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        await begun(world, alice, bob)
        a = await world.open_daemon(alice)
        gone = await ask(a, "requester", "@bob/writer")
        cancelled = (await act(a, gone, "cancel")).message
        wanted = await ask(a, "requester", "@bob/writer")
        await expired(world, alice, a, gone, cancelled, wanted)
        async with world.running(alice) as a, world.running(bob) as b:
            await in_state(b, wanted, "sent")
            rows, _ = await b.tasks(OWNER, "", "", "", "", 10)
            assert gone not in {row.id for row in rows}
            await on_rung(a, wanted, "delivered")


async def test_nothing_is_brought_where_the_connection_has_ended():
    """Nobody there would take it."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        await begun(world, alice, bob)
        a = await world.open_daemon(alice)
        asked = await ask(a, "requester", "@bob/writer")
        await expired(world, alice, a, asked)
        await a.end_connection(OWNER, ("requester", "@bob/writer"), "revoked", "", None)
        before = await alice.store.outbox_expired(Instant(2**50), 10)
        await repeat_expired(a._core)
        assert await kept(alice) == []
        assert await alice.store.outbox_expired(Instant(2**50), 10) == before


async def test_nothing_is_brought_while_a_copy_of_this_machine_is_at_work():
    """It waits until this is the only one again."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        await begun(world, alice, bob)
        a = await world.open_daemon(alice)
        await expired(world, alice, a, await ask(a, "requester", "@bob/writer"))
        a._core.suspended = RUNS_TWICE
        await repeat_expired(a._core)
        assert (await kept(alice), await waiting(alice, 0)) == ([0], True)
        a._core.suspended = ""
        await repeat_expired(a._core)
        assert (await kept(alice), await waiting(alice, 1)) == ([1], True)


async def test_no_more_than_so_many_are_noted(monkeypatch):
    """What nobody fetches for years makes nothing grow."""
    monkeypatch.setattr(repeating, "MOST", 2)
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        await begun(world, alice, bob)
        a = await world.open_daemon(alice)
        asked = [await ask(a, "requester", "@bob/writer", title=f"{number}") for number in range(3)]
        await expired(world, alice, a, *asked)
        assert await kept(alice) == [0, 0]


async def test_one_peer_leaves_room_for_the_words_to_others(monkeypatch):
    """Whoever refuses all that is said to it as too late has no more of it noted than its share."""
    monkeypatch.setattr(repeating, "MOST_OF_ONE", 2)
    async with a_world() as world, world.running(Machine("carol")) as c:
        alice, bob = Machine("alice"), Machine("bob")
        await begun(world, alice, bob)
        await set_up(c, "carol", "coder")
        async with world.running(alice) as a:
            await connect(c, a, "coder", "@alice/requester")
            await allow_tasks(c, "coder", a, "@alice/requester")
        a = await world.open_daemon(alice)
        asked = [await ask(a, "requester", "@bob/writer", title=f"{number}") for number in range(3)]
        await expired(world, alice, a, *asked, await ask(a, "requester", "@carol/coder"))
        assert await kept(alice) == [0, 0, 0]


# --- What a peer may bring ----------------------------------------------------------------------------------


async def test_what_is_brought_is_taken_once_however_often_it_comes():
    """By itself before, twice by others, and after all memory of having seen it is gone."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        first, last = await further(forger, task, 2)
        await forger.deliver(first)
        pass_time(forger)
        for item in (first, last, last):
            await later(forger, item)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")
        forger.clock.ahead_ms += SEEN_MS
        said = await forger.bob.store.receipts_owed(500)
        settled = SettleReceipts(tuple(item.place for item in said))
        await forger.bob.store.commit([PurgeSeen(forger.clock.now(), 500), settled])
        await later(forger, last)
        held = (await forger.bob.store.task_events((task,)))[task]
        assert len([event for event in held if event.side == "requester"]) == 3
        assert (await codes(bob), (last.envelope.hash, "applied") in await owed(forger)) == ([], True)


async def test_what_had_come_too_late_is_taken_when_it_is_brought():
    """It was set aside as expired; now it counts, and that is what is said of it from then on."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        (word,) = await further(forger, task, 1)
        pass_time(forger)
        await forger.deliver(word)
        assert await codes(bob) == ["expired"]
        await later(forger, word)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")
        said = await forger.bob.store.receipts_owed(500)
        await forger.bob.store.commit([SettleReceipts(tuple(item.place for item in said))])
        await forger.deliver(word)
        assert (await codes(bob), await owed(forger)) == ([], [(word.envelope.hash, "applied")])


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("another sender", "wrong-party"),
        ("another key", "bad-commit"),
        ("a message", "class-mismatch"),
        ("one in another", "bad-link"),
        ("written later", "bad-time"),
        ("damaged", "bad-signature"),
        ("nothing", "bad-cose"),
        ("more than allowed", "not-permitted"),
        ("one number twice", "equivocation"),
    ],
)
async def test_nothing_is_brought_that_could_not_have_come_by_itself(case, code):
    """Whatever it is, what brings it is set aside with the code, and it has no effect."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        word, *_ = await further(forger, task, 1)
        body = carrying(word)
        match case:
            case "another sender":
                link = TaskLink(task, 1, task, Seen(0, None))
                body = carrying(await forger.seal(TaskCancel("mine"), link=link, from_="second"))
            case "another key":
                body = carrying(word, bytes(32))
            case "a message":
                body = carrying(await forger.seal(TextMessage("hello")))
            case "one in another":
                body = carrying(await forger.seal(carrying(word)))
            case "written later":
                link = TaskLink(task, 1, task, Seen(0, None))
                at = Instant(forger.clock.now() + 60_000)
                body = carrying(await forger.seal(TaskCancel("later"), link=link, id_at=at))
            case "damaged":
                raw = bytearray(word.envelope.raw)
                raw[-1] ^= 1
                body = TaskRepeat(bytes(raw), word.key)
            case "nothing":
                body = TaskRepeat(b"", word.key)
            case "more than allowed":
                link = TaskLink(task, 0, None, Seen(1, task))
                submitted = ArtifactSubmit("", (TextPart("x"),), 0)
                body = carrying(await forger.seal(submitted, link=link))
                await bob.set_permissions(OWNER, PAIR, GrantChange(classes=("task",)))
            case "one number twice":
                link = TaskLink(task, 1, task, Seen(0, None))
                other = await forger.seal(TaskSeen(), link=link, sequence=word.envelope.header.seq)
                await forger.deliver(word)
                body = carrying(other)
        before = await state(bob, task)
        await forger.deliver(await forger.seal(body))
        assert (await codes(bob), await state(bob, task)) == ([code], before)
        assert await texts(bob) == []


async def test_what_a_device_signed_that_is_gone_is_not_brought_by_another():
    """Revoked is revoked, whoever brings it; here the device itself, which then is refused as well."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        (word,) = await further(forger, task, 1)
        log = await forger.alice.own_log()
        gone = revoke_device(
            log.state, forger.alice.device, "stolen", at=forger.clock.now(), by=forger.alice.manage
        )
        draft = Draft(forger.bob)
        draft.take_log(await forger.bob.logs.get(log.account), log.extend([gone]))
        await draft.commit()
        await later(forger, word)
        assert (await codes(bob), await state(bob, task)) == (["device-gone"], "sent")


async def test_what_is_brought_keeps_to_the_rate():
    """Each costs as much as any other envelope."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        words = await further(forger, task, 4)
        await bob.set_permissions(OWNER, PAIR, GrantChange(rate_per_minute=2))
        for word in words:
            await later(forger, word)
        assert await codes(bob) == ["rate-limited"] * 2


async def test_a_request_that_is_brought_counts_among_the_open_tasks():
    """As many as the owner allows, and each waits for the owner as any does."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, PAIR, GrantChange(task_budget=1))
        asked = [await forger.seal(TaskRequest(title, ""), link=FIRST) for title in ("one", "two")]
        pass_time(forger)
        for item in asked:
            await later(forger, item)
        ((row,), _) = await bob.tasks(OWNER, "", "", "", "", 10)
        assert (row.title, await codes(bob)) == ("one", ["not-permitted"])
