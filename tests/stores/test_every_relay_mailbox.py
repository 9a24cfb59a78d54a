"""What every relay store promises about envelopes and mailboxes."""

import pytest
import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    Counted,
    Equivocation,
    Expire,
    Expired,
    Generation,
    MailboxEntry,
    MailboxShare,
    Notice,
    NoticePut,
    Offset,
    PurgeSeen,
    PutConnection,
    PutNotice,
    PutSetting,
    Stored,
    Sweep,
)
from taskferry_stores.port import ConflictKind, StoreClosed, StoreConflict

from .samples import (
    DAY,
    GENERATION,
    NOW,
    ack,
    append,
    connection,
    device,
    envelope,
    sha,
    stored,
    stored_before,
    texts,
    usage,
)

# --- mailboxes --------------------------------------------------------------------------------------------


async def test_envelope_reaches_each_device_with_its_own_wrap(relay):
    """One envelope lies in several mailboxes, each with the wrap for that device."""
    change = envelope("alice", 1, "bob/coder", ["bob", "bob2", "alice2"])
    (result,) = await relay.commit([change])
    assert result == stored(1, ("bob", 1), ("bob2", 1), ("alice2", 1))
    for name, sealed in zip(["bob", "bob2", "alice2"], change.entries, strict=True):
        items = await relay.mailbox(device(name), 0, 10, 1_000_000)
        assert items == (MailboxEntry(Offset(1), change.envelope, sealed[1]),)


async def test_places_count_per_sender_and_offsets_per_mailbox(relay):
    """A sender's places and a mailbox's offsets each rise by themselves."""
    results = await relay.commit(
        [
            envelope("alice", 1, "bob/coder", ["bob"]),
            envelope("carol", 1, "bob/coder", ["bob"]),
            envelope("alice", 2, "carol/x", ["carol"]),
        ]
    )
    assert results == (
        stored(1, ("bob", 1)),
        stored(1, ("bob", 2)),
        stored(2, ("carol", 1)),
    )


async def test_mailbox_is_read_by_cursor_within_bounds(relay):
    """A read goes on after the cursor and stops at the entries or bytes asked for, but gives at least one."""
    await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in range(1, 8)])
    assert [o for o, _ in await texts(relay, "bob", limit=3)] == [1, 2, 3]
    assert [o for o, _ in await texts(relay, "bob", after=3, limit=3)] == [4, 5, 6]
    size = len(envelope("alice", 1, "bob/coder", []).envelope) + 80
    assert [o for o, _ in await texts(relay, "bob", max_bytes=2 * size)] == [1, 2]
    assert [o for o, _ in await texts(relay, "bob", max_bytes=2 * size - 1)] == [1]
    assert [o for o, _ in await texts(relay, "bob", after=2, max_bytes=1)] == [3]
    assert await texts(relay, "bob", after=7) == []
    assert await texts(relay, "nobody") == []


async def test_same_envelope_again_answers_its_first_place(relay):
    """A repeat has no effect and is told the first place, in the same commit or a later one."""
    change = envelope("alice", 1, "bob/coder", ["bob"])
    results = await relay.commit([change, change])
    assert results == (stored(1, ("bob", 1)), stored_before(1))
    await relay.commit([ack("bob", 1), Sweep(100)])
    assert await relay.commit([change]) == (stored_before(1),)
    assert await texts(relay, "bob") == []


async def test_rewrapped_envelope_reaches_only_devices_that_never_had_it(relay):
    """Wrapped again for a new device, an envelope goes there alone, even when the first has acknowledged."""
    await relay.commit([envelope("alice", 1, "bob/coder", ["bob"])])
    await relay.commit([ack("bob", 1), Sweep(100)])
    again = envelope("alice", 1, "bob/coder", ["bob", "bob2"])
    assert await relay.commit([again]) == (stored_before(1, ("bob2", 1)),)
    assert await texts(relay, "bob") == []
    assert await texts(relay, "bob2") == [(1, "alice 1 bob/coder")]
    assert await relay.commit([again]) == (stored_before(1),)


