"""Logs as values: extending, comparing, positions, and random histories against a plain model."""

from collections.abc import Callable

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from taskferry_protocol import accounts
from taskferry_protocol.accounts import (
    AccountLog,
    DeviceKeys,
    DeviceStatus,
    LogRelation,
    admits_device,
    check_authority,
    compare,
    consent_to_stand,
    fold,
    refold,
    withdrawn,
)
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.ids import DeviceId, Hash, LogPosition

from .owners import (
    NOW,
    Owner,
    Refused,
    encryption_key,
    manage_key,
    managing_device,
    plain_device,
    signing_key,
)

PHONE, SERVER = managing_device("phone"), plain_device("server")


@pytest.fixture
def ann() -> Owner:
    """An owner with a phone that manages and a server that does not, four statements long."""
    owner = Owner("ann")
    owner.add(PHONE)
    owner.add(SERVER)
    owner.rename("anne")
    return owner


# --- Positions ---


def test_log_contains_its_prefixes_and_nothing_else(ann):
    """A position is contained if the head at that length is the same."""
    log = ann.log
    assert all(log.contains(log.position_at(length)) for length in range(1, 5))
    for length, head in ((0, log.heads[0]), (5, log.heads[3]), (3, log.heads[3]), (-1, log.heads[3])):
        assert not log.contains(LogPosition(length, head))
    for length in (0, 5):
        with pytest.raises(LocalProtocolError):
            log.position_at(length)


def test_state_at_a_position_is_the_fold_of_the_prefix(ann):
    """Positions stay provable later."""
    for length in range(1, 5):
        assert ann.log.state_at(length) == fold(ann.log.statements[:length]).state


def test_statements_after_a_length(ann):
    """What one who holds `length` statements still lacks."""
    assert ann.log.after(2) == ann.log.statements[2:]
    assert ann.log.after(-1) == ann.log.statements
    assert ann.log.after(9) == ()


def test_manager_is_asked_as_of_a_position(ann):
    """A key was a manager from its device's coming until its going, in this log alone."""
    ann.revoke(PHONE)
    ann.rename("anna")
    log, key = ann.log, manage_key(PHONE).public
    answers = [log.signer_was_manager(key, log.position_at(length)) for length in range(1, 7)]
    assert answers == [False, True, True, True, False, False]
    assert not log.signer_was_manager(key, LogPosition(2, Hash(bytes(32))))
    assert not log.signer_was_manager(SERVER.id, log.position)
    assert log.signer_was_manager(ann.manage.public, log.position)


def test_authority_is_asked_now(ann):
    """A document is taken under a manager's key of today that quotes this log."""
    check_authority(ann.log, manage_key(PHONE).public, ann.log.position_at(1))
    for key in (ann.recovery.public, SERVER.id):
        with Refused("not-authorized"):
            check_authority(ann.log, key, ann.log.position)
    with Refused("not-an-extension"):
        check_authority(ann.log, manage_key(PHONE).public, LogPosition(5, Hash(bytes(32))))


# --- Which log counts ---


def test_active_device_is_admitted_where_it_stood(ann):
    """Any position passes at which it was there; one before that does not."""
    for length in (3, 4):
        admits_device(ann.log, SERVER.id, ann.log.position_at(length))
    for length in (1, 2):
        with Refused("unknown-device"):
            admits_device(ann.log, SERVER.id, ann.log.position_at(length))
    with Refused("unknown-device"):
        admits_device(ann.log, plain_device("x").id, ann.log.position)


def test_retired_device_is_admitted_up_to_its_leaving(ann):
    """An envelope that quotes the log before the retirement still passes, a later one does not."""
    ann.retire(SERVER)
    ann.rename("anna")
    for length in (3, 4):
        admits_device(ann.log, SERVER.id, ann.log.position_at(length))
    for length in (5, 6):
        with Refused("device-gone"):
            admits_device(ann.log, SERVER.id, ann.log.position_at(length))


def test_revoked_device_is_not_admitted_whatever_it_quotes(ann):
    """Who has the device's key can quote any old position, so none helps."""
    ann.revoke(SERVER)
    for length in (3, 4, 5):
        with Refused("device-gone"):
            admits_device(ann.log, SERVER.id, ann.log.position_at(length))


def test_longer_quotation_is_stale_and_another_branch_refused(ann):
    """A log that is behind is to be fetched; a head that differs is no prefix."""
    with Refused("stale-log"):
        admits_device(fold(ann.log.statements[:3]), SERVER.id, ann.log.position)
    with Refused("not-an-extension"):
        admits_device(ann.log, SERVER.id, LogPosition(4, Hash(bytes(32))))


# --- Comparing ---


def _branches(
    ann: Owner, left: Callable[[], object], right: Callable[[], object]
) -> tuple[AccountLog, AccountLog]:
    """Two logs that part here."""
    trunk = ann.log
    left()
    first, ann.log = ann.log, trunk
    right()
    return first, ann.log


def test_prefixes_extend_and_fall_behind(ann):
    """Equal, longer and shorter logs of one branch."""
    short = fold(ann.log.statements[:2])
    assert compare(ann.log, fold(ann.log.statements)) is LogRelation.SAME
    assert compare(short, ann.log) is LogRelation.EXTENSION
    assert compare(ann.log, short) is LogRelation.BEHIND


