"""The owner's audit log: what is written down, that a flood cannot fill it, and that tampering is found."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager

import pytest

from taskferry_apps.daemon import audit_hours
from taskferry_apps.daemon.audit_hours import DISTINCT, audit_often, close_hour
from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.link import Route
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.audit import AuditKind, read_audit_export
from taskferry_protocol.messages import TextMessage
from taskferry_stores.memory import MemoryDaemonStore
from taskferry_stores.sqlite import open_daemon_store

from .api.house import a_lone_daemon
from .forger import forging
from .worlds import OWNER, Clock, Machine, MemoryVault, a_world, ask, connected, set_up, until


async def told(daemon: Daemon, kind: str = "") -> list[tuple[str, str, dict[str, str | int]]]:
    """Kind, subject and facts of the newest entries, oldest first."""
    page = await daemon.audit.entries(OWNER, kind, "", 200)
    return [(e.note.kind, e.note.subject, dict(e.note.facts)) for e in reversed(page.entries)]


async def kinds(daemon: Daemon) -> list[str]:
    """The kinds of the entries, oldest first."""
    return [kind for kind, _, _ in await told(daemon)]


async def test_what_the_owner_and_the_peer_do_is_written_down():
    """Set-up, agents, sign-in, request, acceptance, terms, credentials, export and end are in both logs."""
    async with a_world() as world, connected(world) as (a, b):
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(rate_per_minute=7))
        _, token = await a.create_token(OWNER, ("requester",), "a script")
        await a.revoke_token(OWNER, token.id)
        await a.export_task(OWNER, (await ask(a, "requester", "@bob/writer")).hex())
        await b.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "private reasons")

        async def ended():
            return await a.connections(OWNER, "ended", "")

        await until(ended)
        mine, theirs = await kinds(a), await kinds(b)
        assert {
            "set_up",
            "sign_in",
            "agent_changed",
            "credential_made",
            "credential_revoked",
            "export",
        } <= set(mine)
        steps = ["connection_asked", "connection_accepted", "grant", "permission_changed"]
        for log in (mine, theirs):
            assert [kind for kind in log if kind in steps or kind == "connection_revoked"] == [
                *steps,
                "connection_revoked",
            ]
        assert [subject for _, subject, _ in await told(b, "connection_asked")] == ["@alice/requester"], (
            "new here"
        )
        ((_, subject, facts),) = await told(b, "permission_changed")
        assert (subject, facts["by"], facts["rate_per_minute"]) == ("@alice/requester", "owner", 7)
        ((_, subject, facts),) = await told(a, "permission_changed")
        assert (subject, facts["by"], facts["rate_per_minute"]) == ("@bob/writer", "peer", 7)
        assert "private reasons" not in str(await told(b))
        for daemon in (a, b):
            assert (await daemon.audit.verify(OWNER, None)).broken_at is None


async def test_a_new_encryption_key_is_written_down():
    """The weekly rotation, which the daemon does by itself, is in the log."""
    async with a_world() as world, world.running(Machine("a")) as daemon:
        await set_up(daemon, "alice", "requester")
        world.clock.ahead_ms += 8 * 86_400_000
        await daemon._upkeep.round()
        ((_, subject, _),) = await told(daemon, "key_rotated")
        assert subject == "laptop"


async def test_a_refused_message_is_written_down_once_an_hour():
    """A peer that sends what it may not makes one entry, and one more when the hour is over."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("task",)))
        for _ in range(4):
            await forger.deliver(await forger.seal(TextMessage("let me in")))
        ((_, subject, facts),) = await told(bob, "refusal")
        assert (subject, facts["code"], facts["mine"]) == ("@alice/requester", "not-permitted", "writer")
        assert "let me in" not in str(await told(bob))


def nowhere(url: str) -> Route:
    """There is no relay."""
    raise AssertionError(url)


def lone_core(clock: Clock) -> Core:
    """A daemon's core without an account."""

    def entropy(size: int) -> bytes:
        return bytes(size)

    return Core(MemoryDaemonStore(), MemoryVault(), now=clock.now, entropy=entropy, jitter=lambda: 0.0)


