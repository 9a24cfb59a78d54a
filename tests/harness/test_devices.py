"""Devices and owners in a world: what they can do, and what they are refused."""

import pytest

from taskferry_protocol.errors import LocalProtocolError, RejectCode
from taskferry_protocol.harness import Allowance, Network, NotPossible, Stalled, World
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.messages import MessageClass, TaskRequest
from taskferry_protocol.records import Rung
from taskferry_protocol.tasks import TaskState

from .stories import STORMY, Scene, scene, state_of


def asked(stage: Scene, **terms) -> Hash:
    """A task that both sides know of."""
    task = stage.alice.request(stage.requester, stage.writer, "A haiku", **terms)
    stage.world.settle()
    return task


def test_request_carries_what_it_says():
    """The worker reads title, brief and requirements, and may accept or decline."""
    stage = scene(1)
    task = asked(stage, brief="short", requirements=["three lines"])
    body = stage.bob.content(task).body
    assert isinstance(body, TaskRequest)
    assert (body.title, body.brief, body.requirements) == ("A haiku", "short", ("three lines",))
    assert stage.bob.actions(task) == (EventType.TASK_ACCEPT, EventType.TASK_DECLINE)
    assert (stage.alice.role(task), stage.bob.role(task)) == (Role.REQUESTER, Role.WORKER)


@pytest.mark.parametrize(
    ("deed", "state"),
    [
        (lambda stage, task: stage.bob.decline(task, "no time"), TaskState.DECLINED),
        (lambda stage, task: stage.alice.cancel(task, "no need"), TaskState.CANCELLED),
        (
            lambda stage, task: (stage.bob.accept(task), stage.bob.fail(task, "no idea")),
            TaskState.FAILED,
        ),
    ],
    ids=["decline", "cancel", "fail"],
)
def test_task_ends_otherwise(deed, state):
    """Declined, cancelled, failed: both ends show it, and nothing is possible any more."""
    stage = scene(1)
    task = asked(stage)
    deed(stage, task)
    stage.world.settle()
    for device in (stage.alice, stage.bob):
        assert state_of(device, task) is state
        assert device.task(task).is_final
        assert device.actions(task) == ()


def test_task_expires_after_its_deadline():
    """Only once the deadline has passed may the requester say so."""
    stage = scene(1)
    task = asked(stage, deadline=Instant(stage.world.now + 60_000))
    with pytest.raises(NotPossible):
        stage.alice.expire(task)
    stage.world.run(60_000)
    stage.alice.expire(task)
    stage.world.settle()
    assert state_of(stage.bob, task) is TaskState.EXPIRED
    with pytest.raises(LocalProtocolError):
        stage.alice.expire(asked(stage))


def test_cancel_and_submit_that_cross_come_out_the_same():
    """Both sides see the same end, and the submission superseded."""
    stage = scene(1)
    task = asked(stage)
    stage.bob.accept(task)
    stage.world.settle()
    stage.alice.cancel(task)
    stage.bob.submit(task, "too late")
    stage.world.settle()
    for device in (stage.alice, stage.bob):
        assert state_of(device, task) is TaskState.CANCELLED
        assert [line.event.type for line in device.task(task).superseded] == [EventType.ARTIFACT_SUBMIT]


def test_what_the_task_does_not_allow_is_refused_with_what_it_does():
    """The refusal names the state and the actions, so that an agent can do better."""
    stage = scene(1)
    task = asked(stage)
    with pytest.raises(NotPossible) as refused:
        stage.bob.submit(task, "at once")
    assert refused.value.code is RejectCode.SUPERSEDED
    assert refused.value.state is TaskState.SENT
    assert EventType.TASK_ACCEPT in refused.value.actions
    with pytest.raises(NotPossible):
        stage.alice.complete(task)


def test_ladder_of_delivery_is_truthful():
    """Queued until the relay has it, relayed until the peer says that it is there."""
    stage = scene(1)
    stage.world.settle()
    stage.world.crash(stage.bob)
    message = stage.alice.say(stage.requester, stage.writer, "hello")
    assert stage.alice.sent(message).rung is Rung.QUEUED
    stage.world.settle()
    assert stage.alice.sent(message).rung is Rung.RELAYED
    stage.world.restart(stage.bob)
    stage.world.settle()
    assert stage.alice.sent(message).rung is Rung.DELIVERED


def test_message_that_nobody_came_for_expires():
    """The relay says so, and the sender knows no more than that."""
    stage = scene(1)
    stage.world.settle()
    stage.world.crash(stage.bob)
    message = stage.alice.say(stage.requester, stage.writer, "hello")
    stage.world.settle()
    stage.world.crash(stage.alice)
    stage.world.run(8 * 86_400_000)
    stage.world.restart(stage.alice)
    stage.alice.say(stage.requester, stage.writer, "are you there?")
    stage.world.settle()
    assert stage.alice.sent(message).rung is Rung.EXPIRED


def test_what_is_not_granted_is_refused():
    """A class that the allowance leaves out fails at the relay, and its sender sees the code."""
    world = World(1)
    alice, bob = world.device("alice", agents=["one"]), world.device("bob", agents=["two"])
    one, two = alice.agent("one"), bob.agent("two")
    world.connect(one, two, Allowance(classes=frozenset({MessageClass.TASK})))
    message = alice.say(one, two, "hello")
    world.settle()
    assert alice.sent(message).rung is Rung.FAILED
    assert alice.sent(message).code is RejectCode.NOT_PERMITTED
    assert not bob.inbox()