def test_another_account_is_pinned_otherwise(ann):
    """A second claimant of a name is refused, not compared."""
    with Refused("pinned-otherwise"):
        compare(ann.log, Owner("bob").log)


def test_two_managers_fork_the_account(ann):
    """Nobody can say which branch is right, so both are kept and the account held."""
    pair = _branches(ann, lambda: ann.rename("a"), lambda: ann.rename("b", by=manage_key(PHONE)))
    assert compare(*pair) is LogRelation.FORKED
    assert compare(*reversed(pair)) is LogRelation.FORKED


def test_recovery_signed_sibling_wins(ann):
    """The recovery key settles a fork, however long the other branch has grown."""
    trunk = ann.log
    ann.rename("thief")
    ann.rename("thief2")
    thief = ann.log
    ann.log = trunk
    ann.revoke(PHONE)
    assert compare(thief, ann.log) is LogRelation.WINS
    assert compare(ann.log, thief) is LogRelation.LOSES


def test_two_recovery_signed_siblings_fork(ann):
    """If the recovery key contradicts itself, nothing is settled."""
    by = ann.recovery
    pair = _branches(ann, lambda: ann.rename("a", by=by), lambda: ann.rename("b", by=by))
    assert compare(*pair) is LogRelation.FORKED


def test_recovery_key_in_force_decides(ann):
    """A former recovery key, and one that comes into force only on a branch, win nothing."""
    new = signing_key("next recovery")
    ann.take(accounts.set_recovery(ann.log.state, new, at=NOW, by=ann.recovery))

    def branch_with_its_own_recovery() -> None:
        ann.rename("a")
        newer = signing_key("third recovery")
        ann.take(accounts.set_recovery(ann.log.state, newer, at=NOW, by=new))

    pair = _branches(ann, branch_with_its_own_recovery, lambda: ann.rename("b"))
    assert compare(*pair) is LogRelation.FORKED
    pair = _branches(ann, lambda: ann.rename("c"), lambda: ann.rename("d", by=new))
    assert compare(*pair) is LogRelation.WINS


@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 4))
def test_comparison_mirrors_itself(trunk, left, right):
    """Whatever one side sees, the other sees from its end."""
    owner = Owner("ann")
    for number in range(trunk - 1):
        owner.rename(f"t{number}")
    shared = owner.log

    def grow(side: str, count: int) -> AccountLog:
        owner.log = shared
        for number in range(count):
            owner.rename(f"{side}{number}")
        return owner.log

    mirror = {
        LogRelation.SAME: LogRelation.SAME,
        LogRelation.FORKED: LogRelation.FORKED,
        LogRelation.EXTENSION: LogRelation.BEHIND,
        LogRelation.BEHIND: LogRelation.EXTENSION,
    }
    first, second = grow("l", left), grow("r", right)
    relation = compare(first, second)
    assert compare(second, first) is mirror[relation]
    assert (relation is LogRelation.FORKED) == (left > 0 and right > 0)


# --- Random histories ---


@attrs.define
class Model:
    """What the log should say, kept by the simplest means."""

    name: str = "ann"
    recovery: bytes = b""
    active: set[DeviceId] = attrs.Factory(set)
    gone: dict[DeviceId, DeviceStatus] = attrs.Factory(dict)
    enc: dict[DeviceId, bytes] = attrs.Factory(dict)
    agents: dict[str, set[DeviceId]] = attrs.Factory(dict)

    def end(self, device: DeviceId, status: DeviceStatus) -> None:
        """A device goes, and its agents with it if they have no other."""
        self.active.remove(device)
        self.gone[device] = status
        for served in self.agents.values():
            served.discard(device)
        self.agents = {name: served for name, served in self.agents.items() if served}


