"""Forks of a chain: which branch counts, what is kept out, what is proved; and homes that are adopted."""

import attrs
import pytest

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Hash
from taskferry_protocol.tasks import (
    Closure,
    EventType,
    Refused,
    Role,
    Seen,
    TaskEvent,
    TaskState,
    Viewer,
)

from .task_world import (
    DESK,
    HOME,
    NOTHING,
    PHONE,
    RACK,
    after,
    fold,
    request,
    seen,
    sign,
)

R, W = Role.REQUESTER, Role.WORKER
T = EventType

R0 = request()
W0 = after(None, T.TASK_ACCEPT, seen(R0), role=W)
W1 = after(W0, T.ARTIFACT_SUBMIT, seen(R0), role=W)
CANCEL = after(R0, T.TASK_CANCEL, NOTHING, role=R)


def fork_of(event: TaskEvent, salt: int = 1) -> TaskEvent:
    """Another event of the same device for the same place."""
    link = event.link
    return sign(
        event.role, event.type, link, device=event.device, names=event.names, answers=event.answers, salt=salt
    )


def by_hash(*events: TaskEvent) -> list[TaskEvent]:
    """The events, lowest hash first."""
    return sorted(events, key=lambda event: event.hash)


def hashes(*events: TaskEvent) -> tuple[Hash, ...]:
    """Their hashes."""
    return tuple(event.hash for event in events)


def taken(shown) -> tuple[TaskEvent, ...]:
    """What was taken, in order."""
    return tuple(line.event for line in shown.taken)


def test_unnamed_fork_counts_by_lowest_hash_and_is_not_settled():
    """Until the other side names one, both ends choose alike, and nobody calls it settled, not even home."""
    low, high = by_hash(W1, fork_of(W1))
    for viewer in Viewer:
        shown = fold(R0, W0, W1, fork_of(W1), viewer=viewer)
        assert taken(shown) == (R0, W0, low)
        assert [line.event for line in shown.unconfirmed][-1] == low
        assert shown.refused == (Refused(high.hash, W, 1, RejectCode.FORK),)
        (fork,) = shown.forks
        assert (fork.role, fork.n, fork.chosen, fork.others) == (W, 1, low.hash, (high.hash,))
        assert fork.evidence == ((low.hash, high.hash),)


@pytest.mark.parametrize("through", ["itself", "descendant"])
def test_named_branch_counts_whatever_its_hash(through):
    """The branch that the requester's chain names, itself or in a later event, is the one."""
    low, high = by_hash(W1, fork_of(W1))
    follows = after(high, T.TASK_PROGRESS, seen(R0), role=W)
    named = high if through == "itself" else follows
    confirm = after(R0, T.TASK_SEEN, seen(named), role=R)
    shown = fold(R0, W0, low, high, follows, confirm)
    assert taken(shown)[:3] == (R0, W0, high)
    assert confirm in taken(shown)
    assert shown.refused == (Refused(low.hash, W, 1, RejectCode.FORK),)
    assert shown.taken[2].settled


def test_branch_named_late_counts_all_the_same():
    """However long the chain in which it is named, a named branch goes before one that is not."""
    low, high = by_hash(CANCEL, after(R0, T.TASK_SEEN, NOTHING, role=R))
    chain = [W0]
    for _ in range(9):
        chain.append(after(chain[-1], T.TASK_PROGRESS, seen(R0), role=W))
    chain.append(after(chain[-1], T.TASK_PROGRESS, seen(high), role=W))
    assert high in taken(fold(R0, low, high, *chain))


def test_of_two_branches_that_are_named_the_first_namer_decides():
    """A requester that names both is believed in the event of the lower number."""
    low, high = by_hash(W1, fork_of(W1))
    first = after(R0, T.TASK_SEEN, seen(high), role=R)
    second = after(first, T.TASK_SEEN, seen(low), role=R)
    shown = fold(R0, W0, low, high, first, second)
    assert high in taken(shown)
    assert shown.closed == (Closure(R, 2, second.hash, RejectCode.UNKNOWN_SEEN),)


