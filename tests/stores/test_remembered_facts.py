"""What a SQLite store answers from memory is what stands in its file, whoever commits at the same time."""

import random

import pytest
import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    DropSetting,
    Flow,
    LocalAgent,
    PeerWord,
    PutAgent,
    PutPeerWord,
    PutSetting,
    PutToken,
    RateRecord,
    RecordRate,
    RevokeToken,
    TokenRecord,
    UseSequence,
)
from taskferry_stores.errors import StoreClosed, StoreConflict
from taskferry_stores.sqlite import facts, open_daemon_store

from .samples import NOW, agent

SECRET = b"\x01" * 32
HERE, THERE = agent("here"), agent("there")


@pytest.fixture
async def store(tmp_path):
    """A store in a file."""
    async with open_daemon_store(tmp_path / "daemon.db") as opened:
        yield opened


def watched(store, monkeypatch):
    """How often the file was read, counted from now on."""
    reads = []
    read = store._engine.read

    async def counted(query):
        reads.append(query)
        return await read(query)

    monkeypatch.setattr(store._engine, "read", counted)
    return reads


async def test_what_is_asked_again_is_not_read_again(store, monkeypatch):
    """A setting, one that is not there, and the agents cost one read each, however often asked for."""
    await store.commit([PutSetting("key", b"value"), PutAgent(LocalAgent("coder", "{}", NOW))])
    reads = watched(store, monkeypatch)
    for _ in range(5):
        assert await store.settings(("key", "none")) == {"key": b"value"}
        assert [one.name for one in await store.agents()] == ["coder"]
    assert len(reads) == 2


async def test_a_revoked_credential_is_known_as_such_at_once(store):
    """Whoever asks after the revocation was committed is told of it, though it was asked for before."""
    await store.commit([PutToken(TokenRecord(SECRET, "mine", "agent", ("coder",), NOW))])
    assert (await store.token(SECRET)).revoked_at is None
    await store.commit([RevokeToken(SECRET, Instant(NOW + 1))])
    assert (await store.token(SECRET)).revoked_at == NOW + 1


async def test_what_was_read_while_a_commit_was_under_way_is_not_kept(store, monkeypatch):
    """A read that began before a commit and ends after it does not put back what the commit has replaced."""
    await store.commit([PutSetting("key", b"old")])
    read, gate, reading = store._engine.read, trio.Event(), trio.Event()

    async def slow(query):
        found = await read(query)
        reading.set()
        await gate.wait()
        return found

    monkeypatch.setattr(store._engine, "read", slow)
    early = []

    async def ask():
        early.append(await store.settings(("key",)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await reading.wait()
        await store.commit([PutSetting("key", b"new")])
        gate.set()
    assert early == [{"key": b"old"}]
    assert await store.settings(("key",)) == {"key": b"new"}


async def test_what_a_peer_said_last_is_known_without_a_read(store, monkeypatch):
    """Of what peers say the latest stands, in whatever order it comes, and nobody reads it back."""
    flow = Flow(HERE, THERE)

    def word(after, *, tells=True):
        return PeerWord(HERE, THERE, tells, None, Instant(NOW + after))

    await store.commit([PutPeerWord(word(1))])
    assert await store.peer_words((flow,)) == {flow: word(1)}
    reads = watched(store, monkeypatch)
    for said, stands in (((3, 2), 3), ((1,), 3), ((2, 5), 5)):
        await store.commit([PutPeerWord(word(after)) for after in said])
        assert await store.peer_words((flow,)) == {flow: word(stands)}
    await store.commit([PutPeerWord(word(5, tells=False))])
    assert await store.peer_words((flow,)) == {flow: word(5, tells=False)}
    assert not reads
    with pytest.raises(StoreConflict):
        await store.commit([PutPeerWord(word(9)), UseSequence(THERE, 7)])
    assert await store.peer_words((flow,)) == {flow: word(5, tells=False)}


async def test_a_commit_that_fails_leaves_the_old_answer(store):
    """A number that was not the next is refused, and the one before it stands."""
    await store.commit([UseSequence(THERE, 1)])
    with pytest.raises(StoreConflict):
        await store.commit([PutSetting("key", b"x"), UseSequence(THERE, 7)])
    assert await store.sequences((THERE,)) == {THERE: 1}
    assert await store.settings(("key",)) == {}


async def test_many_writers_at_once_leave_no_stale_answer(store):
    """Twenty tasks write and ask at random: each reads what it wrote last, and all agree at the end."""
    chance = random.Random(7)

    async def one(number):
        for turn in range(20):
            key, flow = f"key {number}", Flow(agent(f"a{number}"), THERE)
            value = b"%d" % turn
            rate = RateRecord(turn, Instant(NOW + turn))
            change = DropSetting(key) if chance.random() < 0.3 else PutSetting(key, value)
            await store.commit([change, PutSetting("shared", b"%d" % number), RecordRate(flow, rate)])
            wanted = {} if isinstance(change, DropSetting) else {key: value}
            assert await store.settings((key,)) == wanted
            assert await store.rates((flow,)) == {flow: rate}
            await store.settings(("shared",))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number)
    held = await store.settings(("shared",))
    store._facts.settings._held.clear()
    assert await store.settings(("shared",)) == held


async def test_memory_is_bounded_in_number_and_in_bytes(store, monkeypatch):
    """However much is asked for, no more is held than the limits say; the answers stay right."""
    monkeypatch.setattr(facts, "MOST", 8)
    monkeypatch.setattr(facts, "MOST_BYTES", 3_000)
    keys = [f"key {number}" for number in range(40)]
    await store.commit([PutSetting(key, b"x" * 100) for key in keys])
    for key in keys:
        assert await store.settings((key,)) == {key: b"x" * 100}
    assert len(store._facts.settings._held) <= 8
    assert len(await store.settings(keys)) == 40
    await store.commit([PutSetting("large", b"x" * 10_000)])
    assert len((await store.settings(("large",)))["large"]) == 10_000
    assert store._facts.settings._bytes <= 3_000


async def test_a_closed_store_answers_nothing_from_memory(tmp_path):
    """What was held is no answer of a store that is closed."""
    async with open_daemon_store(tmp_path / "daemon.db") as opened:
        await opened.settings(("key",))
    with pytest.raises(StoreClosed):
        await opened.settings(("key",))
