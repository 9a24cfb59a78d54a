"""What every daemon store promises about messages, tasks, the outbox, receipts and the feed."""

import attrs
import pytest

from taskferry_protocol.ids import ConversationId, Instant
from taskferry_protocol.records import (
    AddTaskEvent,
    AppendEvent,
    Counted,
    DeferOutbox,
    Direction,
    Done,
    DropOutbox,
    DropQuarantine,
    EventRecord,
    Generation,
    InboxCount,
    InboxState,
    KeepSealed,
    Mark,
    MarkMessages,
    MessageQuery,
    OfferAgain,
    Offset,
    Order,
    OutboxState,
    OweReceipt,
    Place,
    Placed,
    PruneEvents,
    PurgeSeen,
    PutOutbox,
    PutQuarantine,
    PutSetting,
    QuarantineRecord,
    ReceiptGot,
    ReceiptOwed,
    RecordReceipt,
    RecordSeen,
    RelayCursor,
    RelayedOutbox,
    Rung,
    Saved,
    SaveTask,
    SealedRecord,
    Seen,
    SeenKey,
    SetCursor,
    SetRung,
    SettleReceipts,
    TaskEventRecord,
    TaskQuery,
    UseSequence,
)
from taskferry_stores.port import ConflictKind, StoreClosed

from .samples import (
    GENERATION,
    NOW,
    agent,
    device,
    message,
    outbound,
    outbox,
    refused,
    seen,
    sha,
    store,
    task,
)

ALL = MessageQuery()


def later(ms):
    """An instant after `NOW`."""
    return Instant(NOW + ms)


async def names(daemon, query=ALL, after=None, limit=100, order=Order.OLDEST_FIRST):
    """The messages of a page, by their texts, and the cursor."""
    page = await daemon.message_page(query, after, limit, order)
    return [m.content.decode().removeprefix("content of ") for m in page.items], page.next


# --- messages ---------------------------------------------------------------------------------------------


async def test_message_comes_back_as_it_was_stored(daemon):
    """Every field of a message survives, and its envelope and K stand beside it."""
    full = message(
        "a",
        seq=2**64 - 1,
        task=sha("task"),
        reply=sha("reply"),
        code="code",
        offered_at=later(1),
        read_at=later(2),
        processed_at=later(3),
    )
    sent = outbound("b", relayed_at=later(1), delivered_at=later(2))
    results = await daemon.commit([store(full), store(sent)])
    assert [type(result) for result in results] == [Placed, Placed]
    assert results[0].place < results[1].place
    found = await daemon.messages([full.hash, sent.hash, sha("none")])
    assert found == {
        full.hash: (attrs.evolve(full, place=results[0].place),),
        sent.hash: (attrs.evolve(sent, place=results[1].place),),
    }
    assert await daemon.sealed([full.hash, sha("none")]) == {
        full.hash: SealedRecord(full.hash, b"envelope of " + full.hash, b"k" * 32, full.content)
    }


async def test_message_is_stored_once_for_each_agent(daemon):
    """The same message again is a conflict for its agent, and another agent's own record."""
    mine = message("a")
    theirs = message("a", mine="alice/other", peer="alice/helper")
    await daemon.commit([store(mine)])
    await refused(daemon, ConflictKind.EXISTS, PutSetting("x", b"y"), store(mine))
    assert await daemon.settings(["x"]) == {}
    await daemon.commit([store(theirs)])
    found = (await daemon.messages([mine.hash]))[mine.hash]
    assert [record.mine.name for record in found] == ["helper", "other"]


async def test_messages_are_read_in_pages_both_ways(daemon):
    """Pages follow one another without gap or repeat, oldest or newest first."""
    for n in range(7):
        await daemon.commit([store(message(f"m{n}"))])
    texts, cursor = await names(daemon, limit=3)
    assert texts == ["m0", "m1", "m2"]
    texts, cursor = await names(daemon, after=cursor, limit=3)
    assert texts == ["m3", "m4", "m5"]
    assert await names(daemon, after=cursor, limit=3) == (["m6"], None)
    texts, cursor = await names(daemon, limit=4, order=Order.NEWEST_FIRST)
    assert texts == ["m6", "m5", "m4", "m3"]
    last = await names(daemon, after=cursor, limit=3, order=Order.NEWEST_FIRST)
    assert last == (["m2", "m1", "m0"], None)


