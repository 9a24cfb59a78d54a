"""What a store that lasts promises: closed and opened again, or killed, it holds what was acknowledged."""

import random
import subprocess
import sys

import attrs
import pytest

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AppendEvent,
    EventRecord,
    Generation,
    MessageQuery,
    Notice,
    Order,
    Place,
    PruneEvents,
    PurgeSeen,
    PutConnection,
    PutGrant,
    PutNotice,
    PutOutbox,
    PutSetting,
    SaveConnection,
    SaveTask,
    Sweep,
    UseSequence,
)

from .conftest import DAEMONS, RELAYS
from .killed_writer import CALLERS, relay_changes
from .samples import (
    DAY,
    GENERATION,
    NOW,
    account,
    ack,
    agent,
    append,
    connection,
    device,
    envelope,
    grant,
    message,
    outbox,
    peer_connection,
    sha,
    store,
    stored,
    task,
)

DURABLE = ["sqlite"]


@pytest.fixture(params=DURABLE)
def open_relay(request, tmp_path):
    """Opens the same relay's store every time."""
    return lambda: RELAYS[request.param](tmp_path)


@pytest.fixture(params=DURABLE)
def open_daemon(request, tmp_path):
    """Opens the same daemon's store every time."""
    return lambda: DAEMONS[request.param](tmp_path)


async def test_relay_comes_back_as_it_was(open_relay):
    """Logs, connections, mailboxes and settings are the same after closing and opening again."""
    one = connection("alice/helper", "bob/coder")

    async def everything(relay):
        return (
            await relay.accounts([account("alice")]),
            await relay.connections_by_request([one.request]),
            await relay.mailbox(device("bob"), 0, 100, 1_000_000),
            await relay.usage([device("bob"), device("alice")]),
            await relay.settings(["a"]),
            await relay.stats(),
            relay.generation,
        )

    async with open_relay() as relay:
        await relay.commit([append("alice", 3), PutConnection(one)])
        await relay.commit([PutGrant(grant(one.request, "bob/coder", 1)), PutSetting("a", b"1")])
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in range(1, 9)])
        await relay.commit([ack("bob", 3), PutNotice(device("bob"), Notice(sha("x"), "expired"))])
        before = await everything(relay)
    async with open_relay() as relay:
        assert await everything(relay) == before


async def test_offsets_and_places_go_on_after_a_restart(open_relay):
    """Neither an offset nor a place is given twice, even when nothing is left of the first ones."""
    async with open_relay() as relay:
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in (1, 2, 3)])
        await relay.commit([ack("bob", 3), Sweep(100)])
        await relay.commit([PurgeSeen(Instant(NOW + DAY), 100)])
    async with open_relay() as relay:
        assert await relay.commit([envelope("alice", 4, "bob/coder", ["bob"])]) == (stored(4, ("bob", 4)),)


async def test_generation_lasts_until_it_is_renewed(open_relay):
    """The generation given at creation stands, whatever is offered later, until it is renewed."""
    async with open_relay() as relay:
        await relay.renew_generation(Generation(b"n" * 16))
    async with open_relay() as relay:
        assert GENERATION != relay.generation == b"n" * 16


async def test_daemon_comes_back_as_it_was(open_daemon):
    """Messages, connections, tasks, the outbox and numbers are the same after opening again."""
    record = peer_connection("alice/helper", "bob/coder")

    async def everything(daemon):
        return (
            await daemon.accounts([account("alice")]),
            await daemon.connections([record.request]),
            await daemon.message_page(MessageQuery(), None, 10, Order.OLDEST_FIRST),
            await daemon.tasks([sha("t")]),
            await daemon.outbox([sha("o")]),
            await daemon.sequences([agent("bob/coder")]),
            await daemon.stats(),
        )

    async with open_daemon() as daemon:
        await daemon.commit([append("alice", 2), SaveConnection(record), store(message("m"))])
        await daemon.commit([SaveTask(task("t")), PutOutbox(outbox("o")), UseSequence(agent("bob/coder"), 1)])
        before = await everything(daemon)
    async with open_daemon() as daemon:
        assert await everything(daemon) == before


async def test_feed_places_go_on_after_a_restart(open_daemon):
    """A follower's cursor stays good: places rise although every line was pruned before."""
    line = EventRecord("k", "a", (), "{}", NOW)
    async with open_daemon() as daemon:
        await daemon.commit([AppendEvent(line), AppendEvent(line)])
        await daemon.commit([PruneEvents(Instant(NOW + 1), 100, 100)])
    async with open_daemon() as daemon:
        await daemon.commit([AppendEvent(line)])
        page = await daemon.events(Place(2), 10)
        assert page.items == (attrs.evolve(line, place=Place(3)),)


def acknowledged(kind, path, first, count):
    """Let a process commit, kill it after `count` acknowledgements, and give all that it made."""
    command = [sys.executable, "-m", "tests.stores.killed_writer", kind, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(count)]
        child.kill()
        # What it had said before it died counts too.
        return said + [int(line) for line in child.stdout if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(3))
async def test_killed_relay_keeps_what_it_acknowledged(tmp_path, seed):
    """After kill -9 in the middle of commits, every acknowledged one is there, and none by half."""
    dice = random.Random(seed)
    first, said = 0, set()
    for _ in range(2):
        said |= set(acknowledged("relay", tmp_path / "relay.db", first, dice.randrange(1, 200)))
        first = max(said) + 10 * CALLERS
    async with RELAYS["sqlite"](tmp_path) as relay:
        got = [item.envelope for item in await relay.mailbox(device("bob"), 0, 100_000, 1 << 30)]
        assert len(got) == len(set(got))
        held = set(got)
        for n in range(first):
            pair = [change.envelope in held for change in relay_changes(n)[:2]]
            assert pair[0] == pair[1]
            assert pair[0] or n not in said
        offsets = [item.offset for item in await relay.mailbox(device("bob"), 0, 100_000, 1 << 30)]
        assert offsets == list(range(1, len(got) + 1))
        usage = (await relay.usage([device("bob")]))[device("bob")]
        assert (usage.count, usage.last) == (len(got), len(got))
        assert usage.bytes == sum(len(raw) + 80 for raw in got)


@pytest.mark.parametrize("seed", range(3))
async def test_killed_daemon_keeps_what_it_acknowledged(tmp_path, seed):
    """After kill -9, a message, its event, its line and the cursor are all there or all absent."""
    dice = random.Random(100 + seed)
    said = set(acknowledged("daemon", tmp_path / "daemon.db", 1, dice.randrange(1, 300)))
    async with DAEMONS["sqlite"](tmp_path) as daemon:
        page = await daemon.message_page(MessageQuery(), None, 100_000, Order.OLDEST_FIRST)
        events = (await daemon.task_events([sha("task")]))[sha("task")]
        feed = (await daemon.events(Place(0), 100_000)).items
        hashes = [record.hash for record in page.items]
        assert hashes == [event.hash for event in events] == [line.refs[0] for line in feed]
        assert {sha(f"m{n}") for n in said} <= set(hashes)
        newest = max(int(line.text) for line in feed)
        assert (await daemon.cursor("relay")).offset == newest
