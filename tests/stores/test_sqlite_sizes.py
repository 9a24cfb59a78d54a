"""How large the files become over a long life: what is deleted makes room, and the log beside begins anew."""

import sqlite3

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import ConnectionState as State
from taskferry_protocol.records import PurgeSeen, SaveConnection, Sweep
from taskferry_protocol.records.forgetting import ForgetAccount, ForgetRequest
from taskferry_stores.sqlite import engine, files, log_length, open_daemon_store, open_relay_store

from .samples import DAY, GENERATION, NOW, account, ack, append, envelope, peer_connection, store
from .test_every_daemon_search import said

ROUND = 100


async def fetched(relay, first):
    """Mail comes, is fetched, and is forgotten."""
    for n in range(first, first + ROUND, 20):
        some = range(n, n + 20)
        await relay.commit([envelope("alice", n, "bob/x", ["bob"], text=f"{n}" + "x" * 5_000) for n in some])
    await relay.commit([ack("bob", first + ROUND)])
    for change in (Sweep(ROUND), PurgeSeen(Instant(NOW + DAY), ROUND)):
        while (await relay.commit([change]))[0].count:
            continue


async def test_a_relay_that_is_used_for_years_is_no_larger_than_its_busiest_day(tmp_path, monkeypatch):
    """The room of what was fetched and forgotten is used again, round after round."""
    monkeypatch.setattr(log_length, "CHECKPOINT_BYTES", 200_000)
    path = tmp_path / "relay.db"
    async with open_relay_store(path, generation=GENERATION) as relay:
        sizes = []
        for n in range(4):
            await fetched(relay, 1 + n * ROUND)
            sizes.append(path.stat().st_size)
    assert sizes[0] > 1_000_000
    assert sizes[-1] < 1.5 * sizes[0]


async def strangers(daemon, first):
    """Strangers ask in vain, with notes of a hundred words, and are forgotten."""
    come, go = [], []
    for n in range(first, first + ROUND):
        record = peer_connection("alice/helper", f"s{n}/x", n=n, state=State.EXPIRED)
        words = " ".join(f"w{n}x{k}" for k in range(100))
        note = said(f"note {n}", words, cls="connection", peer=record.peer, stored_at=NOW)
        come += [append(f"s{n}", 100), SaveConnection(record), store(note)]
        go += [ForgetRequest(record.request), ForgetAccount(account(f"s{n}"), ())]
    for changes in (come, go):
        for at in range(0, len(changes), 60):
            await daemon.commit(changes[at : at + 60])


async def test_strangers_who_were_forgotten_leave_hardly_anything_in_a_daemons_file(tmp_path, monkeypatch):
    """Nor do their words in the index: of each remains the number of what was last sent there."""
    monkeypatch.setattr(log_length, "CHECKPOINT_BYTES", 200_000)
    path = tmp_path / "daemon.db"
    async with open_daemon_store(path) as daemon:
        sizes = []
        for n in range(4):
            await strangers(daemon, n * ROUND)
            sizes.append(path.stat().st_size)
    assert sizes[0] > 500_000
    assert sizes[-1] < 1.5 * sizes[0]
    with sqlite3.connect(path) as held:
        assert held.execute("SELECT count(*) FROM statements").fetchone() == (0,)
        assert held.execute("SELECT count(*) FROM search WHERE search MATCH 'w7x7'").fetchone() == (0,)
        assert held.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    held.close()


async def test_a_program_that_never_stops_reading_stops_nothing_and_leaves_no_long_log(tmp_path, monkeypatch):
    """Meanwhile the log grows by what is written; once it is gone, the log begins anew and is cut."""
    monkeypatch.setattr(log_length, "CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr(engine, "LONGEST_LOG_FRAMES", 100)
    monkeypatch.setattr(files, "WAL_KEPT_BYTES", 300_000)
    monkeypatch.setattr(files, "READERS_MS", 1)
    path = tmp_path / "relay.db"
    log = tmp_path / "relay.db-wal"
    async with open_relay_store(path, generation=GENERATION) as relay:
        await fetched(relay, 1)
        before = log.stat().st_size
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM seen").fetchone() == (0,)
        await fetched(relay, 1 + ROUND)
        assert log.stat().st_size > 1_500_000
        assert reader.execute("SELECT count(*) FROM seen").fetchone() == (0,)
        reader.close()
        await fetched(relay, 1 + 2 * ROUND)
        assert log.stat().st_size <= 2 * max(before, 300_000)
