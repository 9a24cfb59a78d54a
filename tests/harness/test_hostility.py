"""What a peer, a stranger or an odd session can do to a device or to the relay of a world: nothing."""

import pytest

from taskferry_protocol import accounts
from taskferry_protocol.accounts import DeviceKeys
from taskferry_protocol.calls import FindAccount, GetAccount
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.harness import START, Device, Network, World
from taskferry_protocol.harness.chance import Chance
from taskferry_protocol.harness.logs import grown
from taskferry_protocol.harness.owners import Owner
from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import ConnectionEnded, TaskAccept, TaskCancel
from taskferry_protocol.records import Rung

from .stories import scene


def owner(name: str) -> tuple[Owner, DeviceKeys]:
    """An owner with one device."""
    chance = Chance(1, name)
    keys = DeviceKeys.generate_managing(name, chance.entropy)
    return Owner(name, keys, chance, START), keys


def refused(code: RejectCode, *args) -> None:
    """`grown` refuses these arguments with this code."""
    with pytest.raises(RemoteProtocolError) as error:
        grown(*args)
    assert error.value.code is code


def test_log_grows_by_what_follows_it_only():
    """Old news changes nothing, news extend, and holes, branches and other accounts are refused."""
    one, keys = owner("one")
    first = one.log
    one.let_serve(keys.id, ["agent"], START)
    second = one.log
    one.let_serve(keys.id, ["other"], START)
    third = one.log
    branch = accounts.rename(first.state, "uno", at=Instant(START + 1), by=one.manage)
    account = first.account
    assert grown(None, account, 0, first.statements) == first
    assert grown(third, account, 1, second.after(1)) is third
    assert grown(first, account, 1, third.after(1)) == third
    assert grown(second, account, 0, third.statements) == third
    refused(RejectCode.NOT_AN_EXTENSION, first, account, 2, third.after(2))
    refused(RejectCode.NOT_AN_EXTENSION, second, account, 1, (branch,))
    refused(RejectCode.WRONG_ACCOUNT, None, owner("two")[0].log.account, 0, first.statements)


def test_account_needs_a_device_that_manages():
    """Nobody could ever sign for an account without one."""
    chance = Chance(1)
    with pytest.raises(LocalProtocolError):
        Owner("one", DeviceKeys.generate("plain", chance.entropy), chance, START)


def test_relay_answers_about_logs_only():
    """A world settles everything else beforehand."""
    world = World(1)
    answer = world.relay._answer(GetAccount(AccountId(bytes(32))))
    assert isinstance(answer, Refusal)
    assert answer.code is RejectCode.UNKNOWN_ACCOUNT
    answer = world.relay._answer(FindAccount("alice"))
    assert isinstance(answer, Refusal)
    assert answer.code is RejectCode.UNKNOWN_METHOD


def post(stage, device, mine, peer, body, link=None):
    """Have a device send a message that its own rules would not let it write."""
    draft = device._machine.draft()
    envelope = draft.post(body, mine, peer, draft.conversation(), link)
    device._machine.commit_own(draft)
    device._machine.pump()
    stage.world.settle()
    return envelope.hash


def code_of(device: Device, message: Hash) -> RejectCode:
    """Why a message is in quarantine."""
    return next(item.code for item in device.quarantine() if item.hash == message)


def test_third_party_cannot_write_into_a_task():
    """Carol is connected with Bob, and cancels a task of Alice's: it has no effect and Bob says so."""
    stage = scene(1)
    carol = stage.world.device("carol", agents=["stranger"])
    stranger = carol.agent("stranger")
    stage.world.connect(stranger, stage.writer)
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.settle()
    link = TaskLink(task, 1, task, Seen(0, None))
    message = post(stage, carol, stranger, stage.writer, TaskCancel(""), link)
    assert code_of(stage.bob, message) is RejectCode.WRONG_PARTY
    assert carol.sent(message).code is RejectCode.WRONG_PARTY
    assert len(stage.bob.task(task).taken) == 1


