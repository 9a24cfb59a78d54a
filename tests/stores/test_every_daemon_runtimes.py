"""What every daemon store promises about runtimes, leases, and when agents were seen."""

from typing import Any

import attrs

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    NOBODY,
    Counted,
    DropRuntimes,
    Flow,
    InboxState,
    LeaseRecord,
    Mark,
    MarkMessages,
    NoteSeen,
    Order,
    PeerWord,
    PurgeLeases,
    PutLeases,
    PutPeerWord,
    PutRuntime,
    RaiseFences,
    RuntimeId,
    RuntimeRecord,
    RuntimeStatus,
    Settled,
    SettleReceipts,
    UseSequence,
)
from taskferry_stores.port import ConflictKind
from taskferry_stores.sqlite import open_daemon_store

from .samples import DAY, NOW, agent, message, outbound, refused, sha, store

FIRST, SECOND = RuntimeId(b"1" * 16), RuntimeId(b"2" * 16)


def runtime(id=FIRST, agent="helper", **more):
    """A program that is bound."""
    fields: dict[str, Any] = {"program": "claude-code", "key": "session", "name": "claude-code", "since": NOW}
    fields |= {"status": RuntimeStatus.IDLE, "bound_at": NOW, "seen_at": NOW, "lease_ms": 90_000}
    return RuntimeRecord(id=id, agent=agent, **(fields | {"expires_at": Instant(NOW + 90_000)} | more))


def lease(text, runtime=FIRST, fence=1, agent="helper", at=NOW):
    """Something that a runtime has in hand."""
    return LeaseRecord(sha(text), agent, runtime, fence, at)


async def test_runtimes_are_kept_listed_and_forgotten(daemon):
    """Runtimes are listed by when they were bound, of one agent or of all; the newest word of each stands."""
    later = runtime(SECOND, "other", bound_at=Instant(NOW + 1))
    await daemon.commit([PutRuntime(later), PutRuntime(runtime())])
    assert await daemon.runtimes(None) == (runtime(), later)
    assert await daemon.runtimes("other") == (later,)
    busy = attrs.evolve(runtime(), status=RuntimeStatus.BUSY, since=Instant(NOW + 2))
    await daemon.commit([PutRuntime(busy)])
    assert await daemon.runtime(FIRST) == busy
    await daemon.commit([DropRuntimes((FIRST, RuntimeId(b"3" * 16)))])
    assert await daemon.runtime(FIRST) is None
    assert await daemon.runtimes(None) == (later,)


async def test_a_unit_has_one_lease_of_each_agent(daemon):
    """A lease replaces the one before it for the same unit and agent, and no other."""
    await daemon.commit([PutLeases((lease("a"), lease("b"), lease("a", agent="other")))])
    await daemon.commit([PutLeases((lease("a", SECOND, 2),))])
    units = [sha("a"), sha("b"), sha("none")]
    assert await daemon.leases("helper", units) == {
        sha("a"): lease("a", SECOND, 2),
        sha("b"): lease("b"),
    }
    assert await daemon.leases("other", units) == {sha("a"): lease("a", agent="other")}
    assert await daemon.leases("helper", []) == {}


async def test_fences_rise_for_one_runtime_alone(daemon):
    """Binding again raises the fence of all that the runtime has, and of nothing else."""
    await daemon.commit(
        [PutLeases((lease("a"), lease("b", fence=4), lease("c", SECOND), lease("d", NOBODY)))]
    )
    (raised,) = await daemon.commit([RaiseFences(FIRST, Instant(NOW + 9))])
    assert raised == Counted(2)
    held = await daemon.leases("helper", [sha(text) for text in "abcd"])
    assert {text: held[sha(text)].fence for text in "abcd"} == {"a": 2, "b": 5, "c": 1, "d": 1}
    assert held[sha("a")].at == NOW + 9