async def test_messages_are_found_by_what_is_known_of_them(daemon):
    """A query narrows by agent, peer, conversation, task, direction and inbox state, in any combination."""
    other = ConversationId(b"d" * 16)
    await daemon.commit(
        [
            store(message("a")),
            store(message("b", mine="alice/other")),
            store(message("c", peer="carol/x", conv=other)),
            store(message("d", task=sha("t"), inbox=InboxState.READ)),
            store(outbound("e", task=sha("t"))),
            store(message("f", inbox=InboxState.QUIET)),
        ]
    )
    waiting = frozenset({InboxState.UNREAD, InboxState.READ})
    for query, expected in (
        (ALL, "abcdef"),
        (MessageQuery(agent="helper"), "acdef"),
        (MessageQuery(agent="nobody"), ""),
        (MessageQuery(peer=agent("carol/x")), "c"),
        (MessageQuery(conv=other), "c"),
        (MessageQuery(task=sha("t")), "de"),
        (MessageQuery(task=sha("t"), direction=Direction.OUT), "e"),
        (MessageQuery(direction=Direction.COPY), ""),
        (MessageQuery(inbox=waiting), "abcd"),
        (MessageQuery(agent="helper", inbox=frozenset({InboxState.UNREAD})), "ac"),
        (MessageQuery(agent="helper", inbox=frozenset({InboxState.QUIET})), "f"),
        (MessageQuery(agent="helper", peer=agent("bob/coder"), inbox=waiting), "ad"),
    ):
        assert (await names(daemon, query))[0] == list(expected), query


async def test_inbox_state_only_rises(daemon):
    """Reading and processing move a message on; the first time stands and nothing moves back."""
    record = message("a")
    await daemon.commit([store(record)])

    async def mark(what, at, expected):
        changes = [MarkMessages("helper", (record.hash, record.hash, sha("none")), what, later(at))]
        assert await daemon.commit(changes) == (Counted(expected),)
        return (await daemon.messages([record.hash]))[record.hash][0]

    assert (await mark(Mark.OFFERED, 1, 1)).offered_at == later(1)
    assert (await mark(Mark.OFFERED, 2, 0)).offered_at == later(1)
    read = await mark(Mark.READ, 3, 1)
    assert (read.inbox, read.read_at) == (InboxState.READ, later(3))
    done = await mark(Mark.PROCESSED, 4, 1)
    assert (done.inbox, done.processed_at) == (InboxState.PROCESSED, later(4))
    assert await mark(Mark.READ, 5, 0) == done
    assert await mark(Mark.PROCESSED, 6, 0) == done


async def test_marks_belong_to_one_agent(daemon):
    """What one agent has read is still unread for another that has the same message."""
    mine, theirs = message("a"), message("a", mine="alice/other")
    await daemon.commit([store(mine), store(theirs)])
    await daemon.commit([MarkMessages("other", (mine.hash,), Mark.READ, NOW)])
    found = (await daemon.messages([mine.hash]))[mine.hash]
    assert [record.inbox for record in found] == [InboxState.UNREAD, InboxState.READ]


async def test_quiet_message_keeps_its_times_but_stays_quiet(daemon):
    """An outbound message takes the peer's marks without entering an inbox."""
    record = outbound("a")
    await daemon.commit([store(record)])
    await daemon.commit([MarkMessages("helper", (record.hash,), Mark.PROCESSED, NOW)])
    found = (await daemon.messages([record.hash]))[record.hash][0]
    assert (found.inbox, found.processed_at) == (InboxState.QUIET, NOW)