def test_task_over_the_allowance_is_quarantined_by_its_recipient():
    """The relay cannot know of sealed terms; the recipient enforces them and says so."""
    world = World(1)
    alice, bob = world.device("alice", agents=["one"]), world.device("bob", agents=["two"])
    one, two = alice.agent("one"), bob.agent("two")
    world.connect(one, two, Allowance(open_tasks=1))
    first, second = (alice.request(one, two, title) for title in ("first", "second"))
    world.settle()
    assert bob.tasks() == (first,)
    assert [item.code for item in bob.quarantine()] == [RejectCode.NOT_PERMITTED]
    assert alice.sent(second).rung is Rung.FAILED


def test_rate_that_is_spent_delays_but_does_not_lose():
    """Whoever sends too fast is told when to try again, and everything arrives."""
    world = World(1)
    alice, bob = world.device("alice", agents=["one"]), world.device("bob", agents=["two"])
    one, two = alice.agent("one"), bob.agent("two")
    world.connect(one, two, Allowance(rate=5))
    world.settle()
    world.relay.stop()
    for number in range(8):
        alice.say(one, two, str(number))
        world.run(6_000)
    world.relay.start()
    world.settle()
    assert {received.text for received in bob.inbox()} == set("01234567")
    assert "rate-limited" in world.trace()


def test_burst_that_the_relay_has_paced_is_not_refused_by_its_recipient():
    """Written at once, it comes at the rate that the relay allows: all of it is taken."""
    world = World(1)
    alice, bob = world.device("alice", agents=["one"]), world.device("bob", agents=["two"])
    one, two = alice.agent("one"), bob.agent("two")
    world.connect(one, two, Allowance(rate=5))
    for number in range(20):
        alice.say(one, two, str(number))
    world.settle()
    assert [received.text for received in bob.inbox()] == [str(number) for number in range(20)]
    assert bob.quarantine() == ()


def test_stranger_is_refused():
    """Without a connection nothing can even be addressed."""
    world = World(1)
    alice, bob = world.device("alice", agents=["one"]), world.device("bob", agents=["two"])
    with pytest.raises(LocalProtocolError):
        alice.say(alice.agent("one"), bob.agent("two"), "hello")


@pytest.mark.parametrize("network", [Network(), STORMY], ids=["calm", "stormy"])
def test_another_device_of_an_owner_sees_the_task_too(network):
    """Mail goes to every device that serves an agent, and copies to the sender's other devices."""
    stage = scene(6, network)
    world = stage.world
    phone = world.device("phone", owner="alice", agents=["requester"])
    tablet = world.device("tablet", owner="bob", agents=["writer"])
    world.run_until(lambda: stage.alice.is_up)
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    world.run_until(lambda: stage.bob.is_up and task in stage.bob.tasks())
    stage.bob.accept(task)
    world.settle()
    for device in (stage.alice, stage.bob, phone, tablet):
        assert state_of(device, task) is TaskState.ACCEPTED
        assert not device.quarantine()
    with pytest.raises(LocalProtocolError, match="another device"):
        phone.cancel(task)


def test_device_that_joins_later_is_found_by_its_peers():
    """A stale log is answered with the missing statements: the sender wraps again, and all devices get it."""
    stage = scene(6)
    stage.world.settle()
    tablet = stage.world.device("tablet", owner="bob", agents=["writer"])
    stage.world.settle()
    task = asked(stage)
    assert "stale-log" in stage.world.trace()
    assert task in tablet.tasks()
    assert task in stage.bob.tasks()


def test_log_that_a_sender_quotes_is_fetched_first():
    """Whoever hears from a device that it does not know asks the relay for the account's log."""
    stage = scene(6)
    stage.world.settle()
    tablet = stage.world.device("tablet", owner="bob", agents=["writer"])
    stage.world.settle()
    message = tablet.say(stage.writer, stage.requester, "it is me")
    stage.world.settle()
    assert [received.hash for received in stage.alice.inbox()] == [message]
    assert "waits for a log" in stage.world.trace()


def test_asking_for_what_is_not_there_is_an_error():
    """Unknown tasks, messages, versions, agents and names are the caller's fault."""
    stage = scene(1)
    task = asked(stage)
    nothing = Hash(bytes(32))
    for deed in (
        lambda: stage.alice.task(nothing),
        lambda: stage.alice.content(nothing),
        lambda: stage.bob.sent(task),
        lambda: stage.alice.text(task),
        lambda: stage.alice.agent("nobody"),
        lambda: stage.world.device("alice"),
        lambda: stage.world.connect(stage.requester, stage.requester),
    ):
        with pytest.raises(LocalProtocolError):
            deed()


@pytest.mark.parametrize(("name", "agent"), [("x y", "writer"), ("carol", "Writer!"), ("carol", "")])
def test_what_is_no_name_is_the_callers_mistake(name, agent):
    """Nobody else broke a rule; and no half of an owner is left."""
    world = World(seed=1)
    with pytest.raises(LocalProtocolError, match="is no name"):
        world.device(name, agents=[agent])
    world.device("carol", agents=["writer"])
    world.settle()


def test_waiting_in_vain_ends():
    """Simulated patience is long, and not endless."""
    stage = scene(1)
    start = stage.world.now
    with pytest.raises(Stalled):
        stage.world.run_until(lambda: False, within_ms=5_000)
    assert stage.world.now <= start + 5_000


def test_idle_sessions_are_kept_alive():
    """An hour without mail costs pings, and no session."""
    stage = scene(1)
    stage.world.settle()
    before = stage.world.trace().count("starts")
    stage.world.run(3_600_000)
    assert "cut" not in stage.world.trace()
    assert stage.world.trace().count("starts") == before
    stage.alice.say(stage.requester, stage.writer, "good morning")
    stage.world.run(1_000)
    assert stage.bob.inbox()
