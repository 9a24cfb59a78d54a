"""The owner dismisses alarms that were looked into, and never one that was not."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.alarms import OTHER_HISTORY, PUT_OUT, RUNS_TWICE, raise_alarm
from taskferry_apps.daemon.bounds import BOUNDS
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.identity_changes import What, mark_changed, other_history
from taskferry_apps.daemon.port import Caller, DaemonRefusal
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import AccountId
from taskferry_protocol.records import PutSetting
from taskferry_stores.sqlite import open_daemon_store
from tests.daemon.api.house import a_lone_daemon

from .worlds import OWNER, Machine, a_world, connected, set_up

FULL = "The quarantine is full."


async def alarm(daemon, text, at=None):
    """Raise one, now or at the time of another."""
    async with daemon._core.lock:
        draft = Draft(daemon._core)
        draft.now = at or draft.now
        await raise_alarm(draft, text)
        await draft.commit()


async def refused(code, call):
    """A call that is refused with a code."""
    with pytest.raises(DaemonRefusal) as caught:
        await call
    assert caught.value.code == code
    assert caught.value.next_step


async def test_an_alarm_that_was_dismissed_stands_no_longer_and_outlives_a_restart(tmp_path):
    """Here, in the status, and after a start; the others stand as they did, and the log keeps both words."""
    async with a_world() as world, open_daemon_store(tmp_path / "daemon.db") as store:
        machine = Machine("alice", store=store)
        async with world.running(machine) as a:
            await set_up(a, "alice", "requester")
            await alarm(a, FULL)
            await alarm(a, OTHER_HISTORY)
            first, second = await a.alarms.alarms(OWNER)
            assert (first.text, first.times) == (FULL, 1)
            assert first.at is not None
            assert 0 <= a._core.now() - first.at < 60_000
            assert (await a.alarms.dismiss(OWNER, first.id.hex()[:8])).text == FULL
            assert await a.alarms.alarms(OWNER) == (second,)
            assert (await a.status()).alarms == (OTHER_HISTORY,)
            page = await a.audit.entries(OWNER, AuditKind.ALARM.value, "", 10)
            said = [dict(one.note.facts) for one in page.entries if one.note.subject == FULL]
            assert said == [{"dismissed": "yes"}, {}]
        async with world.running(machine) as a:
            assert (await a.status()).alarms == (OTHER_HISTORY,)
            await refused("not-found", a.alarms.dismiss(OWNER, first.id.hex()))


async def test_an_alarm_that_is_raised_again_stands_again():
    """A dismissal is about what was, and keeps nothing quiet that comes."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        await alarm(a, FULL)
        (seen,) = await a.alarms.alarms(OWNER)
        await a.alarms.dismiss(OWNER, seen.id.hex())
        world.clock.ahead_ms += 1_000
        await alarm(a, FULL)
        await refused("not-found", a.alarms.dismiss(OWNER, seen.id.hex()))
        assert (await a.status()).alarms == (FULL,)


async def test_of_many_alarms_the_newest_stand():
    """A peer that finds one after another to raise makes nothing grow."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        texts = [f"Alarm {number}." for number in range(BOUNDS.alarms + 2)]
        for text in texts:
            await alarm(a, text)
        found = await a.alarms.alarms(OWNER)
        assert [one.text for one in found] == texts[2:]
        assert all(one.at is not None for one in found)


async def test_what_was_raised_again_since_the_owner_looked_is_not_dismissed():
    """Its id names all that was raised so far, within one millisecond, too."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        await alarm(a, FULL)
        (seen,) = await a.alarms.alarms(OWNER)
        await alarm(a, FULL, seen.at)
        await refused("not-found", a.alarms.dismiss(OWNER, seen.id.hex()))
        (now,) = await a.alarms.alarms(OWNER)
        assert (now.text, now.times) == (FULL, 2)
        await a.alarms.dismiss(OWNER, now.id.hex())
        assert await a.alarms.alarms(OWNER) == ()


async def test_an_alarm_whose_cause_goes_on_is_not_dismissed():
    """What is said once, when it begins, would be hidden while it lasts."""
    async with a_world() as world, connected(world) as (a, b):
        bob = AccountId((await b.account(OWNER)).account)
        async with a._core.lock:
            draft = Draft(a._core)
            await mark_changed(draft, bob, "bob", What.OTHER_HISTORY)
            await raise_alarm(draft, other_history("bob"))
            await draft.commit()
        await alarm(a, PUT_OUT)
        a._core.suspended = RUNS_TWICE
        await alarm(a, RUNS_TWICE)
        await alarm(a, other_history("carol"))
        found = await a.alarms.alarms(OWNER)
        assert [bool(one.until) for one in found] == [True, True, True, False]
        assert "taskferry peer show @bob" in found[0].until
        for one in found[:3]:
            await refused("conflict", a.alarms.dismiss(OWNER, one.id.hex()))
        a._core.suspended = ""
        await a.alarms.dismiss(OWNER, found[2].id.hex())


async def test_an_alarm_of_before_is_dismissed_likewise():
    """One that stood before it was kept when alarms are raised has no time, and an id."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        await a._core.store.commit([PutSetting("alarms", b'["Old."]')])
        (old,) = await a.alarms.alarms(OWNER)
        assert (old.text, old.at, old.times) == ("Old.", None, 1)
        await a.alarms.dismiss(OWNER, old.id.hex())
        assert (await a.status()).alarms == ()


async def test_no_agent_sees_or_dismisses_an_alarm():
    """They are the owner's."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        await alarm(a, FULL)
        (one,) = await a.alarms.alarms(OWNER)
        agent = Caller(frozenset({"requester"}))
        await refused("owner-only", a.alarms.alarms(agent))
        await refused("owner-only", a.alarms.dismiss(agent, one.id.hex()))


async def test_programs_of_the_owner_list_and_dismiss_alarms():
    """By the local API, which answers as its document says."""
    async with a_lone_daemon() as api:
        await alarm(api.daemon, FULL)
        (one,) = (await api.ok("GET", "/alarms"))["alarms"]
        assert (one["text"], one["times"], one["until"]) == (FULL, 1, "")
        assert one["raised_at"].endswith("Z")
        gone = await api.ok("POST", "/alarms/dismiss", {"id": one["id"][:8]})
        assert gone == {"ok": True, "alarm": one}
        assert await api.ok("GET", "/alarms") == {"alarms": []}
        assert (await api.post("/alarms/dismiss", {"id": one["id"]})).status == 404