async def test_other_bytes_under_an_id_or_number_are_equivocation(relay):
    """Another envelope under the same id, or with the same number to the same target, is refused."""
    first = envelope("alice", 1, "bob/coder", ["bob"])
    same_id = envelope("alice", 1, "bob/coder", ["bob"], text="other", seq=9)
    same_seq = envelope("alice", 2, "bob/coder", ["bob"], text="third", seq=1)
    assert await relay.commit([first, same_id, same_seq]) == (
        stored(1, ("bob", 1)),
        Equivocation(first.hash, "id", first.envelope),
        Equivocation(first.hash, "seq", first.envelope),
    )
    assert await relay.commit([same_id, same_seq]) == (
        Equivocation(first.hash, "id", first.envelope),
        Equivocation(first.hash, "seq", first.envelope),
    )
    assert [o for o, _ in await texts(relay, "bob")] == [1]


async def test_many_together_come_out_as_one_by_one(relay):
    """In a large commit repeats and equivocations are told apart, and leave no gap in places and offsets."""
    many = [envelope("alice", n, "bob/coder", ["bob"]) for n in range(1, 41)]
    await relay.commit([many[5]])
    forged = envelope("alice", 20, "bob/coder", ["bob"], text="other")
    results = await relay.commit([*many[:20], forged, many[3], *many[20:], many[30]])
    new = [result for result in results if isinstance(result, Stored)]
    assert new == [stored(n, ("bob", n)) for n in range(2, 41)]
    assert results[5] == stored_before(1)
    assert isinstance(results[20], Equivocation)
    assert results[21] == stored_before(results[3].place)
    assert results[42] == stored_before(results[32].place)
    waiting = await relay.mailbox(device("bob"), 0, 100, 1_000_000)
    order = [5, *range(5), *range(6, 40)]
    assert [item.envelope for item in waiting] == [many[at].envelope for at in order]


async def test_hashes_of_what_was_accepted_are_read_by_id(relay):
    """What a device has had accepted is found by its ids, long after delivery, and nobody else's is."""
    one, two = (envelope("alice", n, "bob/coder", ["bob"]) for n in (1, 2))
    await relay.commit([one, two, ack("bob", 2), Sweep(10)])
    asked = [(device("alice"), one.id), (device("alice"), two.id), (device("bob"), one.id)]
    asked += [(device("alice"), envelope("alice", 3, "bob/coder", []).id)]
    assert await relay.accepted(asked) == {asked[0]: one.hash, asked[1]: two.hash}


async def test_numbers_are_counted_by_device_and_target(relay):
    """The same id from another device, or the same number to another target, is no equivocation."""
    results = await relay.commit(
        [
            envelope("alice", 1, "bob/coder", ["bob"]),
            envelope("carol", 1, "bob/coder", ["bob"]),
            envelope("alice", 2, "bob/other", ["bob"], seq=1),
        ]
    )
    assert all(isinstance(result, Stored) for result in results)


async def test_acknowledged_entries_are_gone(relay):
    """What was acknowledged never comes back; an older acknowledgement changes nothing."""
    await relay.commit([envelope("alice", n, "bob/coder", ["bob", "bob2"]) for n in range(1, 6)])
    await relay.commit([ack("bob", 3)])
    await relay.commit([ack("bob", 2)])
    assert [o for o, _ in await texts(relay, "bob")] == [4, 5]
    assert [o for o, _ in await texts(relay, "bob2")] == [1, 2, 3, 4, 5]
    await relay.commit([Sweep(100)])
    assert [o for o, _ in await texts(relay, "bob")] == [4, 5]
    assert len(await texts(relay, "bob2")) == 5


async def test_acknowledgement_of_what_was_never_given_stops_at_the_end(relay):
    """An acknowledgement beyond the last entry does not swallow the ones that come later."""
    await relay.commit([ack("bob", 7)])
    await relay.commit([envelope("alice", 1, "bob/coder", ["bob"])])
    await relay.commit([ack("bob", 1_000)])
    assert await relay.commit([envelope("alice", 2, "bob/coder", ["bob"])]) == (stored(2, ("bob", 2)),)
    assert [o for o, _ in await texts(relay, "bob")] == [2]