async def test_a_flood_makes_few_entries_and_is_counted():
    """However many peers and codes there are, an hour makes few entries of a kind, and then their number."""
    clock = Clock()
    core = lone_core(clock)
    book = Daemon(core, nowhere, bytes(32), None).audit
    for number in range(200):
        draft = Draft(core)
        await audit_often(draft, AuditKind.REFUSAL, f"@eve/{number}", code="not-permitted")
        await audit_often(draft, AuditKind.REFUSAL, "@eve/0", code="not-permitted")
        await draft.commit()
    entries = (await book.entries(OWNER, "refusal", "", 200)).entries
    assert len(entries) == DISTINCT + 1
    clock.ahead_ms += audit_hours.HOUR_MS
    draft = Draft(core)
    await close_hour(draft)
    await draft.commit()
    later = (await book.entries(OWNER, "refusal", "", 200)).entries
    again = {e.note.subject: dict(e.note.facts)["again"] for e in later[: len(later) - len(entries)]}
    assert again == {"@eve/0": 200, "others": 200 - DISTINCT - 1}
    draft = Draft(core)
    await close_hour(draft)
    assert draft.changes == []


async def test_an_agent_that_asks_for_what_is_the_owners_is_written_down(lone):
    """Whatever talked it into that, the owner can see it."""
    program = await lone.token("requester")
    for _ in range(3):
        assert (await program.post("/permissions", {})).status == 403
    ((_, subject, facts),) = await told(lone.daemon, "refusal")
    assert (subject, facts["asked"], facts["code"]) == ("requester", "POST /permissions", "owner-only")


@pytest.fixture
async def lone():
    """Alice's daemon behind its API."""
    async with a_lone_daemon() as api:
        yield api


# --- Tampering


TAMPERED = {
    "changed": "UPDATE audit SET raw = CAST(substr(raw, 1, length(raw) - 1) || 'x' AS BLOB) WHERE n = 2",
    "deleted": "DELETE FROM audit WHERE n = 3",
    "reordered": "UPDATE audit SET n = 1000 WHERE n = 2; UPDATE audit SET n = 2 WHERE n = 3;"
    " UPDATE audit SET n = 3 WHERE n = 1000",
    "hidden from a list": "UPDATE audit SET kind = 'renamed' WHERE n = 2",
    "cut off": "DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)",
    "emptied": "DELETE FROM audit",
    "begun later": "UPDATE audit_chain SET base = 2,"
    " base_hash = (SELECT CAST(substr(raw, instr(raw, x'5820') + 2, 32) AS BLOB) FROM audit WHERE n = 3);"
    " DELETE FROM audit WHERE n <= 2",
}


@asynccontextmanager
async def on_disk(path):
    """A daemon whose store is a file, with some entries."""
    async with open_daemon_store(path) as store, a_world() as world:
        machine = Machine("a", store=store)
        async with world.running(machine) as daemon:
            await set_up(daemon, "alice", "requester")
            yield daemon


@pytest.mark.parametrize("how", TAMPERED)
async def test_who_changes_the_file_is_found_out(tmp_path, how):
    """Rows changed, deleted, reordered, relabelled or cut off: the log does not hold, and says where."""
    async with on_disk(tmp_path / "daemon.db") as daemon:
        assert (await daemon.audit.verify(OWNER, None)).broken_at is None
        with sqlite3.connect(tmp_path / "daemon.db") as other:
            assert other.execute("SELECT count(*) FROM audit").fetchone()[0] >= 3
            other.executescript(TAMPERED[how])
        other.close()
        verdict = await daemon.audit.verify(OWNER, None)
        assert verdict.broken_at is not None
        assert verdict.text
        with pytest.raises(DaemonRefusal) as refused:
            await daemon.audit.export(OWNER)
        assert refused.value.code == "audit-broken"


async def test_a_log_that_was_cut_off_with_care_is_found_by_an_earlier_export(tmp_path):
    """Who moves the head as well leaves a log that holds, but not one that contains what was exported."""
    path = tmp_path / "daemon.db"
    async with on_disk(path) as daemon:
        exported = read_audit_export(await daemon.audit.export(OWNER))
        head = exported.chain.head
        await daemon.create_token(OWNER, ("requester",), "later")
        assert (await daemon.audit.verify(OWNER, head)).broken_at is None
        before = exported.entries[-2].end
        with sqlite3.connect(path) as other:
            other.execute("DELETE FROM audit WHERE n > ?", (before.n,))
            other.execute("UPDATE audit_chain SET head = ?, head_hash = ?", (before.n, before.hash))
        other.close()
        assert (await daemon.audit.verify(OWNER, None)).broken_at is None
        assert (await daemon.audit.verify(OWNER, head)).broken_at == head.n
        await daemon.create_token(OWNER, ("requester",), "another entry in its place")
        assert (await daemon.audit.verify(OWNER, None)).broken_at is None
        assert (await daemon.audit.verify(OWNER, head)).broken_at == head.n
