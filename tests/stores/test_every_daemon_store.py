"""What every daemon store promises about messages and the outbox."""

import attrs
import pytest

from taskferry_protocol.ids import ConversationId, Instant
from taskferry_protocol.records import (
    Counted,
    DeferOutbox,
    Direction,
    DropOutbox,
    InboxCount,
    InboxState,
    Mark,
    MarkMessages,
    MessageQuery,
    OfferAgain,
    Order,
    OutboxState,
    Placed,
    PutOutbox,
    PutQuarantine,
    PutSetting,
    QuarantineRecord,
    RelayedOutbox,
    Rung,
    SaveTask,
    SealedRecord,
    SetRung,
    UseSequence,
)
from taskferry_stores.port import ConflictKind, StoreClosed
from taskferry_stores.rules import LONGEST_DEFERRAL_MS

from .samples import (
    DAY,
    NOW,
    agent,
    message,
    outbound,
    outbox,
    refused,
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


async def test_messages_are_told_without_what_was_said(daemon):
    """How far each came and where it stands, of as many of our agents as have it, and no content."""
    mine, theirs = message("a"), message("a", mine="alice/other", peer="alice/helper")
    sent = outbound("b")
    await daemon.commit([store(mine), store(theirs), store(sent)])
    hashes = [mine.hash, sent.hash, sha("none")]
    whole = await daemon.messages(hashes)
    assert {len(held) for held in whole.values()} == {1, 2}
    assert all(record.content for held in whole.values() for record in held)
    assert await daemon.message_states(hashes) == {
        hash: tuple(attrs.evolve(record, content=b"") for record in held) for hash, held in whole.items()
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


async def due(daemon, now=NOW, limit=100, max_bytes=1_000_000, but=()):
    """The entries that are due, by text."""
    entries = await daemon.outbox_due(now, limit, max_bytes, [sha(one) for one in but])
    return [entry.parcel.decode().removeprefix("parcel of ") for entry in entries]


async def test_outbox_gives_what_is_due_in_order(daemon):
    """Due entries come in the order in which they were put in, within entries and bytes, at least one."""
    await daemon.commit([PutOutbox(outbox(f"m{n}", seq=n)) for n in range(5)])
    assert await due(daemon) == ["m0", "m1", "m2", "m3", "m4"]
    assert await due(daemon, limit=2) == ["m0", "m1"]
    assert await due(daemon, max_bytes=25) == ["m0", "m1"]
    assert await due(daemon, max_bytes=1) == ["m0"]
    assert await due(daemon, now=Instant(NOW - 1)) == []


async def test_what_is_under_way_is_not_given_again(daemon):
    """Entries that are asked to be left out do not count, in number or in bytes, whoever else waits."""
    await daemon.commit([PutOutbox(outbox(f"m{n}", seq=n)) for n in range(5)])
    assert await due(daemon, but=["m0", "m2"]) == ["m1", "m3", "m4"]
    assert await due(daemon, limit=2, but=["m0", "m1", "none"]) == ["m2", "m3"]
    assert await due(daemon, max_bytes=1, but=["m0"]) == ["m1"]
    assert await due(daemon, but=[f"m{n}" for n in range(5)]) == []


async def test_for_whom_something_waits_is_told_by_class_due_or_not(daemon):
    """Not what the relay has, nor what is over by a time."""
    bob, carol, dan = agent("bob/"), agent("carol/"), agent("dan/")
    later = {"next_attempt_at": Instant(NOW + DAY), "cls": "account"}
    await daemon.commit(
        [
            PutOutbox(outbox("a", to="bob/", **later)),
            PutOutbox(outbox("b", to="carol/")),
            PutOutbox(outbox("c", to="dan/", **later)),
            RelayedOutbox((sha("c"),)),
        ]
    )
    assert await daemon.outbox_for([bob, carol, dan], "account", NOW) == {bob}
    assert await daemon.outbox_for([carol, agent("erin/")], "message", NOW) == {carol}
    assert await daemon.outbox_for([bob], "account", Instant(NOW + DAY)) == frozenset()


async def test_how_far_those_in_the_outbox_are(daemon):
    """A message's rung for each agent of ours that sent it; nothing for what is no message, or not there."""
    record = outbound("a")
    await daemon.commit([store(record), PutOutbox(outbox("a")), PutOutbox(outbox("quiet", seq=2))])
    asked = [record.hash, sha("quiet"), sha("none")]
    assert await daemon.outbox_rungs(asked) == {
        record.hash: (("helper", Rung.QUEUED),),
        sha("quiet"): (),
    }
    await daemon.commit([SetRung(record.hash, "helper", Rung.RELAYED, "", NOW), DropOutbox((sha("quiet"),))])
    assert await daemon.outbox_rungs(asked) == {record.hash: (("helper", Rung.RELAYED),)}
    assert await daemon.outbox_rungs([]) == {}


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


async def test_what_a_clock_that_was_ahead_put_off_is_due_and_holds_up_nothing(daemon):
    """Nobody waits for longer than a quarter of an hour, unless the clock was set back since."""
    await daemon.commit([PutOutbox(outbox("a", seq=1)), PutOutbox(outbox("b", seq=2))])
    for wait_ms, found in ((LONGEST_DEFERRAL_MS, []), (LONGEST_DEFERRAL_MS + 1, ["a", "b"])):
        await daemon.commit([DeferOutbox(sha("a"), 1, later(wait_ms))])
        assert await due(daemon) == found
        assert await due(daemon, but=["a"]) == found[1:]


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
    await daemon.commit([RelayedOutbox((sha("m2"),))])
    assert await daemon.outbox_waiting() == 2


async def test_what_is_relayed_for_one_agent_can_be_offered_again_alone(daemon):
    """What is for others stays where it is."""
    entries = [outbox("m0"), outbox("m1", seq=2), outbox("c", to="carol/x")]
    await daemon.commit([PutOutbox(entry) for entry in entries])
    await daemon.commit([RelayedOutbox((sha("m0"), sha("c")))])
    assert await daemon.commit([OfferAgain(NOW, agent("nobody/x"))]) == (Counted(0),)
    assert await daemon.commit([OfferAgain(NOW, agent("carol/x"))]) == (Counted(1),)
    assert await due(daemon) == ["m1", "c"]


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


async def test_numbers_go_on_above_what_counts_as_used(daemon):
    """Whoever does not know what was used since goes on above a number that nobody reached."""
    bob, carol = agent("bob/coder"), agent("carol/x")
    await daemon.commit([UseSequence(bob, 1), UseSequence(bob, 101, 100), UseSequence(bob, 102, 100)])
    await refused(daemon, ConflictKind.SEQUENCE, UseSequence(carol, 1, 100))
    await refused(daemon, ConflictKind.SEQUENCE, UseSequence(bob, 101, 100))
    await daemon.commit([UseSequence(carol, 101, 100)])
    assert await daemon.sequences([bob, carol]) == {bob: 102, carol: 101}


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


async def test_task_is_saved_from_the_revision_that_was_read(daemon):
    """Of two who read the same, the second to save is told, and nothing of its commit is kept."""
    await daemon.commit([SaveTask(task("t"))])
    (held,) = (await daemon.tasks((sha("t"),)))[sha("t")]
    await daemon.commit([SaveTask(attrs.evolve(held, state="accepted"))])
    await refused(daemon, ConflictKind.REVISION, SaveTask(attrs.evolve(held, state="declined")))
    (after,) = (await daemon.tasks((sha("t"),)))[sha("t")]
    assert after.state == "accepted"