def test_requester_fork_is_decided_by_the_worker():
    """The worker's chain names a branch of the requester in the same way."""
    low, high = by_hash(CANCEL, after(R0, T.TASK_SEEN, NOTHING, role=R))
    confirm = after(W0, T.TASK_PROGRESS, seen(high), role=W)
    assert high in taken(fold(R0, W0, low, high, confirm))
    assert low in taken(fold(R0, W0, low, high))


def test_naming_at_another_place_decides_nothing():
    """A count that does not fit the event named is no naming."""
    low, high = by_hash(W1, fork_of(W1))
    odd = after(R0, T.TASK_SEEN, Seen(3, high.hash), role=R)
    assert low in taken(fold(R0, W0, low, high, odd))


def test_what_descends_from_the_other_branch_is_kept_out():
    """Events that stand on a branch that does not count are forks like it, and prove nothing more."""
    low, high = by_hash(W1, fork_of(W1))
    follows = after(high, T.TASK_PROGRESS, seen(R0), role=W)
    shown = fold(R0, W0, low, high, follows)
    assert [out.hash for out in shown.refused] == [high.hash, follows.hash]
    assert [(fork.n, len(fork.evidence)) for fork in shown.forks] == [(1, 1), (2, 0)]


def test_rewritten_past_is_a_fork_with_proof():
    """An event whose prev is another than the one that its device showed at that place proves a fork."""
    hidden = fork_of(W0)
    follows = after(hidden, T.ARTIFACT_SUBMIT, seen(R0), role=W)
    shown = fold(R0, W0, follows)
    assert shown.refused == (Refused(follows.hash, W, 1, RejectCode.FORK),)
    (fork,) = shown.forks
    assert (fork.chosen, fork.evidence) == (None, ((W0.hash, follows.hash),))


def test_fork_behind_a_gap_is_shown_at_once():
    """Two events for one place are evidence, even before the fold comes there."""
    shown = fold(R0, W1, fork_of(W1))
    assert set(shown.waiting) == {W1, fork_of(W1)}
    assert shown.forks[0].evidence == (hashes(*by_hash(W1, fork_of(W1))),)


def test_other_worker_device_is_kept_out():
    """Once a device of the worker has begun, another one's event at its next place is a fork, not proof."""
    other = after(W0, T.ARTIFACT_SUBMIT, seen(R0), role=W, device=RACK)
    shown = fold(R0, W0, other)
    assert (shown.refused, shown.forks[0].evidence) == ((Refused(other.hash, W, 1, RejectCode.FORK),), ())
    rival = after(None, T.TASK_ACCEPT, seen(R0), role=W, device=RACK)
    low, high = by_hash(W0, rival)
    confirm = after(R0, T.TASK_SEEN, seen(high), role=R)
    shown = fold(R0, W0, rival, confirm)
    assert shown.worker_device == high.device
    assert (shown.forks[0].others, shown.forks[0].evidence) == ((low.hash,), ())


def test_stolen_second_device_decides_no_fork():
    """What another device of the requester names does not count against what the home names."""
    low, high = by_hash(W1, fork_of(W1))
    confirm = after(R0, T.TASK_SEEN, seen(high), role=R)
    stolen = [after(R0, T.TASK_SEEN, seen(low), role=R, device=PHONE, salt=salt) for salt in range(8)]
    shown = fold(R0, W0, low, high, confirm, *stolen)
    assert taken(shown) == (R0, W0, high, confirm)
    assert shown.closed == ()


NAMED = after(R0, T.TASK_SEEN, seen(W0), role=R)
ADOPTED = after(NAMED, T.TASK_CANCEL, seen(W0), role=R, device=PHONE, adopt=True)


def test_revoked_home_is_adopted():
    """Another device goes on at the next number, and is the home from there."""
    shown = fold(R0, W0, NAMED, ADOPTED, revoked={HOME})
    assert (shown.state, shown.home) == (TaskState.CANCELLED, PHONE)


LAST_WORD = after(NAMED, T.TASK_SEEN, seen(W0), role=R, salt=7)


