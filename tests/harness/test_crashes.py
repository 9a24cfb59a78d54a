"""A device that loses power at any of its commits, just before or just after it."""

import pytest

from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.harness import Crash, Device, DeviceDown

from .stories import Scene, check_agreement, scene, tell


def _device(stage: Scene, name: str) -> Device:
    return stage.alice if name == "alice" else stage.bob


def _commits() -> dict[str, int]:
    stage = scene(11)
    tell(stage)
    return {"alice": stage.alice.commits, "bob": stage.bob.commits}


STEPS = [
    (name, commit, moment)
    for name, commits in _commits().items()
    for commit in range(1, commits + 1)
    for moment in Crash
]


@pytest.mark.parametrize(("name", "commit", "moment"), STEPS)
def test_crash_at_any_commit_loses_and_repeats_nothing(name, commit, moment):
    """Whichever commit fails, before or after, the story ends as it would have."""
    stage = scene(11)
    device = _device(stage, name)
    stage.world.plan_crash(device, at_commit=commit, moment=moment)
    task = tell(stage)
    check_agreement(stage, task)
    assert f"{name:<12} loses power" in stage.world.trace()


def test_call_that_crashed_before_its_commit_has_done_nothing():
    """Its caller hears of it, and finds no trace of it after the restart."""
    stage = scene(1)
    stage.world.settle()
    stage.world.plan_crash(stage.alice, at_commit=1, moment=Crash.BEFORE)
    with pytest.raises(DeviceDown):
        stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.settle()
    assert stage.alice.is_up
    assert not stage.alice.tasks()


def test_call_that_crashed_after_its_commit_has_been_done():
    """Its caller hears of the crash only, but what was stored is sent after the restart."""
    stage = scene(1)
    stage.world.settle()
    stage.world.plan_crash(stage.alice, at_commit=1, moment=Crash.AFTER)
    with pytest.raises(DeviceDown):
        stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.settle()
    assert stage.alice.tasks() == stage.bob.tasks() != ()


def test_device_that_was_crashed_stays_down_until_it_is_restarted():
    """Nothing can be asked of it meanwhile, and its mail waits."""
    stage = scene(1)
    stage.world.settle()
    stage.world.crash(stage.bob)
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.settle()
    assert task not in stage.bob.tasks()
    with pytest.raises(DeviceDown):
        stage.bob.say(stage.writer, stage.requester, "hello")
    stage.world.restart(stage.bob)
    stage.world.settle()
    assert task in stage.bob.tasks()


def test_there_is_no_commit_before_the_next():
    """A crash cannot be planned for the past."""
    stage = scene(1)
    with pytest.raises(LocalProtocolError):
        stage.world.plan_crash(stage.bob, at_commit=0, moment=Crash.AFTER)
