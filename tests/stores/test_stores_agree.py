"""Stores of all kinds, given the same random changes, give the same answers."""

import random

import pytest

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AgentPair,
    ContactState,
    EndConnection,
    Equivocation,
    Expire,
    Expired,
    InboxState,
    Mark,
    MarkMessages,
    MessageQuery,
    Notice,
    OfferAgain,
    Order,
    PurgeSeen,
    PutConnection,
    PutGrant,
    PutNotice,
    PutOutbox,
    RecordContact,
    RecordSeen,
    RelayedOutbox,
    Rung,
    SaveTask,
    SetRung,
    Sweep,
    TaskQuery,
    UseSequence,
)
from taskferry_protocol.records.history import STEP_MS, MessageFilter, TaskFilter
from taskferry_stores.port import StoreConflict

from .conftest import DAEMONS, RELAYS
from .samples import (
    NOW,
    account,
    ack,
    agent,
    append,
    connection,
    device,
    envelope,
    flow,
    grant,
    message,
    outbound,
    outbox,
    seen,
    sha,
    store,
    task,
)

DEVICES = ["a", "b", "c"]
OFTEN = {
    "envelope": 12,
    "ack": 4,
    "sweep": 2,
    "log": 2,
    "grant": 2,
    "notice": 1,
    "expire": 1,
    "purge": 1,
    "connect": 1,
    "end": 1,
    "contact": 1,
}
"""Kinds of change, and how often each comes."""


def relay_change(dice, now):
    """A random change, often one that meets an earlier one."""
    one = connection("a/x", "b/y", n=dice.randrange(3))
    (kind,) = dice.choices(list(OFTEN), list(OFTEN.values()))
    match kind:
        case "envelope":
            number = dice.randrange(250)
            # A hash stands for one sender, target and lifetime; ids and numbers are few, so that some meet.
            fixed = random.Random(number)
            return envelope(
                fixed.choice(DEVICES),
                fixed.randrange(1, 60),
                fixed.choice(["b/y", "a/x"]),
                dice.sample(DEVICES, dice.randrange(4)),
                seq=fixed.randrange(1, 60),
                at=now,
                expires_at=Instant(NOW + fixed.randrange(1, 400)),
                text=f"text {number}",
            )
        case "ack":
            return ack(dice.choice(DEVICES), dice.randrange(20))
        case "notice":
            return PutNotice(device(dice.choice(DEVICES)), Notice(sha("n"), "expired"))
        case "expire":
            return Expire(now, 1_000)
        case "sweep":
            return Sweep(dice.choice([3, 1_000]))
        case "purge":
            return PurgeSeen(Instant(now - 100), 1_000)
        case "log":
            return append(dice.choice("ab"), held=dice.randrange(3), name=dice.choice("abc"))
        case "connect":
            return PutConnection(one)
        case "end":
            return EndConnection(one.request, b"end")
        case "grant":
            name = dice.choice(["a/x", "b/y"])
            return PutGrant(grant(one.request, name, dice.randrange(1, 4), dice.choice("gh")))
        case _:
            return RecordContact(flow("a/x", "b/y"), ContactState(dice.randrange(4)))


def daemon_change(dice, now):
    """A random change to messages, tasks and the outbox."""
    n = dice.randrange(8)
    kind = dice.randrange(10)
    match kind:
        case 0 | 1:
            make = dice.choice([message, outbound])
            return store(make(f"m{n}", mine=dice.choice(["alice/helper", "alice/other"]), stored_at=now))
        case 2:
            return MarkMessages("helper", (sha(f"m{n}"), sha("m0")), dice.choice(list(Mark)), now)
        case 3:
            return SetRung(sha(f"m{n}"), "helper", dice.choice(list(Rung)), dice.choice(["", "x"]), now)
        case 4:
            at = Instant(now + dice.randrange(-5, 6))
            to = dice.choice(["bob/coder", "carol/x"])
            return PutOutbox(outbox(f"o{n}", seq=n, to=to, next_attempt_at=at))
        case 5:
            return RelayedOutbox((sha(f"o{n}"),))
        case 6:
            return OfferAgain(now)
        case 7:
            return SaveTask(task(f"t{n}", revision=dice.randrange(3), updated_at=now))
        case 8:
            return RecordSeen(seen(f"s{n}", dice.randrange(4), seq=dice.randrange(4)))
        case _:
            return UseSequence(agent("bob/coder"), dice.randrange(1, 5))


