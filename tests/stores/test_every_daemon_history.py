"""What every daemon store promises about tasks, receipts, quarantine, decisions and the feed."""

import attrs

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AddTaskEvent,
    AppendEvent,
    Counted,
    Done,
    DropQuarantine,
    EventRecord,
    Generation,
    KeepSealed,
    Offset,
    Order,
    OweReceipt,
    Place,
    Placed,
    PruneEvents,
    PurgeSeen,
    PutQuarantine,
    QuarantineLine,
    QuarantineRecord,
    ReceiptGot,
    ReceiptOwed,
    RecordReceipt,
    RecordSeen,
    RelayCursor,
    ReviseSeen,
    Saved,
    SaveTask,
    SealedRecord,
    Seen,
    SeenKey,
    SetCursor,
    SettleReceipts,
    TaskEventRecord,
    TaskQuery,
)
from taskferry_stores.port import ConflictKind

from .samples import (
    GENERATION,
    NOW,
    agent,
    device,
    message,
    refused,
    seen,
    sha,
    store,
    task,
)


def later(ms):
    """An instant after `NOW`."""
    return Instant(NOW + ms)


# --- tasks ------------------------------------------------------------------------------------------------


async def test_task_is_saved_from_the_revision_that_was_read(daemon):
    """A task is changed only by who has seen its present state."""
    record = task("t", deadline=later(9))
    assert await daemon.commit([SaveTask(record)]) == (Saved(1),)
    await refused(daemon, ConflictKind.REVISION, SaveTask(record))
    held = (await daemon.tasks([record.task]))[record.task][0]
    assert held == attrs.evolve(record, revision=1)
    await daemon.commit([SaveTask(attrs.evolve(held, state="accepted", snapshot=b"new"))])
    await refused(daemon, ConflictKind.REVISION, SaveTask(held))
    assert (await daemon.tasks([record.task]))[record.task][0].state == "accepted"


async def test_both_sides_of_a_task_can_be_ours(daemon):
    """A task between two agents of one owner has a row for each side."""
    worker = task("t", role="worker", mine=agent("alice/other"), peer=agent("alice/helper"))
    await daemon.commit([SaveTask(worker), SaveTask(task("t"))])
    rows = (await daemon.tasks([sha("t"), sha("none")]))[sha("t")]
    assert [row.role for row in rows] == ["requester", "worker"]


