"""What every store promises about its audit log: it only grows, and each entry names the one before."""

import pytest

from taskferry_protocol.audit import CHAIN_START, AuditChain, ChainCheck, audit_note, chained, read_entry
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import AppendAudit, Counted, HoldAccount, Order, Place, Placed, PruneAudit
from taskferry_stores.errors import StoreConflict

from .conftest import DAEMONS, RELAYS
from .samples import NOW, account

STORES = {("relay", name): RELAYS[name] for name in RELAYS} | {
    ("daemon", name): DAEMONS[name] for name in DAEMONS
}


@pytest.fixture(params=sorted(STORES), ids="-".join)
async def store(request, tmp_path):
    """Both kinds of store, of every adapter."""
    async with STORES[request.param](tmp_path) as store:
        yield store


def note(number, kind="grant"):
    """Something to write down."""
    return audit_note(kind, f"subject {number}", {"number": number, "text": "x"}, Instant(NOW + number))


async def write(store, *notes):
    """Append notes in one commit."""
    return await store.commit([AppendAudit(note) for note in notes])


async def test_an_empty_log_begins_and_ends_at_the_start(store):
    """Nothing is written down, and the chain says so."""
    assert await store.audit_chain() == AuditChain(CHAIN_START, CHAIN_START)
    assert (await store.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items == ()


async def test_each_entry_names_the_one_before_it(store):
    """Numbers rise by one across commits, and the chain holds from the first entry to the head."""
    assert await write(store, note(1), note(2)) == (Placed(Place(1)), Placed(Place(2)))
    assert await write(store, note(3)) == (Placed(Place(3)),)
    rows = (await store.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items
    chain = await store.audit_chain()
    check = ChainCheck(chain.base)
    assert [check.take(row.raw, row.kind, row.place).note for row in rows] == [note(1), note(2), note(3)]
    check.finish(chain.head)
    assert chain.head.n == 3


async def test_entries_are_found_by_kind_and_page_in_both_orders(store):
    """A page of one kind goes on after its cursor, newest or oldest first."""
    await write(store, *(note(n, "grant" if n % 2 else "refusal") for n in range(1, 8)))
    first = await store.audit_rows("grant", None, 2, Order.NEWEST_FIRST)
    assert [row.place for row in first.items] == [7, 5]
    second = await store.audit_rows("grant", first.next, 2, Order.NEWEST_FIRST)
    assert ([row.place for row in second.items], second.next) == ([3, 1], None)
    oldest = await store.audit_rows(None, None, 3, Order.OLDEST_FIRST)
    assert ([row.place for row in oldest.items], oldest.next) == ([1, 2, 3], 3)
    assert read_entry(oldest.items[0].raw).note == note(1)


async def test_a_commit_that_fails_writes_nothing_down(store):
    """The entry goes with the change that it tells of: no other entry names it afterwards."""
    await write(store, note(1))
    before = await store.audit_chain()
    with pytest.raises(StoreConflict):
        await store.commit([AppendAudit(note(2)), HoldAccount(account("nobody"), "x")])
    assert await store.audit_chain() == before
    assert await write(store, note(3)) == (Placed(Place(2)),)
    rows = (await store.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items
    assert rows[1].raw == chained(note(3), before.head).raw


async def test_a_log_goes_on_after_it_was_opened_again(tmp_path):
    """The next entry names the last one of before."""
    async with DAEMONS["sqlite"](tmp_path) as store:
        await write(store, note(1), note(2))
        head = (await store.audit_chain()).head
    async with DAEMONS["sqlite"](tmp_path) as store:
        assert (await store.audit_chain()).head == head
        await write(store, note(3))
        (row,) = (await store.audit_rows(None, 2, 10, Order.OLDEST_FIRST)).items
        assert row.raw == chained(note(3), head).raw


async def test_what_is_too_old_or_too_much_is_taken_away_and_the_rest_still_holds(store):
    """The log begins after the last entry that was pruned, and its chain holds from there."""
    await write(store, *(note(n) for n in range(1, 11)))
    before = await store.audit_chain()
    assert await store.commit([PruneAudit(Instant(NOW + 3), 100, 50)]) == (Counted(2),)
    assert await store.commit([PruneAudit(Instant(0), 5, 2)]) == (Counted(2),)
    assert await store.commit([PruneAudit(Instant(0), 5, 50)]) == (Counted(1),)
    assert await store.commit([PruneAudit(Instant(0), 5, 50)]) == (Counted(0),)
    chain = await store.audit_chain()
    assert (chain.base.n, chain.head) == (5, before.head)
    rows = (await store.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items
    check = ChainCheck(chain.base)
    assert [check.take(row.raw, row.kind, row.place).n for row in rows] == [6, 7, 8, 9, 10]
    check.finish(chain.head)
    assert await store.commit([PruneAudit(Instant(NOW + 99), 0, 50)]) == (Counted(5),)
    assert (await write(store, note(11)), (await store.audit_chain()).base.n) == ((Placed(Place(11)),), 10)
