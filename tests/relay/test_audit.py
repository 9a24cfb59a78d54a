"""The operator's log: who came and what was refused, bounded whatever strangers do; and no payload in it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps import system
from taskferry_apps.relay import audit
from taskferry_apps.relay.audit import DISTINCT, WAITING, RelayAudit
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.entrance import SignUp
from taskferry_apps.relay.operator import TicketOffice
from taskferry_apps.relay_client import LinkEnded
from taskferry_protocol.accounts import (
    DeviceKeys,
    add_device,
    consent_to_stand,
    rename,
    revoke_device,
    whole,
)
from taskferry_protocol.audit import RelayAuditKind, follow, read_entry
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.records import Order
from taskferry_protocol.sessions import LogExtension
from taskferry_stores.errors import StoreFull

from ..daemon.worlds import Clock
from .conftest import ORIGIN, PausedStore, serving
from .people import Person, person


async def entries(store) -> list[tuple[str, str, dict[str, object]]]:
    """Kind, subject and facts, oldest first; the chain holds."""
    page = await store.audit_rows(None, None, 10_000, Order.OLDEST_FIRST)
    chain = await store.audit_chain()
    assert list(follow(chain, [(row.raw, row.kind, row.place) for row in page.items]))
    notes = [read_entry(row.raw).note for row in page.items]
    return [(note.kind, note.subject, dict(note.facts)) for note in notes]


async def test_accounts_sign_ins_and_refusals_are_written_down():
    """Who joined and signed in, and with what code a session was refused."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world:
        async with world.open(world.alice), world.open(world.bob):
            pass
        stranger = person("bob", 9, world.now)
        with pytest.raises((LinkEnded, BaseExceptionGroup)):
            async with world.open(stranger):
                pass
        await world.relay.audit.flush()
        found = await entries(store)
        kinds = [(kind, subject) for kind, subject, _ in found]
        assert ("account_taken", "@alice") in kinds
        assert ("sign_in", "@bob") in kinds
        (refusal,) = [facts for kind, _, facts in found if kind == "refusal"]
        assert refusal["code"] == "name-taken"


async def test_a_new_name_is_written_down_with_the_statements_that_claim_it():
    """In one commit with them: a log that was taken is never missing from the operator's."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world:
        alice: Person = world.alice
        async with world.open(alice):
            pass
        manage = alice.keys.manage
        assert manage is not None
        more = rename(alice.log.state, "alicia", at=world.now, by=manage)
        async with world.open(alice, log=LogExtension(alice.log.state.length, (more,))):
            pass
        assert ("name_claimed", "@alicia") in [(kind, subject) for kind, subject, _ in await entries(store)]


async def test_strangers_cannot_fill_the_log():
    """An hour has so many entries of a kind, and then their number; a full disk keeps a bounded rest."""
    store, clock = PausedStore(), Clock()
    log = RelayAudit(store, clock.now)
    for number in range(3 * DISTINCT):
        log.count(RelayAuditKind.REFUSAL, "session", code="bad-auth", address=f"2001:db8::{number:x}")
    await log.flush()
    assert len(await entries(store)) == DISTINCT + 1
    clock.ahead_ms += audit.HOUR_MS
    await log.flush()
    last = (await entries(store))[-1]
    assert last == ("refusal", "others", {"again": 2 * DISTINCT - 1})
    store.fault = StoreFull("no room")
    for number in range(2 * WAITING):
        log.note(RelayAuditKind.STARTED, str(number))
    await log.flush()
    store.fault = None
    await log.flush()
    assert len(await entries(store)) == DISTINCT + 2 + WAITING


async def test_one_account_does_not_drive_others_out_of_the_log():
    """Its devices' sign-ins and its statements have so many entries an hour, and then their number."""
    store, clock = PausedStore(), Clock()
    log = RelayAudit(store, clock.now)
    mallory, alice = (person(name, n, clock.now()).log for n, name in enumerate(("mallory", "alice"), 1))
    for number in range(4 * DISTINCT):
        log.signed_in(mallory, DeviceId(number.to_bytes(32, "big")))
    log.signed_in(alice, DeviceId(b"a" * 32))
    await log.flush()
    signed_in = [subject for kind, subject, _ in await entries(store) if kind == "sign_in"]
    assert signed_in.count("@mallory") == audit.SIGN_INS_OF_ONE
    assert signed_in.count("@alice") == 1

    owner = person("trudy", 3, clock.now())
    grown = owner.log
    for _ in range(audit.CHANGES_OF_ONE + 20):
        keys = DeviceKeys.generate("phone", owner.entropy)
        consent = consent_to_stand(keys, grown.state.account, grown.state.length)
        added = add_device(grown.state, keys.record, consent, at=clock.now(), by=owner.manage)
        grown = grown.extend([added])
        grown = grown.extend([revoke_device(grown.state, keys.id, "", at=clock.now(), by=owner.manage)])
    for _ in range(3):
        await store.commit(whole(log.taken(grown, 2, "trudy")))
    await log.flush()
    changed = [kind for kind, subject, _ in await entries(store) if subject == "@trudy"]
    assert len(changed) == audit.CHANGES_OF_ONE + 2
    clock.ahead_ms += audit.HOUR_MS
    await log.flush()
    again = [int(str(facts["again"])) for _, subject, facts in await entries(store) if "again" in facts]
    assert sum(again) > 3 * 2 * 80 - len(changed)