def _draw_history(data: st.DataObject) -> tuple[Owner, Model]:
    owner = Owner("ann")
    keys: dict[DeviceId, DeviceKeys] = {owner.laptop.id: owner.laptop}
    model = Model(recovery=owner.recovery.public, active={owner.laptop.id})
    model.enc[owner.laptop.id] = owner.laptop.encryption.public
    for number in range(data.draw(st.integers(0, 12))):
        state = owner.log.state
        managers = [keys[id] for id in sorted(model.active) if keys[id].manage is not None]
        signers = [owner.recovery, *map(manage_key, managers)]
        by = data.draw(st.sampled_from(signers))
        device = keys[data.draw(st.sampled_from(sorted(model.active or keys)))]
        act = data.draw(
            st.sampled_from(["add", "revoke", "retire", "rotate", "agent", "rename", "key", "recover"])
        )
        if act == "add":
            new = data.draw(st.sampled_from([plain_device, managing_device]))(f"device {number}")
            keys[new.id] = new
            owner.add(new, by=by)
            model.active.add(new.id)
            model.enc[new.id] = new.encryption.public
        elif act == "rename":
            model.name = f"name{number}"
            owner.rename(model.name, by=by)
        elif act == "key":
            owner.recovery, old = signing_key(f"recovery {number}"), owner.recovery
            owner.take(accounts.set_recovery(state, owner.recovery, at=NOW, by=old))
            model.recovery = owner.recovery.public
        elif act == "recover":
            new = managing_device(f"device {number}")
            keys[new.id] = new
            kept = data.draw(st.sets(st.sampled_from(sorted(model.active)))) if model.active else set()
            pairs = [(state.devices[id].record, b"") for id in kept]
            pairs.append((new.record, consent_to_stand(new, state.account, state.length)))
            owner.take(accounts.recover(state, pairs, {"only": [new.id, *kept]}, at=NOW, by=owner.recovery))
            for id in model.active - kept:
                model.end(id, DeviceStatus.REVOKED)
            model.active.add(new.id)
            model.enc[new.id] = new.encryption.public
            model.agents = {"only": {new.id, *kept}}
        elif not model.active:
            continue
        elif act == "revoke":
            owner.take(accounts.revoke_device(state, device.id, "", at=NOW, by=by))
            model.end(device.id, DeviceStatus.REVOKED)
        elif act == "retire":
            owner.retire(device)
            model.end(device.id, DeviceStatus.RETIRED)
        elif act == "rotate":
            model.enc[device.id] = encryption_key(f"key {number}").public
            owner.rotate(device, model.enc[device.id])
        else:
            agent = data.draw(st.sampled_from(["a", "b", "c"]))
            served = data.draw(st.sets(st.sampled_from(sorted(model.active))))
            owner.take(accounts.set_agent(state, agent, served, at=NOW, by=by))
            model.agents[agent] = set(served)
            model.agents = {name: ids for name, ids in model.agents.items() if ids}
    return owner, model


@given(st.data())
def test_random_history_folds_to_what_a_plain_model_says(data):
    """Fold at once, step by step and again from the store: one state, and the model's."""
    owner, model = _draw_history(data)
    log = owner.log
    state = log.state
    assert fold(log.statements) == log == refold(log.statements)
    assert log.heads == fold(log.statements).heads
    assert (state.name, state.recovery, state.length) == (model.name, model.recovery, len(log.statements))
    assert {device.id for device in state.active_devices()} == model.active
    assert {id: device.status for id, device in state.devices.items() if id not in model.active} == model.gone
    assert {id: device.record.enc for id, device in state.devices.items()} == model.enc
    assert {name: set(ids) for name, ids in state.agents.items()} == model.agents
    assert all(ids == tuple(sorted(ids)) for ids in state.agents.values())
    for device in state.active_devices():
        assert state.device_for_encryption_key(device.record.enc, NOW) == device
        admits_device(log, device.id, log.position)
    cut = data.draw(st.integers(1, state.length))
    prefix = fold(log.statements[:cut])
    assert log.state_at(cut) == prefix.state
    assert prefix.extend(log.statements[cut:]) == log
    for device in state.devices.values():
        assert device.stood_at(cut) == (
            device.id in prefix.state.devices
            and prefix.state.devices[device.id].status is DeviceStatus.ACTIVE
        )
        if device.record.manage is not None:
            known = log.signer_was_manager(device.record.manage, log.position_at(cut))
            assert known == (device.record.manage in prefix.state.manage_keys())


# --- Agents that were withdrawn ---


def test_an_agent_that_no_device_served_in_between_was_withdrawn(ann: Owner) -> None:
    """Also where it is served again; not where another device takes it over at once, nor one that is new."""
    for name in ("gone", "anew", "moved", "lost", "kept"):
        ann.serve(name, SERVER if name == "lost" else ann.laptop)
    held = ann.log
    ann.serve("gone")
    ann.serve("anew")
    ann.serve("anew", ann.laptop)
    ann.serve("moved", PHONE)
    ann.serve("new", PHONE)
    ann.serve("new")
    ann.revoke(SERVER)
    assert withdrawn(held, ann.log) == {"gone", "anew", "lost"}
    assert withdrawn(held, held) == frozenset()
    assert withdrawn(ann.log, held) == frozenset()


def test_an_agent_of_a_branch_that_does_not_count_was_withdrawn(ann: Owner) -> None:
    """What the branch that counts calls by that name is another agent; what is older than both stays."""
    ann.serve("old", ann.laptop)
    shared = ann.log
    losing = ann.serve("here", ann.laptop)
    ann.log = shared
    ann.serve("other", ann.laptop)
    assert withdrawn(losing, ann.serve("here", ann.laptop)) == {"here"}


def test_an_agent_begins_anew_where_no_device_had_served_it(ann: Owner) -> None:
    """Whichever devices served it since; of a name that no agent has there is none."""
    before = ann.log.position
    ann.serve("writer", ann.laptop)
    first = ann.log.position
    ann.serve("writer", PHONE)
    assert [ann.log.began_after("writer", at) for at in (before, first)] == [True, False]
    ann.serve("writer")
    gone = ann.log.position
    assert not ann.log.began_after("writer", before)
    ann.serve("writer", ann.laptop)
    places = (first, gone, ann.log.position)
    assert [ann.log.began_after("writer", at) for at in places] == [True, True, False]
