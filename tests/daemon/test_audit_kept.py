"""What is kept of the owner's audit log: old entries go, one says so, and an export is offered before."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon.audit_hours import HOUR_MS
from taskferry_apps.daemon.audit_keeping import SOON_MS
from taskferry_apps.daemon.doctor_port import Level
from taskferry_protocol.audit import AuditKind, audit_note, read_audit_export
from taskferry_protocol.audit_cuts import CUT
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import AppendAudit
from taskferry_protocol.records.forgetting import ForgetTraffic
from taskferry_stores.sqlite import open_daemon_store

from .test_upkeep import upkeep_of
from .worlds import OWNER, Machine, a_world, set_up


async def write(daemon, count):
    """So many entries."""
    at = daemon._core.now()
    await daemon._core.commit([AppendAudit(audit_note(AuditKind.GRANT, "@bob/w", {}, at))] * count)


def keep(daemon, **bounds):
    """Set what the owner wants kept."""
    daemon._core.bounds = attrs.evolve(daemon._core.bounds, **bounds)


async def held(daemon):
    """How many entries there are, and where they begin."""
    chain = await daemon._core.store.audit_chain()
    return chain.head.n - chain.base.n, chain.base.n


async def of_audit(daemon):
    """What the doctor finds."""
    return {found.check: found for found in await daemon.doctor.examine(OWNER)}["audit log"]


@asynccontextmanager
async def a_file(path):
    """A world, and alice's daemon in it, whose store is a file."""
    async with open_daemon_store(path) as store, a_world() as world:
        machine = Machine("a", store=store)
        async with world.running(machine) as daemon:
            await set_up(daemon, "alice", "requester")
            yield world, daemon


@pytest.fixture(params=["memory", "sqlite"])
async def world(request, tmp_path):
    """The same, in memory and on a disk."""
    if request.param == "sqlite":
        async with a_file(tmp_path / "daemon.db") as made:
            yield made
        return
    async with a_world() as world, world.running(Machine("a")) as daemon:
        await set_up(daemon, "alice", "requester")
        yield world, daemon


async def test_entries_beyond_the_number_go_and_the_rest_is_verified(world):
    """An entry says which, and the log holds from there on; an export says where it begins."""
    _, daemon = world
    keep(daemon, audit_entries=CUT + 100)
    await write(daemon, CUT + 100)
    before = read_audit_export(await daemon.audit.export(OWNER))
    await upkeep_of(daemon).tidy()
    count, base = await held(daemon)
    assert (base, count <= CUT + 100) == (CUT, True)
    (entry,) = (await daemon.audit.entries(OWNER, "shortened", "", 9)).entries
    assert dict(entry.note.facts) == {
        "from": 1,
        "upto": CUT,
        "hash": before.entries[CUT - 1].end.hash.hex(),
    }
    verdict = await daemon.audit.verify(OWNER, before.chain.head)
    assert (verdict.broken_at, verdict.text) == (None, "")
    later = read_audit_export(await daemon.audit.export(OWNER))
    assert (later.chain.base.n, later.chain.base) == (CUT, before.entries[CUT - 1].end)
    await upkeep_of(daemon).tidy()
    assert (await held(daemon))[1] == CUT


async def test_entries_that_are_too_old_go_while_the_clock_is_believed(world):
    """Those alone, once a day; and by a clock that is in question nothing goes but by number."""
    at, daemon = world
    keep(daemon, audit_days=30)
    await write(daemon, 10)
    old = (await held(daemon))[0]
    at.clock.ahead_ms += 30 * DAY_MS + HOUR_MS
    await write(daemon, 1)
    await upkeep_of(daemon).tidy()
    assert (await held(daemon))[1] == 0
    at.clock.ahead_ms += DAY_MS
    await upkeep_of(daemon).keep_small()
    assert (await held(daemon))[1] == 0
    await upkeep_of(daemon).tidy()
    assert (await held(daemon))[1] == old
    assert (await daemon.audit.verify(OWNER, None)).broken_at is None
    keep(daemon, audit_entries=1)
    await upkeep_of(daemon).keep_small()
    assert (await held(daemon))[1] > old


async def test_an_export_of_what_has_all_gone_since_compares_with_nothing_and_is_said_to(world):
    """The log holds, and the owner hears that the export alone has what stood there."""
    _, daemon = world
    early = read_audit_export(await daemon.audit.export(OWNER)).chain.head
    keep(daemon, audit_entries=CUT)
    await write(daemon, 2 * CUT)
    await upkeep_of(daemon).tidy()
    verdict = await daemon.audit.verify(OWNER, early)
    assert verdict.broken_at is None
    assert "Keep the export" in verdict.text


async def test_the_doctor_asks_for_an_export_before_entries_go(world):
    """A month ahead, or when the number is nearly reached; not for what was exported."""
    at, daemon = world
    assert (await of_audit(daemon)).level is Level.OK
    keep(daemon, audit_days=60)
    at.clock.ahead_ms += 60 * DAY_MS - SOON_MS + 2 * DAY_MS
    found = await of_audit(daemon)
    assert (found.level, "taskferry audit export" in found.remedy) == (Level.WARN, True)
    assert "within 30 days" in found.text
    await daemon.audit.export(OWNER)
    assert (await of_audit(daemon)).level is Level.OK
    keep(daemon, audit_days=10_000, audit_entries=2 * CUT)
    await write(daemon, CUT)
    assert "once there are a few more" in (await of_audit(daemon)).text
    await daemon.audit.export(OWNER)
    assert (await of_audit(daemon)).level is Level.OK


async def test_what_was_cut_off_without_a_word_is_found_out(tmp_path):
    """Somebody moves the beginning by hand after a cut of the daemon's own."""
    path = tmp_path / "daemon.db"
    async with a_file(path) as (_, daemon):
        keep(daemon, audit_entries=CUT)
        await write(daemon, CUT)
        await upkeep_of(daemon).tidy()
        assert (await daemon.audit.verify(OWNER, None)).broken_at is None
        first = read_audit_export(await daemon.audit.export(OWNER)).entries[0].end
        with sqlite3.connect(path) as other:
            other.execute("DELETE FROM audit WHERE n <= ?", (first.n,))
            other.execute("UPDATE audit_chain SET base = ?, base_hash = ?", (first.n, first.hash))
        other.close()
        verdict = await daemon.audit.verify(OWNER, None)
        assert verdict.broken_at is not None
        assert "no entry says" in verdict.text


async def test_counts_of_traffic_end_after_their_time(world):
    """In the round, at a whole hour; the messages themselves stay."""
    at, daemon = world
    seen: list[ForgetTraffic] = []
    commit = daemon._core.commit

    async def told(changes, logs=()):
        seen.extend(change for change in changes if isinstance(change, ForgetTraffic))
        return await commit(changes, logs)

    daemon._core.commit = told
    await upkeep_of(daemon).tidy()
    (change,) = seen
    due = Instant(at.clock.now() - daemon._core.bounds.traffic_days * DAY_MS)
    assert change.before % HOUR_MS == 0
    assert 0 <= due - change.before < HOUR_MS + 60_000