async def test_usage_follows_what_waits(relay):
    """Count and bytes rise with entries, fall with acknowledgements, and a notice weighs nothing."""
    change = envelope("alice", 1, "bob/coder", ["bob"])
    size = len(change.envelope) + 80
    await relay.commit([change, envelope("alice", 2, "bob/coder", ["bob"])])
    await relay.commit([PutNotice(device("bob"), Notice(sha("x"), "expired"))])
    found = await relay.usage([device("bob"), device("nobody")])
    assert found == {device("bob"): usage(3, 2 * size, 3, 0)}
    await relay.commit([ack("bob", 1)])
    assert (await relay.usage([device("bob")]))[device("bob")] == usage(2, size, 3, 1)
    await relay.commit([ack("bob", 3), Sweep(10)])
    assert (await relay.usage([device("bob")]))[device("bob")] == usage(0, 0, 3, 3)


async def test_shares_say_whose_mail_waits(relay):
    """By mailbox and sending device, without what was acknowledged, and without notices."""
    for n, sender in enumerate(["alice", "alice", "carol", "carol", "alice"], 1):
        await relay.commit([envelope(sender, n, "bob/coder", ["bob", "bob2"], text=f"text {n}")])
    await relay.commit([PutNotice(device("bob"), Notice(sha("x"), "expired")), ack("bob", 2)])
    size = 3 * len(b"text n") + 80
    found = await relay.shares([device("bob"), device("bob2"), device("nobody")])
    assert found == {
        device("bob"): {device("alice"): MailboxShare(1, size), device("carol"): MailboxShare(2, 2 * size)},
        device("bob2"): {
            device("alice"): MailboxShare(3, 3 * size),
            device("carol"): MailboxShare(2, 2 * size),
        },
    }
    assert await relay.shares([]) == {}


async def test_notice_stands_in_line(relay):
    """A notice takes the next offset of its mailbox."""
    notice = Notice(sha("lost"), "expired")
    results = await relay.commit(
        [
            envelope("alice", 1, "bob/coder", ["bob"]),
            PutNotice(device("bob"), notice),
            envelope("alice", 2, "bob/coder", ["bob"]),
        ]
    )
    assert results[1] == NoticePut(Offset(2))
    assert [o for o, _ in await texts(relay, "bob")] == [1, 2, 3]
    assert (await texts(relay, "bob"))[1] == (2, notice)


async def test_expired_envelope_leaves_and_its_sender_is_told_once(relay):
    """At its end an envelope leaves every mailbox, and the sending device finds one notice."""
    late = Instant(NOW + 2 * DAY)
    await relay.commit([envelope("alice", 1, "bob/coder", ["bob", "bob2"])])
    await relay.commit([envelope("alice", 2, "bob/coder", ["bob"], expires_at=late)])
    assert (await relay.commit([Expire(Instant(NOW + DAY - 1), 10)]))[0].notices == ()
    notice = Notice(sha("alice 1 bob/coder"), "expired")
    (result,) = await relay.commit([Expire(Instant(NOW + DAY), 10)])
    assert result == Expired(1, ((device("alice"), Offset(1), notice),))
    assert await relay.commit([Expire(Instant(NOW + DAY), 10)]) == (Expired(0, ()),)
    assert await texts(relay, "bob") == [(2, "alice 2 bob/coder")]
    assert await texts(relay, "bob2") == []
    assert await texts(relay, "alice") == [(1, notice)]
    found = await relay.usage([device("bob"), device("bob2"), device("alice")])
    assert [found[device(n)].count for n in ("bob", "bob2", "alice")] == [1, 0, 1]


async def test_delivered_envelope_expires_in_silence(relay):
    """Nobody is told of the end of an envelope that all its devices had acknowledged."""
    await relay.commit([envelope("alice", 1, "bob/coder", ["bob", "bob2"])])
    await relay.commit([ack("bob", 1), ack("bob2", 1)])
    (result,) = await relay.commit([Expire(Instant(NOW + DAY), 10)])
    assert result.notices == ()
    assert await texts(relay, "alice") == []


async def test_partly_delivered_envelope_is_told(relay):
    """A device that had not acknowledged by the end is reason for a notice, whatever the others did."""
    await relay.commit([envelope("alice", 1, "bob/coder", ["bob", "bob2"])])
    await relay.commit([ack("bob", 1)])
    (result,) = await relay.commit([Expire(Instant(NOW + DAY), 10)])
    assert [told for told, _, _ in result.notices] == [device("alice")]
    assert (await relay.usage([device("bob")]))[device("bob")] == usage(0, 0, 1, 1)


