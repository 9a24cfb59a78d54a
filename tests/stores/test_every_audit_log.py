"""What every store promises about its audit log: it only grows, and each entry names the one before."""

import pytest

from taskferry_protocol.audit import CHAIN_START, AuditChain, ChainCheck, audit_note, chained, read_entry
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import AppendAudit, Order, Place, Placed, SetTrust, Trust
from taskferry_stores.errors import StoreConflict

from .conftest import DAEMONS
from .samples import NOW, account


def note(number, kind="grant"):
    """Something to write down."""
    return audit_note(kind, f"subject {number}", {"number": number, "text": "x"}, Instant(NOW + number))


async def write(store, *notes):
    """Append notes in one commit."""
    return await store.commit([AppendAudit(note) for note in notes])


async def test_an_empty_log_begins_and_ends_at_the_start(daemon):
    """Nothing is written down, and the chain says so."""
    assert await daemon.audit_chain() == AuditChain(CHAIN_START, CHAIN_START)
    assert (await daemon.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items == ()


async def test_each_entry_names_the_one_before_it(daemon):
    """Numbers rise by one across commits, and the chain holds from the first entry to the head."""
    assert await write(daemon, note(1), note(2)) == (Placed(Place(1)), Placed(Place(2)))
    assert await write(daemon, note(3)) == (Placed(Place(3)),)
    rows = (await daemon.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items
    chain = await daemon.audit_chain()
    check = ChainCheck(chain.base)
    assert [check.take(row.raw, row.kind, row.place).note for row in rows] == [note(1), note(2), note(3)]
    check.finish(chain.head)
    assert chain.head.n == 3


async def test_entries_are_found_by_kind_and_page_in_both_orders(daemon):
    """A page of one kind goes on after its cursor, newest or oldest first."""
    await write(daemon, *(note(n, "grant" if n % 2 else "refusal") for n in range(1, 8)))
    first = await daemon.audit_rows("grant", None, 2, Order.NEWEST_FIRST)
    assert [row.place for row in first.items] == [7, 5]
    second = await daemon.audit_rows("grant", first.next, 2, Order.NEWEST_FIRST)
    assert ([row.place for row in second.items], second.next) == ([3, 1], None)
    oldest = await daemon.audit_rows(None, None, 3, Order.OLDEST_FIRST)
    assert ([row.place for row in oldest.items], oldest.next) == ([1, 2, 3], 3)
    assert read_entry(oldest.items[0].raw).note == note(1)


async def test_a_commit_that_fails_writes_nothing_down(daemon):
    """The entry goes with the change that it tells of: no other entry names it afterwards."""
    await write(daemon, note(1))
    before = await daemon.audit_chain()
    with pytest.raises(StoreConflict):
        await daemon.commit([AppendAudit(note(2)), SetTrust(account("nobody"), Trust.VERIFIED, NOW)])
    assert await daemon.audit_chain() == before
    assert await write(daemon, note(3)) == (Placed(Place(2)),)
    rows = (await daemon.audit_rows(None, None, 10, Order.OLDEST_FIRST)).items
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
