"""A task from request to completion under every fault of network and machines."""

import attrs
import pytest

from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.harness import Network, Stalled
from taskferry_protocol.records import Rung

from .stories import CALM, STORMY, check_agreement, scene, tell, undelivered


@pytest.mark.parametrize("seed", range(50))
def test_both_ends_agree_after_a_storm(seed):
    """Slow, doubled, overtaken and lost, with machines failing: nothing is lost and nothing comes twice."""
    stage = scene(seed, STORMY)
    check_agreement(stage, tell(stage))


@pytest.mark.parametrize(
    "fault",
    [
        {"delay_ms": (0, 0)},
        {"delay_ms": (500, 2_000)},
        {"duplicate": 0.3},
        {"reorder": 0.6},
        {"cut": 0.2},
        {"crash": 0.3},
    ],
    ids=lambda fault: next(iter(fault)),
)
@pytest.mark.parametrize("seed", range(3))
def test_each_fault_alone_and_often_changes_nothing(fault, seed):
    """However often one thing goes wrong, the task comes to the same."""
    stage = scene(seed, attrs.evolve(CALM, **fault))
    check_agreement(stage, tell(stage))


@pytest.mark.parametrize("seed", range(5))
def test_relay_may_lose_power_at_any_time(seed):
    """What the relay had not committed it had not accepted, so its senders send it again."""
    stage = scene(seed)
    for _ in range(10):
        stage.world.run(37)
        stage.world.relay.lose_power()
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.run(20 + seed)
    stage.world.relay.lose_power()
    stage.world.run_until(lambda: task in stage.bob.tasks())
    stage.world.settle()
    assert not undelivered(stage.alice, task)


@pytest.mark.parametrize("network", [CALM, STORMY], ids=["calm", "stormy"])
def test_relay_restored_from_a_backup_loses_nothing(network):
    """An older copy of the relay under a new generation is offered again whatever it forgot."""
    stage = scene(3, network)
    backup = stage.world.relay.back_up()
    stage.world.run_until(lambda: stage.bob.is_up)
    stage.world.crash(stage.bob)
    stage.persist(
        stage.alice,
        lambda: stage.alice.request(stage.requester, stage.writer, "A haiku"),
        lambda: bool(stage.alice.tasks()),
    )
    stage.world.settle()
    (task,) = stage.alice.tasks()
    assert undelivered(stage.alice, task)
    stage.world.relay.restore(backup)
    stage.world.restart(stage.bob)
    stage.world.settle()
    assert task in stage.bob.tasks()
    assert not undelivered(stage.alice, task)
    assert not stage.bob.quarantine()


def test_restored_relay_delivers_again_without_a_second_effect():
    """A mailbox that comes from its start once more brings duplicates, and they do nothing."""
    stage = scene(5)
    stage.world.settle()
    stage.bob.say(stage.writer, stage.requester, "good morning")
    stage.world.crash(stage.alice)
    stage.world.settle()
    backup = stage.world.relay.back_up()
    stage.world.restart(stage.alice)
    stage.world.settle()
    stage.world.relay.restore(backup)
    stage.world.settle()
    assert [received.text for received in stage.alice.inbox()] == ["good morning"]
    assert ": duplicate" in stage.world.trace()


@pytest.mark.parametrize(
    "wrong", [{"cut": 1.0}, {"crash": -0.1}, {"delay_ms": (2, 1)}, {"restart_ms": (-1, 1)}]
)
def test_network_that_cannot_be_is_refused(wrong):
    """A probability of one would let nothing happen ever, and time runs forwards."""
    with pytest.raises(LocalProtocolError, match=r"probability|pair"):
        Network(**wrong)


def test_sending_works_while_the_relay_is_down():
    """What is written meanwhile waits at its sender, and goes when the relay is back."""
    stage = scene(2)
    stage.world.settle()
    stage.world.relay.stop()
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    with pytest.raises(Stalled):
        stage.world.settle(within_ms=60_000)
    assert stage.alice.sent(task).rung is Rung.QUEUED
    stage.world.relay.start()
    stage.world.settle()
    assert task in stage.bob.tasks()
