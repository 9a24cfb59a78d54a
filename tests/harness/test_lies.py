"""A relay that lies: it can make people wait, and never makes a task come out wrong."""

from functools import partial

import pytest

from taskferry_protocol.harness import Device, Lies, NotPossible, Stalled
from taskferry_protocol.ids import Hash
from taskferry_protocol.tasks import TaskState

from .stories import Scene, scene, state_of, undelivered

LIES = Lies(drop=0.1, replay=0.2, reorder=0.3, substitute=0.1)


def _shows(device: Device, task: Hash, state: TaskState) -> bool:
    return state_of(device, task) is state


def _play(stage: Scene) -> Hash:
    """The story as far as it gets: whoever waits in vain goes on with something else."""
    alice, bob = stage.alice, stage.bob
    task = alice.request(stage.requester, stage.writer, "A haiku", revisions=1)
    steps = [
        (bob, TaskState.SENT, lambda: bob.accept(task)),
        (bob, TaskState.ACCEPTED, lambda: bob.submit(task, "first")),
        (alice, TaskState.SUBMITTED, lambda: alice.revise(task, "shorter")),
        (bob, TaskState.REVISION_REQUESTED, lambda: bob.submit(task, "second")),
        (alice, TaskState.RESUBMITTED, lambda: alice.complete(task)),
    ]
    for device, state, deed in steps:
        try:
            stage.world.run_until(partial(_shows, device, task, state), within_ms=60_000)
            deed()
        except (Stalled, NotPossible):
            break
    stage.world.run(60_000)
    return task


def _own(stage: Scene, task: Hash) -> set[Hash]:
    """Every event that either of the two has signed itself."""
    return {
        line.event.hash
        for device in (stage.alice, stage.bob)
        for line in device.task(task).taken
        if task in device.tasks() and line.event.device == device.id
    }


def _check_no_wrong_effect(stage: Scene, task: Hash) -> None:
    """Nobody shows what the other did not sign, and the settled part of either is what the other has, too."""
    if task not in stage.bob.tasks():
        return
    signed = _own(stage, task)
    chains = []
    for device in (stage.alice, stage.bob):
        view = device.task(task)
        taken = [line.event.hash for line in view.taken]
        assert set(taken) <= signed
        assert len(set(taken)) == len(taken)
        assert not view.forks
        assert not view.closed
        chains.append(view)
    alice, bob = chains
    for role in alice.order.chains:
        ours = [event.hash for event in alice.order.chains[role]]
        theirs = [event.hash for event in bob.order.chains[role]]
        shared = min(len(ours), len(theirs))
        assert ours[:shared] == theirs[:shared]
    if alice.is_final and bob.is_final:
        assert alice.state is bob.state


@pytest.mark.parametrize("seed", range(50))
def test_lies_have_no_wrong_effect(seed):
    """Dropped, replayed, reordered, substituted: each end shows a beginning of the one true story."""
    stage = scene(seed, lies=LIES)
    task = _play(stage)
    _check_no_wrong_effect(stage, task)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("lie", ["drop", "replay", "reorder", "substitute"])
def test_each_lie_alone_has_no_wrong_effect(lie, seed):
    """However often the relay tells one lie, nobody believes what is not so."""
    stage = scene(seed, lies=Lies(**{lie: 0.5}))
    task = _play(stage)
    _check_no_wrong_effect(stage, task)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_kept_back_comes_once_the_relay_is_honest(seed):
    """Under an honest relay's new generation everything undelivered is offered again, and both ends agree."""
    stage = scene(seed, lies=LIES)
    task = _play(stage)
    stage.world.relay.become_honest()
    stage.world.settle()
    for device in (stage.alice, stage.bob):
        assert not undelivered(device, task)
        assert not device.task(task).gaps
    taken = [[line.event.hash for line in device.task(task).taken] for device in (stage.alice, stage.bob)]
    assert taken[0] == taken[1]


def test_replayed_message_is_read_once():
    """An agent gets a plain message once, however often it is delivered."""
    stage = scene(2, lies=Lies(replay=0.9))
    for number in range(10):
        stage.alice.say(stage.requester, stage.writer, f"number {number}")
    stage.world.settle()
    assert [received.text for received in stage.bob.inbox()] == [f"number {number}" for number in range(10)]
    assert ": duplicate" in stage.world.trace()


def test_substituted_envelope_is_quarantined_and_the_next_one_arrives():
    """What was tampered with has no effect and stands before nobody's mail."""
    stage = scene(2, lies=Lies(substitute=0.5))
    for number in range(20):
        stage.alice.say(stage.requester, stage.writer, f"number {number}")
    stage.world.settle()
    told = [received.text for received in stage.bob.inbox()]
    assert stage.bob.quarantine()
    assert set(told) < {f"number {number}" for number in range(20)}
    assert len(told) == len(set(told)) > 0