async def test_inbox_is_counted(daemon):
    """Counts tell what is unread and read for each agent that was asked for."""
    for n in range(5):
        await daemon.commit([store(message(f"m{n}"))])
    await daemon.commit([store(outbound("x")), store(message("y", inbox=InboxState.QUIET))])
    await daemon.commit([MarkMessages("helper", (sha("m0"), sha("m1")), Mark.READ, NOW)])
    await daemon.commit([MarkMessages("helper", (sha("m1"),), Mark.PROCESSED, NOW)])
    assert await daemon.inbox_counts(["helper", "other"]) == {
        "helper": InboxCount(3, 1),
        "other": InboxCount(0, 0),
    }


async def test_delivered_outranks_hearsay(daemon):
    """A message climbs, may fail or expire, and stays delivered once a recipient has said so."""
    record = outbound("a")
    await daemon.commit([store(record)])

    async def rung(rung, at, code=""):
        await daemon.commit([SetRung(record.hash, "helper", rung, code, later(at))])
        found = (await daemon.messages([record.hash]))[record.hash][0]
        return found.rung, found.code, found.relayed_at, found.delivered_at

    assert await rung(Rung.RELAYED, 1) == (Rung.RELAYED, "", later(1), None)
    assert await rung(Rung.EXPIRED, 2, "expired") == (Rung.EXPIRED, "expired", later(1), None)
    assert await rung(Rung.DELIVERED, 3) == (Rung.DELIVERED, "", later(1), later(3))
    assert await rung(Rung.EXPIRED, 4, "expired") == (Rung.DELIVERED, "", later(1), later(3))


async def test_inbound_message_has_no_rung(daemon):
    """A rung for an inbound message, or one that is not held, changes nothing."""
    record = message("a")
    await daemon.commit([store(record), SetRung(record.hash, "helper", Rung.FAILED, "x", NOW)])
    await daemon.commit([SetRung(sha("none"), "helper", Rung.FAILED, "x", NOW)])
    assert (await daemon.messages([record.hash]))[record.hash][0].rung is None


# --- the outbox -------------------------------------------------------------------------------------------


async def due(daemon, now=NOW, limit=100, max_bytes=1_000_000):
    """The entries that are due, by text."""
    entries = await daemon.outbox_due(now, limit, max_bytes)
    return [entry.parcel.decode().removeprefix("parcel of ") for entry in entries]


async def test_outbox_gives_what_is_due_in_order(daemon):
    """Due entries come in the order in which they were put in, within entries and bytes, at least one."""
    await daemon.commit([PutOutbox(outbox(f"m{n}", seq=n)) for n in range(5)])
    assert await due(daemon) == ["m0", "m1", "m2", "m3", "m4"]
    assert await due(daemon, limit=2) == ["m0", "m1"]
    assert await due(daemon, max_bytes=25) == ["m0", "m1"]
    assert await due(daemon, max_bytes=1) == ["m0"]
    assert await due(daemon, now=Instant(NOW - 1)) == []


async def test_nobody_overtakes_towards_one_target(daemon):
    """While an entry waits for its time, later ones to the same target wait too, others do not."""
    await daemon.commit(
        [
            PutOutbox(outbox("a", seq=1)),
            PutOutbox(outbox("b", seq=2)),
            PutOutbox(outbox("c", seq=1, to="carol/x")),
        ]
    )
    await daemon.commit([DeferOutbox(sha("a"), 3, later(50))])
    assert await due(daemon) == ["c"]
    assert (await daemon.outbox([sha("a")]))[sha("a")].attempts == 3
    assert await daemon.next_attempt() == NOW
    assert await due(daemon, now=later(50)) == ["a", "b", "c"]


async def test_entry_replaced_keeps_its_turn(daemon):
    """A parcel that was wrapped again goes out where it stood."""
    await daemon.commit([PutOutbox(outbox("a")), PutOutbox(outbox("b", seq=2))])
    await daemon.commit([PutOutbox(outbox("a", parcel=b"parcel of a, wrapped again", attempts=1))])
    assert await due(daemon) == ["a, wrapped again", "b"]