def comparable(result):
    """A result without how many rows were looked at, and without bytes that may be gone already."""
    match result:
        case Expired():
            return result.notices
        case Equivocation():
            return result.prior, result.by
        case _:
            return result


async def outcome(held, changes):
    """What a commit gives: results or a conflict. How much a sweep deletes is a store's own affair."""
    try:
        results = await held.commit(changes)
    except StoreConflict as conflict:
        return conflict.kind
    return [
        comparable(result)
        for result, change in zip(results, changes, strict=True)
        if not isinstance(change, Sweep)
    ]


async def relay_view(relay):
    """Everything that can be read of a relay's store."""
    requests = [connection("a/x", "b/y", n=n).request for n in range(3)]
    held = await relay.connections_by_request(requests)
    return (
        [await relay.mailbox(device(name), 0, 1_000, 1 << 30) for name in DEVICES],
        await relay.usage([device(name) for name in DEVICES]),
        await relay.accounts([account(name) for name in "ab"]),
        await relay.accounts_named(["a", "b", "c"]),
        {request: (c.end_raw, set(c.grants)) for request, c in held.items()},
        set(await relay.connections([AgentPair.of(agent("a/x"), agent("b/y"))])),
        await relay.contacts([flow("a/x", "b/y")]),
        await relay.stats(),
    )


async def daemon_view(daemon, now):
    """What can be read of a daemon's store after such changes."""
    return (
        await daemon.message_page(MessageQuery(), None, 100, Order.NEWEST_FIRST),
        await daemon.inbox_counts(["helper", "other"]),
        await daemon.outbox_due(now, 100, 1 << 30),
        await daemon.next_attempt(),
        await daemon.task_page(TaskQuery(), None, 100),
        await daemon.sequences([agent("bob/coder")]),
        await daemon.stats(),
        await daemon.messages_filtered(MessageFilter(inbox=frozenset({InboxState.UNREAD})), None, 100),
        await daemon.tasks_filtered(TaskFilter(peer=agent("bob/coder")), None, 3),
        await daemon.talks((), None, None, 100),
        await daemon.unread_in_tasks([(sha("t"), agent("alice/helper"))]),
        await daemon.counts(["helper", "other"]),
        await daemon.traffic((), Instant(0), Instant(NOW - NOW % STEP_MS + STEP_MS), STEP_MS),
    )


@pytest.mark.parametrize("seed", range(6))
async def test_relay_stores_agree(tmp_path, seed):
    """Memory and SQLite answer every commit alike and show the same afterwards."""
    dice = random.Random(seed)
    async with RELAYS["memory"](tmp_path) as one, RELAYS["sqlite"](tmp_path) as other:
        for step in range(150):
            now = Instant(NOW + step * 2)
            changes = [relay_change(dice, now) for _ in range(dice.randrange(1, 5))]
            # Only what has been swept is purged, and memory sweeps at once.
            pairs = [[Sweep(1_000), c] if isinstance(c, PurgeSeen) else [c] for c in changes]
            changes = [change for pair in pairs for change in pair]
            assert await outcome(one, changes) == await outcome(other, changes), (step, changes)
            if step % 15 == 0:
                await one.commit([Sweep(1_000)])
                await other.commit([Sweep(1_000)])
                assert await relay_view(one) == await relay_view(other), step


@pytest.mark.parametrize(("seed", "most"), [(0, 3), (1, 3), (2, 3), (3, 3), (4, 16), (5, 16)])
async def test_daemon_stores_agree(tmp_path, seed, most):
    """Memory and SQLite answer every commit, of few changes or many, alike and show the same afterwards."""
    dice = random.Random(seed)
    async with DAEMONS["memory"](tmp_path) as one, DAEMONS["sqlite"](tmp_path) as other:
        for step in range(150):
            now = Instant(NOW + step)
            changes = [daemon_change(dice, now) for _ in range(dice.randint(1, most))]
            assert await outcome(one, changes) == await outcome(other, changes), (step, changes)
            if step % 15 == 0:
                assert await daemon_view(one, now) == await daemon_view(other, now), step