async def test_expiry_is_done_in_steps(relay):
    """A limit bounds how much one commit expires, the earliest first; the rest follows."""
    for n in range(1, 8):
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"], expires_at=Instant(NOW + DAY - n))])
    told = []
    while True:
        (result,) = await relay.commit([Expire(Instant(NOW + DAY), 3)])
        told += [notice.hash for _, _, notice in result.notices]
        if result.count < 3:
            break
    assert told == [sha(f"alice {n} bob/coder") for n in range(7, 0, -1)]
    assert await texts(relay, "bob") == []


async def test_sweeping_ends_and_spares_what_is_needed(relay):
    """Sweeping in small steps comes to an end, and leaves every entry that was not acknowledged readable."""
    await relay.commit([envelope("alice", n, "bob/coder", ["bob", "bob2"]) for n in range(1, 30)])
    await relay.commit([ack("bob", 29), ack("bob2", 20)])
    steps = 0
    while (await relay.commit([Sweep(4)]))[0] == Counted(4):
        steps += 1
        assert steps < 100
    assert [o for o, _ in await texts(relay, "bob2")] == list(range(21, 30))
    assert (await relay.usage([device("bob2")]))[device("bob2")].count == 9
    assert (await relay.stats()).waiting == 9


async def test_what_was_seen_is_forgotten_in_time_only(relay):
    """Purging forgets what was seen before a time, in steps; the rest is still known."""
    for n in range(1, 6):
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"], at=Instant(NOW + n))])
    await relay.commit([ack("bob", 5), Sweep(100)])
    assert await relay.commit([PurgeSeen(Instant(NOW + 4), 2)]) == (Counted(2),)
    assert await relay.commit([PurgeSeen(Instant(NOW + 4), 2)]) == (Counted(1),)
    results = await relay.commit(
        [envelope("alice", n, "bob/coder", ["bob"], text=f"other {n}") for n in (4, 5, 1)]
    )
    assert [type(result) for result in results] == [Equivocation, Equivocation, Stored]
    assert results[2].place == 6


async def test_what_was_seen_by_a_clock_that_was_ahead_keeps_nothing_behind_it(relay):
    """What comes after it is forgotten in its time, and not in years."""
    for n, at in enumerate((0, 400 * DAY, 1, 10), 1):
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"], at=Instant(NOW + at))])
    await relay.commit([ack("bob", 4), Sweep(100)])
    await relay.commit([PurgeSeen(Instant(NOW + 5), 100)])
    results = await relay.commit(
        [envelope("alice", n, "bob/coder", ["bob"], text=f"other {n}") for n in (4, 1, 3)]
    )
    assert [type(result) for result in results] == [Equivocation, Stored, Stored]


async def test_offsets_are_never_given_twice(relay):
    """After everything is acknowledged, swept and purged, the next entry still has the next offset."""
    await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in (1, 2, 3)])
    await relay.commit([ack("bob", 3), Sweep(100)])
    await relay.commit([Sweep(100), PurgeSeen(Instant(NOW + DAY), 100)])
    assert await relay.commit([envelope("alice", 4, "bob/coder", ["bob"])]) == (stored(4, ("bob", 4)),)


async def test_generation_is_renewed(relay):
    """A new generation replaces the one given at creation."""
    assert relay.generation == GENERATION
    await relay.renew_generation(Generation(b"h" * 16))
    assert relay.generation == b"h" * 16


async def test_stats_count(relay):
    """An operator's numbers are what the store holds."""
    await relay.commit([append("alice"), append("bob")])
    await relay.commit([PutConnection(connection("alice/helper", "bob/coder"))])
    await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in (1, 2)])
    await relay.commit([ack("bob", 1)])
    stats = await relay.stats()
    assert (stats.accounts, stats.connections, stats.accepted, stats.waiting) == (2, 1, 2, 1)
    assert stats.waiting_bytes == (await relay.usage([device("bob")]))[device("bob")].bytes