async def test_relayed_entry_waits_for_delivery_and_can_be_offered_again(daemon):
    """What the relay has committed is not sent again, unless the relay may have lost it."""
    await daemon.commit([PutOutbox(outbox(f"m{n}", seq=n)) for n in range(4)])
    await daemon.commit([RelayedOutbox((sha("m0"), sha("m1"))), DropOutbox((sha("m1"), sha("none")))])
    assert await due(daemon) == ["m2", "m3"]
    assert (await daemon.outbox([sha("m0")]))[sha("m0")].state is OutboxState.RELAYED
    assert await daemon.commit([OfferAgain(later(5))]) == (Counted(1),)
    assert await due(daemon, now=later(5)) == ["m0", "m2", "m3"]
    assert await daemon.outbox([sha("m1")]) == {}
    stats = await daemon.stats()
    assert (stats.outbox_waiting, stats.outbox_relayed) == (3, 0)


async def test_expired_entries_are_told_apart(daemon):
    """An entry whose time is over is not due, holds nobody up, and is found as expired."""
    early = later(10)
    await daemon.commit(
        [
            PutOutbox(outbox("a", expires_at=early, next_attempt_at=later(99))),
            PutOutbox(outbox("b", seq=2, expires_at=early)),
            PutOutbox(outbox("c", seq=3)),
        ]
    )
    await daemon.commit([RelayedOutbox((sha("b"),))])
    assert await due(daemon, now=early) == ["c"]
    assert [entry.hash for entry in await daemon.outbox_expired(early, 10)] == [sha("a"), sha("b")]
    assert await daemon.outbox_expired(NOW, 10) == ()


async def test_outbox_keeps_every_field(daemon):
    """An entry comes back as it was put in."""
    entry = outbox("a", seq=2**63, attempts=2, state=OutboxState.RELAYED)
    await daemon.commit([PutOutbox(entry)])
    assert await daemon.outbox([entry.hash]) == {entry.hash: entry}
    assert await daemon.next_attempt() is None


async def test_numbers_towards_a_target_are_used_once(daemon):
    """Numbers are taken one after another; a number taken twice or skipped is a conflict."""
    bob, carol = agent("bob/coder"), agent("carol/x")
    await daemon.commit([UseSequence(bob, 1), UseSequence(bob, 2), UseSequence(carol, 1)])
    await refused(daemon, ConflictKind.SEQUENCE, UseSequence(bob, 2))
    await refused(daemon, ConflictKind.SEQUENCE, UseSequence(bob, 4))
    assert await daemon.sequences([bob, carol, agent("dave/x")]) == {bob: 2, carol: 1}


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
    assert await daemon.next_deadline() == later(10)
    assert await daemon.tasks_overdue(later(9), 10) == ()
    assert [row.title[-1] for row in await daemon.tasks_overdue(later(30), 10)] == ["b", "a"]
    assert [row.title[-1] for row in await daemon.tasks_overdue(later(30), 1)] == ["b"]


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


async def test_stats_count(daemon):
    """The numbers are what the store holds."""
    await daemon.commit([store(message("a")), SaveTask(task("t")), PutOutbox(outbox("o"))])
    await daemon.commit([PutQuarantine(QuarantineRecord(sha("q"), "malformed", "", b"", b"", NOW))])
    stats = await daemon.stats()
    assert (stats.messages, stats.tasks, stats.outbox_waiting, stats.quarantined) == (1, 1, 1, 1)


async def test_closed_store_says_so(daemon):
    """After closing, calls say that the store is closed."""
    await daemon.aclose()
    await daemon.aclose()
    with pytest.raises(StoreClosed):
        await daemon.commit([PutSetting("a", b"b")])
    with pytest.raises(StoreClosed):
        await daemon.stats()


async def test_many_hashes_at_once_are_one_read(daemon):
    """Reads take more keys than a query takes parameters."""
    await daemon.commit([store(message(f"m{n}")) for n in range(300)])
    found = await daemon.messages([sha(f"m{n}") for n in range(2_000)])
    assert len(found) == 300