async def test_old_leases_are_forgotten_a_few_at_a_time(daemon):
    """The oldest go first, at most so many, and none that is young."""
    await daemon.commit([PutLeases(tuple(lease(text, at=Instant(NOW + n)) for n, text in enumerate("abc")))])
    assert await daemon.commit([PurgeLeases(Instant(NOW + 2), 1)]) == (Counted(1),)
    assert set(await daemon.leases("helper", [sha(t) for t in "abc"])) == {sha("b"), sha("c")}
    assert await daemon.commit([PurgeLeases(Instant(NOW + 2), 9)]) == (Counted(1),)
    assert set(await daemon.leases("helper", [sha(t) for t in "abc"])) == {sha("c")}


async def test_what_is_settled_is_left_out_before_the_limit_counts(daemon):
    """What others have is, and what one has itself up to a place, unless it was taken later than that."""
    rows = [message(text) for text in ("theirs", "free", "mine", "late", "again", "gone")]
    held = [
        lease("theirs", runtime=RuntimeId(b"o" * 16)),
        lease("mine", at=NOW),
        lease("late", at=Instant(NOW + 5)),
        lease("again", at=NOW),
        lease("gone", runtime=RuntimeId(b"g" * 16)),
    ]
    await daemon.commit([*(store(row) for row in rows), PutLeases(tuple(held))])
    me, others = held[1].runtime, frozenset({held[0].runtime})
    places = {item.hash: item.place for item in await daemon.waiting("helper", 9)}

    async def left(limit=9, after=None, order=Order.OLDEST_FIRST, **more):
        found = await daemon.waiting("helper", limit, after, order, Settled(others, me, **more))
        return [item.hash for item in found]

    every = [sha(text) for text in ("free", "mine", "late", "again", "gone")]
    assert await left() == every
    assert await left(2) == every[:2]
    assert await left(known=places[sha("late")]) == [sha("free"), sha("again"), sha("gone")]
    known = {"known": places[sha("late")], "since": NOW}
    assert await left(**known) == [sha("free"), sha("late"), sha("again"), sha("gone")]
    assert await left(1, places[sha("free")], **known) == [sha("late")]
    assert await left(2, None, Order.NEWEST_FIRST, **known) == [sha("gone"), sha("again")]


async def test_what_waits_is_told_with_its_leases(daemon):
    """What is not processed comes oldest first, under its task where it has one, whoever has it."""
    rows = [message("lone"), message("asked", task=sha("t")), message("again", task=sha("t"))]
    rows += [message("held", inbox=InboxState.HELD), message("done", inbox=InboxState.PROCESSED)]
    await daemon.commit(
        [*(store(row) for row in rows), PutLeases((lease("t"), lease("lone", agent="other")))]
    )
    found = await daemon.waiting("helper", 10)
    assert [(item.hash, item.unit, item.lease) for item in found] == [
        (sha("lone"), sha("lone"), None),
        (sha("asked"), sha("t"), lease("t")),
        (sha("again"), sha("t"), lease("t")),
    ]
    assert [item.place for item in found] == sorted(item.place for item in found)
    assert await daemon.waiting("helper", 1) == found[:1]
    assert await daemon.waiting("helper", 1, found[0].place) == found[1:2]
    assert await daemon.waiting("helper", 9, found[2].place) == ()
    newest = Order.NEWEST_FIRST
    assert await daemon.waiting("helper", 2, order=newest) == (found[2], found[1])
    assert await daemon.waiting("helper", 9, found[2].place, newest) == (found[1], found[0])
    await daemon.commit([MarkMessages("helper", (sha("lone"), sha("asked")), Mark.OFFERED, NOW)])
    await daemon.commit([MarkMessages("helper", (sha("asked"),), Mark.READ, NOW)])
    marked = [(item.offered, item.read) for item in await daemon.waiting("helper", 10)]
    assert marked == [(True, False), (True, True), (False, False)]
    unread = await daemon.unread("helper", [sha(t) for t in ("lone", "asked", "again", "held", "none")])
    assert unread == {sha("lone"), sha("again")}
    assert await daemon.unread("other", [sha("lone")]) == frozenset()
    assert await daemon.waiting("other", 9) == ()


