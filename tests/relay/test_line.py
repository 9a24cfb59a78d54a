"""Mail to many devices makes no commit long, and keeps nobody's mail from the next one."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from taskferry_apps.relay import engine as engine_module
from taskferry_apps.relay import line as line_module
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.jobs import Job
from taskferry_apps.relay.line import Line
from taskferry_apps.relay.senders import Senders
from taskferry_protocol.accounts import DeviceKeys, add_device, consent_to_stand, set_agent
from taskferry_protocol.cbor import Value, decode
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import ContactState, Flow, RecordContact, StoreEnvelope

from .conftest import ORIGIN, serving
from .people import Person, connect, person, seal
from .test_limits import BusyStore, Handing

NOON = Instant(1_700_000_000_000)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "MOST", 20)
    monkeypatch.setattr(line_module, "SHARE", 4)


def job(account: int, entries: int, *, contact: bool = False) -> Job:
    """A job of an account's that comes to so many entries."""
    owner = AccountId(bytes([account]) * 32)
    made = Job(Handing(owner, DeviceId(owner)), 0, [None])
    to = AgentRef(owner, "a")
    wraps = tuple((DeviceId(bytes([n]) * 32), b"") for n in range(entries))
    change = StoreEnvelope(
        DeviceId(owner), MessageId(bytes(16)), to, 1, Hash(bytes(32)), NOON, NOON, NOON, b"", wraps
    )
    made.stores.append((0, change))
    if contact:
        made.contacts.append(RecordContact(Flow(to, to), ContactState()))
    return made


def line_of(*jobs: Job) -> Line:
    """A line with these jobs in it."""
    line = Line()
    for one in jobs:
        line.add(one)
    return line


def test_what_fits_into_a_commit_goes_with_it_in_order() -> None:
    """Everything, as it came."""
    jobs = [job(1, 8), job(2, 8), job(1, 4)]
    line = line_of(*jobs)
    assert line.take() == jobs
    assert (len(line), line.entries, line.take()) == (0, 0, [])


def test_each_account_has_a_little_before_any_has_more() -> None:
    """Whoever has one letter goes with the next commit, behind whatever crowd it stands."""
    crowd = [job(n, 16) for n in range(1, 9)]
    letter = job(99, 1)
    line = line_of(*crowd, letter)
    assert line.take() == [crowd[0], letter]
    assert line.entries == 7 * 16
    assert line.take() == [crowd[1]]


def test_the_first_in_line_goes_whatever_others_bring() -> None:
    """Many with little never keep a large one waiting for ever."""
    large = job(1, 30)
    line = line_of(*[job(n, 4) for n in range(2, 8)], large)
    taken = line.take()
    assert large not in taken
    for n in range(2, 12):
        line.add(job(n, 4))
    found = 0
    while large not in taken:
        taken = line.take()
        found += 1
    assert found <= 2


def test_an_accounts_mail_keeps_its_order_and_so_do_contacts() -> None:
    """No job goes before an earlier one of the same account; no contact before an earlier contact."""
    jobs = [job(1, 16), job(2, 16, contact=True), job(2, 1), job(3, 1, contact=True), job(4, 1)]
    line = line_of(*jobs)
    assert line.take() == [jobs[0], jobs[4]]
    assert line.take() == [jobs[1], jobs[2], jobs[3]]


# --- at a relay


def with_devices(owner: Person, count: int, now: Instant) -> Person:
    """The owner with so many devices in all, each of which serves the agent."""
    ids = [owner.keys.id]
    log = owner.log
    for _ in range(count - 1):
        keys = DeviceKeys.generate("phone", owner.entropy)
        consent = consent_to_stand(keys, log.state.account, log.state.length)
        log = log.extend([add_device(log.state, keys.record, consent, at=now, by=owner.manage)])
        ids.append(keys.id)
    log = log.extend([set_agent(log.state, "agent", sorted(ids), at=now, by=owner.manage)])
    return attrs.evolve(owner, log=log)


async def test_a_commit_has_so_many_entries_and_others_have_their_turn_while_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four accounts send to ten devices each while the disk is busy; an honest letter goes at once."""
    monkeypatch.setattr(engine_module, "TOLD_AT_ONCE", 10)
    store = BusyStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        many = with_devices(person("many", 9, world.now), 10, world.now)
        senders = [person(f"owner{n}", 20 + n, world.now) for n in range(4)]
        async with world.open(many):
            for sender in senders:
                async with world.open(sender) as client:
                    await client.call(connect(sender, many, world.now))
        take_in = world.relay._engine.take
        letter = decode(seal(world.alice, world.bob, "hello", world.now).parcel)
        honest = Handing(world.alice.log.account, world.alice.identity.device)
        handing = [Handing(sender.log.account, sender.identity.device) for sender in senders]
        batches = [
            [decode(seal(sender, many, f"{n}", world.now).parcel) for n in range(4)] for sender in senders
        ]
        store.gate = trio.Event()
        store.commits.clear()
        rounds: list[int] = []
        async with trio.open_nursery() as nursery:
            for link, batch in zip(handing, batches, strict=True):
                nursery.start_soon(take_in, link, [(0, batch[:1])])
                nursery.start_soon(take_in, link, [(1, batch[1:])])
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.start_soon(take_in, honest, [(0, [letter])])
            await trio.testing.wait_all_tasks_blocked(0.05)
            delivered = 0
            usual = world.relay._engine._deliver

            def deliver(device, entries):
                nonlocal delivered
                delivered += len(entries)
                usual(device, entries)

            monkeypatch.setattr(world.relay._engine, "_deliver", deliver)
            store.gate.set()
            with trio.fail_after(20):
                while delivered < 161:
                    before = delivered
                    await trio.lowlevel.checkpoint()
                    rounds.append(delivered - before)
        mail = [[c for c in changes if isinstance(c, StoreEnvelope)] for changes in store.commits]
        sizes = [sum(len(c.entries) for c in changes) for changes in mail if changes]
        assert max(sizes) <= 30 + 20
        assert honest.outcomes == ["accepted"]
        second = [c.device for c in [changes for changes in mail if changes][1]]
        assert world.alice.identity.device in [c.device for c in mail[0]] + second
        # Who runs first in a turn is drawn, so that two of the relay may be neighbours.
        assert max(rounds) <= 40


def test_what_waits_of_an_account_is_counted_by_the_devices_it_is_for() -> None:
    """A parcel for sixty devices is sixty entries of what one account may have under way."""
    parcel: Value = [b"envelope", [[b"key", b"sealed"]] * 60]
    made = Job(Handing(AccountId(bytes(32)), DeviceId(b"")), 0, [parcel, (b"", b"", b""), b"garbage"])
    assert made.weight == 62
    counted = Senders(600)
    counted.begin(made.sender.account, 40 * made.weight)
    assert counted.is_waiting(made.sender.account)
    counted.end(made.sender.account, 40 * made.weight)
    assert not counted.is_waiting(made.sender.account)
