"""A story that is told in many worlds: one task with a revision, by agents that try until it is done."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import attrs

from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.harness import Device, DeviceDown, Lies, Network, World
from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.links import EventType
from taskferry_protocol.records import Rung
from taskferry_protocol.tasks import TaskState

CALM = Network()
HONEST = Lies()
STORMY = Network(delay_ms=(1, 200), duplicate=0.05, reorder=0.15, cut=0.04, crash=0.04)

Told = Callable[[], bool]


@attrs.frozen
class Scene:
    """Alice's requester and Bob's writer, connected."""

    world: World
    alice: Device
    bob: Device
    requester: AgentRef
    writer: AgentRef

    def persist(self, device: Device, deed: Callable[[], object], told: Told) -> None:
        """Have an agent do something until its device has stored it, whatever befalls the device."""
        for attempt in count():
            assert attempt < 20
            self.world.run_until(lambda: device.is_up)
            if told():
                return
            try:
                deed()
            except DeviceDown:
                continue

    def wait(self, device: Device, task: Hash, state: TaskState) -> None:
        """Until the device sees the task in this state."""
        self.world.run_until(lambda: device.is_up and state_of(device, task) is state)


def scene(seed: int, network: Network = CALM, lies: Lies = HONEST) -> Scene:
    """A world with two owners who are connected."""
    world = World(seed, network, lies)
    alice = world.device("alice", agents=["requester"])
    bob = world.device("bob", agents=["writer"])
    requester, writer = alice.agent("requester"), bob.agent("writer")
    world.connect(requester, writer)
    return Scene(world, alice, bob, requester, writer)


def state_of(device: Device, task: Hash) -> TaskState | None:
    """The state that a device shows, None for a task that it does not know."""
    return device.task(task).state if task in device.tasks() else None


def events(device: Device, task: Hash, kind: EventType) -> int:
    """How many events of a type the device has taken."""
    return sum(line.event.type is kind for line in device.task(task).taken)


def tell(stage: Scene) -> Hash:
    """The whole path: asked, accepted, handed in, revised, handed in again, completed. The task's id."""
    alice, bob = stage.alice, stage.bob
    stage.persist(
        alice,
        lambda: alice.request(stage.requester, stage.writer, "A haiku", revisions=1),
        lambda: bool(alice.tasks()),
    )
    (task,) = alice.tasks()

    def done(device: Device, kind: EventType, times: int = 1) -> Told:
        return lambda: events(device, task, kind) >= times

    stage.wait(bob, task, TaskState.SENT)
    stage.persist(bob, lambda: bob.accept(task), done(bob, EventType.TASK_ACCEPT))
    stage.persist(bob, lambda: bob.progress(task, "begun", 10), done(bob, EventType.TASK_PROGRESS))
    stage.persist(bob, lambda: bob.submit(task, "first"), done(bob, EventType.ARTIFACT_SUBMIT))
    stage.wait(alice, task, TaskState.SUBMITTED)
    stage.persist(alice, lambda: alice.revise(task, "shorter"), done(alice, EventType.REVISION_REQUEST))
    stage.wait(bob, task, TaskState.REVISION_REQUESTED)
    stage.persist(bob, lambda: bob.submit(task, "second"), done(bob, EventType.ARTIFACT_SUBMIT, 2))
    stage.wait(alice, task, TaskState.RESUBMITTED)
    stage.persist(alice, lambda: alice.complete(task), done(alice, EventType.TASK_COMPLETE))
    stage.world.settle()
    return task


def check_agreement(stage: Scene, task: Hash) -> None:
    """Both ends hold the same task, nothing is lost, nothing came twice, and either can prove it."""
    seen = []
    for device in (stage.alice, stage.bob):
        view = device.task(task)
        assert view.is_final
        assert not [*view.gaps, *view.forks, *view.closed, *view.waiting, *view.refused]
        assert not device.quarantine()
        seen.append([(line.event.hash, line.effect, line.state) for line in view.taken])
        assert len({line.event.hash for line in view.taken}) == len(view.taken)
        assert [version.number for version in view.versions] == [1, 2]
        assert device.text(task, 1) == "first"
        assert device.text(task) == "second"
        for line in view.taken:
            if line.event.device == device.id:
                assert device.sent(line.event.hash).rung is Rung.DELIVERED
        assert verify_handoff(device.handoff(task)).view.state is TaskState.COMPLETED
    assert seen[0] == seen[1]


def undelivered(device: Device, task: Hash) -> list[Hash]:
    """The device's own events that the other side has not said to have."""
    return [
        line.event.hash
        for line in device.task(task).taken
        if line.event.device == device.id and device.sent(line.event.hash).rung is not Rung.DELIVERED
    ]