async def test_senders_are_owed_each_mark_once(daemon):
    """A mark that is to be told owes one receipt, even if it was made untold, and none after a later one."""
    rows = [message("a"), message("b"), outbound("c")]
    await daemon.commit([store(row) for row in rows])
    hashes = tuple(row.hash for row in rows)
    await daemon.commit([MarkMessages("helper", hashes, Mark.OFFERED, NOW)])
    assert await daemon.receipts_owed(9) == ()
    offered = MarkMessages("helper", hashes, Mark.OFFERED, NOW, tell=True)
    await daemon.commit([offered])
    owed = await daemon.receipts_owed(9)
    assert {(one.hash, one.outcome) for one in owed} == {(sha("a"), "offered"), (sha("b"), "offered")}
    await daemon.commit([offered])
    assert await daemon.receipts_owed(9) == owed
    await daemon.commit([SettleReceipts(tuple(one.place for one in owed)), offered])
    assert await daemon.receipts_owed(9) == ()
    later = [MarkMessages("helper", hashes[:1], mark, NOW, tell=True) for mark in reversed(Mark)]
    await daemon.commit(later)
    (said,) = await daemon.receipts_owed(9)
    assert (said.hash, said.outcome, said.mine, said.peer) == (
        *(sha("a"), "processed", agent("alice/helper"), message("a").peer),
    )


async def test_when_agents_were_seen_never_goes_back(daemon):
    """The latest time stands, in whatever order times are told."""
    assert await daemon.agents_seen() == {}
    await daemon.commit(
        [NoteSeen("helper", NOW), NoteSeen("helper", Instant(NOW - 5)), NoteSeen("other", NOW)]
    )
    assert await daemon.agents_seen() == {"helper": NOW, "other": NOW}


async def test_a_clock_that_was_ahead_makes_no_agent_seen_for_years(daemon):
    """What is told a day earlier and more is by the right clock."""
    await daemon.commit([NoteSeen("helper", Instant(NOW + 400 * DAY)), NoteSeen("other", Instant(NOW + DAY))])
    await daemon.commit([NoteSeen("helper", NOW), NoteSeen("other", NOW)])
    assert await daemon.agents_seen() == {"helper": NOW, "other": NOW + DAY}


async def test_a_peers_last_word_stands(daemon):
    """What a peer's daemon signed later outranks what it signed before, whichever comes first."""
    mine, peer = agent("alice/helper"), agent("bob/coder")
    old = PeerWord(mine, peer, True, Instant(NOW - 60), NOW)
    new = PeerWord(mine, peer, False, None, Instant(NOW + 1))
    await daemon.commit([PutPeerWord(old)])
    await daemon.commit([PutPeerWord(new), PutPeerWord(old)])
    asked = [Flow(mine, peer), Flow(peer, mine), Flow(mine, agent("carol/none"))]
    assert await daemon.peer_words(asked) == {Flow(mine, peer): new}


async def test_a_commit_that_fails_leaves_no_lease(daemon):
    """Leases are part of their commit: where it fails, they were never taken."""
    spoilt = UseSequence(agent("bob/coder"), 7)
    await refused(daemon, ConflictKind.SEQUENCE, PutLeases((lease("a"),)), PutRuntime(runtime()), spoilt)
    assert await daemon.leases("helper", [sha("a")]) == {}
    assert await daemon.runtimes(None) == ()


async def test_runtimes_and_leases_outlive_the_program(tmp_path):
    """What was bound and handed out is there after a restart, fences and all."""
    word = PeerWord(agent("alice/helper"), agent("bob/coder"), True, NOW, NOW)
    async with open_daemon_store(tmp_path / "d.db") as store:
        await store.commit(
            [PutRuntime(runtime()), PutLeases((lease("a", fence=7),)), NoteSeen("helper", NOW)]
        )
        await store.commit([PutPeerWord(word)])
    async with open_daemon_store(tmp_path / "d.db") as store:
        assert await store.runtimes("helper") == (runtime(),)
        assert (await store.leases("helper", [sha("a")]))[sha("a")].fence == 7
        assert await store.agents_seen() == {"helper": NOW}
        assert list((await store.peer_words([Flow(word.mine, word.peer)])).values()) == [word]