def test_an_adoption_is_settled_once_the_worker_has_seen_it():
    """Until then the home may turn out to have signed at that place, also at the device that adopted."""
    held = (R0, W0, NAMED, ADOPTED)
    for viewer in Viewer:
        shown = fold(*held, viewer=viewer, revoked={HOME})
        assert (shown.state, shown.settled, shown.is_final) == (TaskState.CANCELLED, False, False)
        assert shown.settled_state is TaskState.ACCEPTED
        noticed = after(W0, T.TASK_SEEN, seen(ADOPTED), role=W)
        shown = fold(*held, noticed, viewer=viewer, revoked={HOME})
        assert (shown.settled, shown.is_final) == (True, True)


def test_what_the_worker_saw_of_a_revoked_home_counts_before_the_adoption():
    """The adopter's event is kept out, and nothing that it showed as settled is taken back."""
    answer = after(W0, T.TASK_SEEN, seen(LAST_WORD), role=W)
    held = (R0, W0, NAMED, ADOPTED, LAST_WORD, answer)
    for viewer in Viewer:
        before = fold(*held[:4], viewer=viewer, revoked={HOME})
        shown = fold(*held, viewer=viewer, revoked={HOME})
        assert taken(shown) == (R0, W0, NAMED, LAST_WORD, answer)
        assert shown.refused == (Refused(ADOPTED.hash, R, 2, RejectCode.FORK),)
        assert taken(before)[: before.order.settled] == taken(shown)[: before.order.settled]


def test_a_home_is_not_adopted_past_what_the_worker_saw_of_it():
    """An event of the home that is not here is waited for; signing in its place would be a fork."""
    answer = after(W0, T.TASK_PROGRESS, seen(LAST_WORD), role=W)
    shown = fold(R0, W0, NAMED, answer, revoked={HOME})
    assert shown.may_adopt(PHONE)
    assert shown.standstill(R) is RejectCode.UNKNOWN_SEEN
    assert fold(R0, W0, NAMED, LAST_WORD, answer, revoked={HOME}).standstill(R) is None
    # At home no word of the worker's stops anybody.
    assert fold(R0, W0, NAMED, ADOPTED, answer, viewer=Viewer.HOME, revoked={HOME}).standstill(R) is None


def test_adoption_outlives_its_adopter():
    """That the adopter is revoked later takes nothing back, and a third device may go on."""
    confirm = after(ADOPTED, T.TASK_SEEN, seen(W0), role=R, device=DESK, adopt=True)
    shown = fold(R0, W0, NAMED, ADOPTED, confirm, revoked={HOME, PHONE})
    assert (shown.state, shown.home) == (TaskState.CANCELLED, DESK)


@pytest.mark.parametrize(
    ("events", "revoked"),
    [
        ((R0, W0, NAMED, ADOPTED), set()),
        ((R0, W0, NAMED, attrs.evolve(ADOPTED, link=attrs.evolve(ADOPTED.link, adopt=False))), {HOME}),
        ((R0, W0, after(R0, T.TASK_CANCEL, seen(W0), role=R, device=PHONE, adopt=True)), {HOME}),
    ],
    ids=["home stands", "does not say so", "no worker device named"],
)
def test_adoption_that_is_not_allowed_is_kept_out(events, revoked):
    """A home is adopted once it is revoked and a worker device is named, by an event that says so."""
    shown = fold(*events, revoked=revoked)
    assert shown.state is TaskState.ACCEPTED
    assert [out.code for out in shown.refused] == [RejectCode.FORK]


def test_adopter_names_like_a_home():
    """After the home is revoked, its adopter's chain decides forks of the worker."""
    low, high = by_hash(W1, fork_of(W1))
    adopter = after(NAMED, T.TASK_SEEN, seen(high), role=R, device=PHONE, adopt=True)
    assert high in taken(fold(R0, W0, NAMED, adopter, low, high, revoked={HOME}))


def test_naming_counts_before_the_request_is_there():
    """Without the request nobody knows the home, and still nothing fails."""
    low, high = by_hash(W1, fork_of(W1))
    shown = fold(W0, low, high, NAMED)
    assert (shown.state, shown.home, shown.may_write(W, DESK)) == (None, None, False)