async def test_what_is_old_is_taken_away_and_the_rest_holds(monkeypatch):
    """The log keeps so many entries, and its chain holds from where it begins then."""
    monkeypatch.setattr(audit, "KEPT", 10)
    store, clock = PausedStore(), Clock()
    log = RelayAudit(store, clock.now)
    for number in range(30):
        log.note(RelayAuditKind.STARTED, str(number))
    await log.flush()
    clock.ahead_ms += audit.HOUR_MS
    await log.flush()
    assert [subject for _, subject, _ in await entries(store)] == [str(n) for n in range(20, 30)]


async def test_a_clock_that_was_ahead_puts_off_no_pruning(monkeypatch):
    """It was to come again in a year; an hour after the last time by the right clock it does."""
    monkeypatch.setattr(audit, "KEPT", 10)
    store, clock = PausedStore(), Clock(ahead_ms=400 * 24 * audit.HOUR_MS)
    log = RelayAudit(store, clock.now)
    await log.flush()
    clock.ahead_ms = 0
    for number in range(30):
        log.note(RelayAuditKind.STARTED, str(number))
    await log.flush()
    clock.ahead_ms += audit.HOUR_MS
    await log.flush()
    assert [subject for _, subject, _ in await entries(store)] == [str(n) for n in range(20, 30)]


async def test_a_ticket_is_written_down_from_making_to_use():
    """Who made it and which account it brought in; never the ticket."""
    store = PausedStore()
    office = TicketOffice(store, system.now, system.entropy)
    ticket = (await office.create("alice", "for the lead", 60_000)).ticket
    spare = await office.create("", "", 60_000)
    assert await office.revoke(spare.record.digest.hex()) is not None
    async with serving(store, Policy([ORIGIN], sign_up=SignUp.TICKET)) as world:
        async with world.open(world.alice, ticket=ticket):
            pass
        found = [(kind, subject) for kind, subject, _ in await entries(store) if kind.startswith("ticket")]
    assert found == [
        ("ticket_made", "@alice"),
        ("ticket_made", "any name"),
        ("ticket_revoked", "any name"),
        ("ticket_used", "@alice"),
    ]
    rows = await store.audit_rows(None, None, 100, Order.OLDEST_FIRST)
    assert not any(ticket.encode() in row.raw for row in rows.items)


async def test_a_stop_while_the_log_is_being_written_writes_each_entry_once():
    """Whoever writes down what is left waits for what is on its way; nothing that came meanwhile is lost."""
    store = PausedStore()
    log = RelayAudit(store, Clock().now)
    store.gate = trio.Event()
    log.note(RelayAuditKind.STARTED, "first")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.flush)
        await wait_all_tasks_blocked()
        log.note(RelayAuditKind.STARTED, "second")
        nursery.start_soon(log.flush)
        await wait_all_tasks_blocked()
        log.note(RelayAuditKind.STARTED, "third")
        store.gate.set()
    await log.flush()
    assert [subject for _, subject, _ in await entries(store)] == ["first", "second", "third"]