async def test_tasks_are_listed_by_last_update(daemon):
    """Pages of tasks go from the last updated to the first, narrowed by agent, peer, role and state."""
    for n in range(6):
        changes = {"updated_at": later(n // 2), "state": "sent" if n % 2 else "accepted"}
        await daemon.commit([SaveTask(task(f"t{n}", **changes))])
    await daemon.commit([SaveTask(task("x", role="worker", mine=agent("alice/other")))])

    async def listed(query, limit=100, after=None):
        page = await daemon.task_page(query, after, limit)
        return [row.title.removeprefix("Title of ") for row in page.items], page.next

    everything, _ = await listed(TaskQuery())
    assert sorted(everything) == ["t0", "t1", "t2", "t3", "t4", "t5", "x"]
    assert [set(everything[:2]), set(everything[2:4])] == [{"t4", "t5"}, {"t2", "t3"}]
    paged, cursor = [], None
    while True:
        texts, cursor = await listed(TaskQuery(), 2, cursor)
        paged += texts
        if cursor is None:
            break
    assert paged == everything
    assert (await listed(TaskQuery(states=frozenset({"sent"}), agent="helper")))[0] == ["t5", "t3", "t1"]
    assert (await listed(TaskQuery(agent="other")))[0] == ["x"]
    assert (await listed(TaskQuery(role="worker")))[0] == ["x"]
    assert (await listed(TaskQuery(peer=agent("carol/x"))))[0] == []


async def test_overdue_tasks_are_found_by_deadline(daemon):
    """Open tasks whose deadline has come are found, the earliest first, and closed ones are not."""
    await daemon.commit(
        [
            SaveTask(task("a", deadline=later(30))),
            SaveTask(task("b", deadline=later(10))),
            SaveTask(task("c", deadline=later(5), open=False)),
            SaveTask(task("d")),
        ]
    )
    assert await daemon.next_deadline(Instant(0)) == later(10)
    assert await daemon.tasks_overdue(later(9), 10) == ()
    assert [row.title[-1] for row in await daemon.tasks_overdue(later(30), 10)] == ["b", "a"]
    (first,) = await daemon.tasks_overdue(later(30), 1)
    assert first.title[-1] == "b"
    assert [row.title[-1] for row in await daemon.tasks_overdue(later(30), 9, first)] == ["a"]
    assert await daemon.next_deadline(later(10)) == later(30)
    assert await daemon.next_deadline(later(30)) is None


async def test_task_events_come_with_their_content_in_order(daemon):
    """Events of a task are held once, need what proves them, and come in the order of arrival."""
    hashes = [sha(f"e{n}") for n in range(4)]
    sealed = [
        KeepSealed(SealedRecord(hash, b"envelope", b"k" * 32, b"content %d" % n))
        for n, hash in enumerate(hashes)
    ]
    events = [
        TaskEventRecord(sha("t"), hash, "worker", device("bob"), later(n), later(n + 1))
        for n, hash in enumerate(hashes)
    ]
    await refused(daemon, ConflictKind.UNKNOWN, AddTaskEvent(events[0]))
    for n in (2, 0, 3, 1):
        await daemon.commit([sealed[n], AddTaskEvent(events[n]), AddTaskEvent(events[n])])
    found = await daemon.task_events([sha("t"), sha("none")])
    expected = tuple(attrs.evolve(events[n], content=b"content %d" % n) for n in (2, 0, 3, 1))
    assert found == {sha("t"): expected}


# --- receipts, quarantine, what was seen ------------------------------------------------------------------


async def test_receipts_owed_are_said_once(daemon):
    """What is owed waits in order until it is settled; the same word twice is owed once."""
    owed = [
        ReceiptOwed(sha(f"m{n}"), agent("alice/helper"), agent("bob/coder"), "applied", "", later(n))
        for n in range(3)
    ]
    await daemon.commit([OweReceipt(receipt) for receipt in (*owed, owed[0])])
    await daemon.commit([OweReceipt(attrs.evolve(owed[0], outcome="read"))])
    found = await daemon.receipts_owed(100)
    assert [(receipt.hash, receipt.outcome) for receipt in found] == [
        *((receipt.hash, "applied") for receipt in owed),
        (owed[0].hash, "read"),
    ]
    assert attrs.evolve(found[0], place=Place(0)) == owed[0]
    assert await daemon.receipts_owed(2) == found[:2]
    await daemon.commit([SettleReceipts((found[0].place, found[2].place))])
    assert await daemon.receipts_owed(100) == (found[1], found[3])


async def test_first_word_of_a_receipt_stands(daemon):
    """What a device said of a message is kept in order, and not replaced by the same said again."""
    first = ReceiptGot(sha("m"), device("bob"), "applied", "", sha("r1"), NOW)
    again = attrs.evolve(first, receipt=sha("r2"))
    read = attrs.evolve(first, outcome="read", receipt=sha("r3"))
    await daemon.commit([RecordReceipt(first), RecordReceipt(again), RecordReceipt(read)])
    assert await daemon.receipts_got([sha("m"), sha("none")]) == {sha("m"): (first, read)}


async def test_quarantine_keeps_what_could_not_be_read(daemon):
    """An item is kept once with whatever is known of it, and leaves when the owner says so."""
    bare = QuarantineRecord(sha("a"), "malformed", "not CBOR", b"\xff", b"", NOW)
    full = QuarantineRecord(
        *(sha("b"), "not-permitted", "no grant", b"envelope", b"s" * 80, later(1)),
        *(device("bob"), agent("alice/helper"), agent("bob/coder"), "task", b"k" * 32),
    )
    results = await daemon.commit([PutQuarantine(bare), PutQuarantine(full), PutQuarantine(bare)])
    assert results[0] == results[2] != results[1]
    kept = [attrs.evolve(item, place=r.place) for item, r in zip((bare, full), results, strict=False)]
    assert await daemon.quarantine([sha("a"), sha("b")]) == {sha("a"): kept[0], sha("b"): kept[1]}
    assert await daemon.quarantine_lines() == (
        QuarantineLine(sha("a"), "malformed", 1, False),
        QuarantineLine(sha("b"), "not-permitted", 88, True),
    )
    newest = await daemon.quarantine_page(None, 1, Order.NEWEST_FIRST)
    assert newest.items == (kept[1],)
    rest = await daemon.quarantine_page(newest.next, 1, Order.NEWEST_FIRST)
    assert (rest.items, rest.next) == ((kept[0],), None)
    assert (await daemon.quarantine_page(None, 9, Order.OLDEST_FIRST)).items == tuple(kept)
    await daemon.commit([DropQuarantine(sha("a")), DropQuarantine(sha("none"))])
    assert (await daemon.quarantine_page(None, 9, Order.OLDEST_FIRST)).items == (kept[1],)


async def test_what_was_seen_is_found_both_ways(daemon):
    """A decision is found by the envelope's id and by its number; another envelope there is a conflict."""
    one = seen("a", 1, seq=2**64 - 1)
    await daemon.commit([RecordSeen(one), RecordSeen(one)])
    await refused(daemon, ConflictKind.EQUIVOCATION, RecordSeen(attrs.evolve(one, hash=sha("b"), seq=7)))
    same_seq = attrs.evolve(one, hash=sha("b"), id=seen("x", 2).id)
    await refused(daemon, ConflictKind.EQUIVOCATION, RecordSeen(same_seq))
    by_both = SeenKey(one.device, one.id, one.to, one.seq)
    by_id = SeenKey(one.device, one.id, agent("alice/nobody"), 1)
    by_seq = SeenKey(one.device, seen("x", 2).id, one.to, one.seq)
    by_none = SeenKey(device("carol"), one.id, one.to, one.seq)
    assert await daemon.seen([by_both, by_id, by_seq, by_none]) == {
        by_both: Seen(one, one),
        by_id: Seen(one, None),
        by_seq: Seen(None, one),
        by_none: Seen(None, None),
    }


async def test_a_decision_is_revised_both_ways_and_only_of_the_same_envelope(daemon):
    """Another outcome stands under the id and the number; of another envelope, or none, nothing changes."""
    one = attrs.evolve(seen("a", 1), outcome="quarantined", code="not-permitted")
    better = attrs.evolve(one, outcome="applied", code="")
    key = SeenKey(one.device, one.id, one.to, one.seq)
    await daemon.commit([ReviseSeen(better), RecordSeen(one), RecordSeen(better)])
    await daemon.commit([ReviseSeen(attrs.evolve(better, hash=sha("b")))])
    assert await daemon.seen([key]) == {key: Seen(one, one)}
    await daemon.commit([ReviseSeen(better)])
    assert await daemon.seen([key]) == {key: Seen(better, better)}


async def test_what_was_seen_is_purged_in_steps(daemon):
    """Purging forgets the oldest first, and only what is old enough."""
    await daemon.commit([RecordSeen(seen(f"m{n}", n, at=later(n))) for n in range(1, 6)])
    assert await daemon.commit([PurgeSeen(later(4), 2)]) == (Counted(2),)
    assert await daemon.commit([PurgeSeen(later(4), 2)]) == (Counted(1),)
    keys = [SeenKey(r.device, r.id, r.to, r.seq) for r in (seen(f"m{n}", n) for n in range(1, 6))]
    found = await daemon.seen(keys)
    assert [found[key].by_id is not None for key in keys] == [False, False, False, True, True]


async def test_cursor_never_goes_back_within_a_generation(daemon):
    """A mailbox's cursor rises; a new generation begins where it says."""
    cursor = RelayCursor("wss://relay:443", GENERATION, Offset(5))
    assert await daemon.cursor(cursor.relay) is None
    await daemon.commit([SetCursor(cursor), SetCursor(attrs.evolve(cursor, offset=Offset(3)))])
    assert await daemon.cursor(cursor.relay) == cursor
    renewed = RelayCursor(cursor.relay, Generation(b"h" * 16), Offset(1))
    await daemon.commit([SetCursor(renewed)])
    assert await daemon.cursor(cursor.relay) == renewed
    other = RelayCursor("wss://another:443", GENERATION, Offset(7))
    await daemon.commit([SetCursor(other)])
    assert await daemon.cursors() == (other, renewed)


async def test_inbound_commit_is_one(daemon):
    """A message, its decision, its event, the receipt owed and the cursor stand together or not at all."""
    record = message("a", task=sha("a"))
    changes = [
        store(record),
        AddTaskEvent(TaskEventRecord(sha("a"), record.hash, "requester", record.device, NOW, NOW)),
        OweReceipt(ReceiptOwed(record.hash, record.mine, record.peer, "applied", "", NOW)),
        SetCursor(RelayCursor("relay", GENERATION, Offset(1))),
        SaveTask(task("a")),
        AppendEvent(EventRecord("message", "helper", (record.hash,), "{}", NOW)),
        RecordSeen(seen("a")),
    ]
    await daemon.commit([RecordSeen(seen("another"))])
    await refused(daemon, ConflictKind.EQUIVOCATION, *changes)
    assert await daemon.messages([record.hash]) == {}
    assert await daemon.sealed([record.hash]) == {}
    assert await daemon.receipts_owed(10) == ()
    assert await daemon.cursor("relay") is None
    assert await daemon.tasks([sha("a")]) == {}
    assert (await daemon.events(Place(0), 10)).items == ()
    changes[-1] = RecordSeen(seen("a", 2))
    results = await daemon.commit(changes)
    assert [type(result) for result in results] == [Placed, Done, Done, Done, Saved, Placed, Done]


# --- the feed ---------------------------------------------------------------------------------------------


async def feed(daemon, after=0, limit=100, agents=None):
    """The texts of the feed, and the cursor."""
    page = await daemon.events(after, limit, agents)
    return [event.text for event in page.items], page.next


async def test_feed_is_followed_by_cursor(daemon):
    """A follower reads each line once, and its cursor passes what is not meant for it."""
    for n in range(5):
        await daemon.commit([AppendEvent(EventRecord("k", "ab"[n % 2], (sha("x"), sha("y")), str(n), NOW))])
    await daemon.commit([AppendEvent(EventRecord("k", "", (), "owner", NOW))])
    texts, cursor = await feed(daemon, limit=2)
    assert texts == ["0", "1"]
    texts, cursor = await feed(daemon, cursor)
    assert texts == ["2", "3", "4", "owner"]
    assert await feed(daemon, cursor) == ([], cursor)
    texts, after = await feed(daemon, agents={"a"})
    assert (texts, after) == (["0", "2", "4"], cursor)
    texts, after = await feed(daemon, limit=1, agents={"b"})
    assert (texts, await feed(daemon, after, agents={"b"})) == (["1"], (["3"], cursor))
    assert (await daemon.events(Place(0), 1)).items[0].refs == (sha("x"), sha("y"))


async def test_feed_is_pruned_by_age_and_size(daemon):
    """The oldest lines go in steps, the newest places stay taken, and a follower is not confused."""
    assert await daemon.feed_bounds() == (1, 0)
    assert await daemon.commit([PruneEvents(later(99), 0, 10)]) == (Counted(0),)
    for n in range(10):
        await daemon.commit([AppendEvent(EventRecord("k", "a", (), str(n), later(n)))])
    assert await daemon.commit([PruneEvents(later(3), 100, 2)]) == (Counted(2),)
    assert await daemon.commit([PruneEvents(later(3), 100, 2)]) == (Counted(1),)
    assert (await feed(daemon))[0] == ["3", "4", "5", "6", "7", "8", "9"]
    assert await daemon.commit([PruneEvents(later(0), 4, 100)]) == (Counted(3),)
    assert (await feed(daemon))[0] == ["6", "7", "8", "9"]
    assert await daemon.feed_bounds() == (7, 10)
    await daemon.commit([PruneEvents(later(99), 100, 100)])
    assert await daemon.feed_bounds() == (11, 10)
    await daemon.commit([AppendEvent(EventRecord("k", "a", (), "new", later(10)))])
    assert await feed(daemon, 10) == (["new"], 11)