def test_answer_to_a_task_that_was_never_asked_is_quarantined():
    """A worker who invents a task finds no requester."""
    stage = scene(1)
    unknown = stage.bob.say(stage.writer, stage.requester, "not a task")
    link = TaskLink(unknown, 0, None, Seen(1, unknown))
    message = post(stage, stage.bob, stage.writer, stage.requester, TaskAccept(""), link)
    assert code_of(stage.alice, message) is RejectCode.UNKNOWN_TASK


def test_event_that_saw_what_nobody_wrote_closes_its_chain():
    """A worker who claims to have seen another request than Alice's is told so, and nothing more is taken."""
    stage = scene(1)
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.settle()
    other = stage.bob.say(stage.writer, stage.requester, "something else")
    link = TaskLink(task, 0, None, Seen(1, other))
    message = post(stage, stage.bob, stage.writer, stage.requester, TaskAccept(""), link)
    assert code_of(stage.alice, message) is RejectCode.UNKNOWN_SEEN
    assert stage.alice.task(task).closed


def test_connection_by_message_is_no_part_of_a_world():
    """Owners of a world have settled their connections before it began."""
    stage = scene(1)
    message = post(stage, stage.bob, stage.writer, stage.requester, ConnectionEnded(b"x", "enough"))
    assert code_of(stage.alice, message) is RejectCode.UNKNOWN_REQUEST


def test_network_too_slow_for_an_opening_times_out_again_and_again():
    """An opening that takes more than ten seconds is given up by both sides, and tried again."""
    stage = scene(1, Network(delay_ms=(4_000, 4_000)))
    stage.world.run(60_000)
    assert stage.world.trace().count("is sent away: timeout") + stage.world.trace().count("> 219 bytes") > 2
    assert not stage.alice.tasks()


def test_relay_that_does_not_know_a_branch_turns_the_device_away():
    """A device whose log is not the one that the relay holds does not come in."""
    stage = scene(1)
    stage.world.settle()
    kept = stage.world.relay.store.accounts
    kept[stage.requester.account] = kept[stage.writer.account]
    stage.world.relay.lose_power()
    stage.world.run(10_000)
    assert "turns a device away" in stage.world.trace()


def test_device_that_stands_in_no_log_is_turned_away():
    """The relay admits devices that the account's log names, and no others."""
    stage = scene(1)
    before = stage.world.relay.store.accounts[stage.requester.account]
    phone = stage.world.device("phone", owner="alice", agents=["requester"])
    stage.world.crash(stage.alice)
    phone._machine.store.log = before
    stage.world.run(10_000)
    assert "turns a device away: unknown-device" in stage.world.trace()


def test_what_the_relay_had_not_committed_is_not_accepted():
    """Power is lost between arrival and commit: the sender was told nothing, and sends again."""
    stage = scene(1)
    stage.world.settle()
    task = stage.alice.request(stage.requester, stage.writer, "A haiku")
    stage.world.run_until(lambda: bool(stage.world.relay._batches))
    stage.world.relay.lose_power()
    stage.world.run(4)
    assert stage.alice.sent(task).rung is Rung.QUEUED
    stage.world.settle()
    assert stage.alice.sent(task).rung is Rung.DELIVERED


def test_parcel_that_waited_too_long_at_its_sender_expires():
    """A relay that comes back after the message's lifetime refuses it, and the sender sees why."""
    stage = scene(1)
    stage.world.settle()
    stage.world.relay.stop()
    message = stage.alice.say(stage.requester, stage.writer, "in time?")
    stage.world.crash(stage.alice)
    stage.world.crash(stage.bob)
    stage.world.run(8 * 86_400_000)
    stage.world.relay.start()
    stage.world.restart(stage.alice)
    stage.world.settle()
    assert stage.alice.sent(message).rung is Rung.EXPIRED
    assert stage.alice.sent(message).code is RejectCode.EXPIRED


def test_agents_of_another_world_cannot_be_connected():
    """An account that no owner here has made is nobody's."""
    stage = scene(1)
    with pytest.raises(LocalProtocolError):
        stage.world.connect(stage.requester, scene(2).writer)
