"""A guest in a relay's file while the relay has it open."""

from __future__ import annotations

import sqlite3

import pytest
import trio

from taskferry_protocol.records import Done, PutTicket
from taskferry_stores.errors import StoreUnavailable, WrongStore
from taskferry_stores.port import StoreLocked
from taskferry_stores.sqlite import open_daemon_store, open_relay_store, open_relay_store_beside

from .samples import GENERATION, account, ack, append, device, envelope, sha, stored
from .test_every_sign_up import redeem, ticket


async def test_both_see_what_the_other_commits(tmp_path):
    """The guest's ticket brings an account in at the holder, and the guest sees that it was used."""
    path = tmp_path / "relay.db"
    async with open_relay_store(path, generation=GENERATION) as holder:
        with pytest.raises(StoreLocked):
            async with open_relay_store(path, generation=GENERATION):
                pass
        async with open_relay_store_beside(path) as guest:
            assert guest.generation == GENERATION
            await guest.commit([PutTicket(ticket("one"))])
            await holder.commit(redeem("one", "alice"))
            used = await guest.ticket(sha("one"))
            assert used is not None
            assert used.account == account("alice")
        await holder.commit([append("bob")])
    async with open_relay_store(path, generation=GENERATION) as again:
        assert await again.ticket(sha("one")) == used
        assert len(await again.accounts([account("alice"), account("bob")])) == 2


async def test_both_write_at_once(tmp_path):
    """Neither loses a commit to the other, and neither fails."""
    path = tmp_path / "relay.db"
    async with (
        open_relay_store(path, generation=GENERATION) as holder,
        open_relay_store_beside(path) as guest,
        trio.open_nursery() as nursery,
    ):

        async def write(store, who):
            for n in range(50):
                assert await store.commit([PutTicket(ticket(f"{who}{n}"))]) == (Done(),)

        nursery.start_soon(write, holder, "holder")
        nursery.start_soon(write, guest, "guest")
    async with open_relay_store(path, generation=GENERATION) as again:
        assert len(await again.tickets(None, 1_000)) == 100


async def test_counters_that_another_process_moved_are_read_anew(tmp_path):
    """Two that take envelopes in turns give no place and no offset twice, whatever either has held."""
    path = tmp_path / "relay.db"
    async with (
        open_relay_store(path, generation=GENERATION) as holder,
        open_relay_store_beside(path) as guest,
    ):
        for n in range(1, 9):
            store = (holder, guest)[n % 2]
            (result,) = await store.commit([envelope("alice", n, "bob/coder", ["bob"])])
            assert result == stored(n, ("bob", n))
        await guest.commit([ack("bob", 6)])
        await holder.commit([envelope("alice", 9, "bob/coder", ["bob"])])
        usage = (await guest.usage([device("bob")]))[device("bob")]
        assert (usage.count, usage.acked) == (3, 6)


async def test_a_guest_changes_no_file_that_it_does_not_know(tmp_path):
    """Another kind of store, another version, and no file at all are refused, and stay as they are."""
    async with open_daemon_store(tmp_path / "daemon.db"):
        with pytest.raises(WrongStore):
            async with open_relay_store_beside(tmp_path / "daemon.db"):
                pass
    with pytest.raises(StoreUnavailable):
        async with open_relay_store_beside(tmp_path / "missing.db"):
            pass
    assert not (tmp_path / "missing.db").exists()
    async with open_relay_store(tmp_path / "relay.db", generation=GENERATION):
        pass
    other = sqlite3.connect(tmp_path / "relay.db")
    other.execute("PRAGMA user_version = 1")
    other.close()
    with pytest.raises(StoreUnavailable, match="another version"):
        async with open_relay_store_beside(tmp_path / "relay.db"):
            pass
