"""Long logs used as a weapon: what is asked of their past must not cost a fold each time."""

from __future__ import annotations

import random
import time
from typing import Any

from taskferry_protocol.accounts import refold
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.handoff import Kept, export_handoff, verify_handoff
from taskferry_protocol.inbound import Apply
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import Content, TaskProgress, TaskRequest

from .deliveries import decided
from .owners import NOW, Owner, plain_device
from .world import CONV, World, said

LONG = 1_200
MANY = 60


def cost(work: Any) -> float:
    """The processor's seconds that something takes."""
    before = time.process_time()
    work()
    return time.process_time() - before


def test_who_served_what_is_told_for_every_position_of_a_log() -> None:
    """The same answer as folding each prefix gives, through comings, goings, withdrawals and returns."""
    chance = random.Random(7)
    owner = Owner("alice")
    devices = [plain_device(str(number)) for number in range(4)]
    gone: list[DeviceKeys] = []
    for keys in devices:
        owner.add(keys)
    for step in range(60):
        here = [keys for keys in devices if keys not in gone]
        if step in (20, 40):
            gone.append(here[0])
            (owner.retire if step == 20 else owner.revoke)(here[0])
        else:
            owner.serve(chance.choice(["a", "b"]), *chance.sample(here, chance.randint(0, len(here))))
    for length in range(1, len(owner.log.statements) + 1):
        state = owner.log.state_at(length)
        for agent in ("", "a", "b", "c"):
            served = {device.id for device in state.serving(agent)}
            assert {
                keys.id for keys in [*devices, owner.laptop] if owner.log.served_at(keys.id, agent, length)
            } == served


def test_mail_of_a_retired_device_costs_no_fold_for_each_message() -> None:
    """Somebody wrote at every position of a long log and retired: each message cost a fifth of a second."""
    world = World()
    positions = []
    for number in range(LONG):
        world.alice.rename(f"alice{number % 2}")
        positions.append(world.alice.log.position)
    mail = [
        world.sealed(said(), by=world.phone.signing, log=position, seq=seq)
        for seq, position in enumerate(positions[-MANY:], 1)
    ]
    world.alice.retire(world.phone)
    once = cost(lambda: refold(world.alice.log.statements))
    decisions: list[object] = []
    assert cost(lambda: decisions.extend(decided(world, sealed) for sealed in mail)) < MANY / 3 * once
    assert all(isinstance(decision, Apply) for decision in decisions)


def test_an_export_that_quotes_every_position_costs_no_fold_for_each_event() -> None:
    """A few megabytes of events took an hour to verify, and a gigabyte."""
    world = World()
    request = world.sealed(
        Content(TaskRequest("Tidy up", ""), CONV, link=TaskLink(None, 0, None, Seen(0, None)))
    )
    task, prev, events = request.envelope.hash, None, [request]
    for number in range(LONG):
        world.bob.rename(f"bob{number % 2}")
        if number >= LONG - MANY:
            link = TaskLink(task, number - LONG + MANY, prev, Seen(1, task))
            event = world.sealed(
                Content(TaskProgress("", None), CONV, link=link),
                from_=world.tester,
                to=world.coder,
                by=world.bob.laptop.signing,
                log=world.bob.log.position,
            )
            prev = event.envelope.hash
            events.append(event)
    world.bob.rename("bob")
    raw = export_handoff(
        task,
        logs=[world.alice.log, world.bob.log],
        events=[Kept(event.envelope.raw, event.key) for event in events],
        connection=None,
        receipts=(),
        at=NOW,
    )
    once = cost(lambda: refold(world.bob.log.statements))
    # Verification itself folds the log with its signatures, some ten times the price of a fold without.
    assert cost(lambda: verify_handoff(raw)) < MANY / 2 * once