async def test_concurrent_commits_each_get_their_own_results(relay):
    """Commits of many tasks at once are each answered for their own changes."""
    results = {}

    async def send(n):
        results[n] = await relay.commit([envelope(f"s{n}", k, "bob/coder", ["bob"]) for k in (1, 2)])

    async with trio.open_nursery() as nursery:
        for n in range(40):
            nursery.start_soon(send, n)
    assert all([r.place for r in results[n]] == [1, 2] for n in range(40))
    given = sorted(offset for pair in results.values() for r in pair for _, offset in r.offsets)
    assert given == list(range(1, 81))


async def test_conflict_in_one_commit_spares_its_neighbours(relay):
    """Among commits made at once, one that conflicts is refused alone."""
    await relay.commit([append("alice")])
    outcomes = {}

    async def claim(n):
        try:
            await relay.commit([envelope(f"s{n}", 1, "bob/coder", ["bob"]), append("alice", held=1)])
            outcomes[n] = "stored"
        except StoreConflict as conflict:
            outcomes[n] = conflict.kind

    async def send(n):
        (result,) = await relay.commit([envelope(f"t{n}", 1, "bob/coder", ["bob"])])
        outcomes[f"t{n}"] = "stored" if isinstance(result, Stored) else result

    async with trio.open_nursery() as nursery:
        for n in range(10):
            nursery.start_soon(claim, n)
            nursery.start_soon(send, n)
    claims = [outcomes[n] for n in range(10)]
    assert sorted(claims) == [ConflictKind.LOG_MOVED] * 9 + ["stored"]
    assert all(outcomes[f"t{n}"] == "stored" for n in range(10))
    assert [o for o, _ in await texts(relay, "bob")] == list(range(1, 12))


async def test_what_was_taken_back_leaves_no_gap(relay):
    """After commits that came to nothing, places, offsets and usage go on where the last good one ended."""
    await relay.commit([append("alice"), envelope("alice", 1, "bob/coder", ["bob"])])
    for n in range(2, 5):
        with pytest.raises(StoreConflict):
            await relay.commit(
                [envelope("alice", n, "bob/coder", ["bob", "new"]), ack("bob", 1), append("alice", held=7)]
            )
    change = envelope("alice", 5, "bob/coder", ["bob", "new"])
    assert await relay.commit([change]) == (stored(2, ("bob", 2), ("new", 1)),)
    assert (await relay.usage([device("bob")]))[device("bob")].count == 2


async def test_cancelled_commit_is_whole_or_absent(relay):
    """A caller that gives up leaves either all of its changes or none, and the store goes on."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in (1, 2)])
    assert len(await texts(relay, "bob")) in {0, 2}
    await relay.commit([envelope("carol", 1, "bob/coder", ["bob"])])
    assert (await texts(relay, "bob"))[-1][1] == "carol 1 bob/coder"


async def test_closed_store_says_so(relay):
    """After closing, calls say that the store is closed; closing again is nothing."""
    await relay.aclose()
    await relay.aclose()
    with pytest.raises(StoreClosed):
        await relay.commit([PutSetting("a", b"b")])
    with pytest.raises(StoreClosed):
        await relay.usage([device("bob")])


async def test_envelope_that_one_device_has_waits_whole_for_the_other(relay):
    """Sweeping what one has acknowledged leaves the envelope, bytes and wrap, to whoever comes later."""
    change = envelope("alice", 1, "bob/coder", ["bob", "bob2"])
    await relay.commit([change])
    await relay.commit([ack("bob", 1)])
    await relay.commit([Sweep(100)])
    items = await relay.mailbox(device("bob2"), 0, 10, 1_000_000)
    assert items == (MailboxEntry(Offset(1), change.envelope, change.entries[1][1]),)


async def test_what_waits_is_known_however_old_it_is(relay):
    """Purging forgets no envelope that lies in a mailbox, so that the same one again adds nothing."""
    change = envelope("alice", 1, "bob/coder", ["bob"], at=NOW)
    await relay.commit([change])
    assert await relay.commit([PurgeSeen(Instant(NOW + 10 * DAY), 100)]) == (Counted(0),)
    assert await relay.commit([change]) == (stored_before(1),)
    assert len(await texts(relay, "bob")) == 1
