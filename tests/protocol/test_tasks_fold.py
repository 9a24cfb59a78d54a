"""The order of events: what is taken, what waits, what is kept out, and what is settled."""

import attrs
import pytest

from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.tasks import (
    Closure,
    Effect,
    EventType,
    Gap,
    Reason,
    Refused,
    Role,
    Seen,
    TaskEvent,
    TaskLink,
    TaskState,
    VersionName,
    Viewer,
    check_event,
    fold_task,
)

from .task_world import (
    DESK,
    FAKE,
    HOME,
    NOTHING,
    PHONE,
    RACK,
    TERMS,
    after,
    every_order,
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
V1 = VersionName(1, W1.hash)
COMPLETE = after(R0, T.TASK_COMPLETE, seen(W1), role=R, names=V1)
REVISE = after(R0, T.REVISION_REQUEST, seen(W1), role=R, names=V1)


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


def test_task_goes_from_request_to_completion():
    """The plain case: request, accept, submit, complete, with one version."""
    shown = fold(R0, W0, W1, COMPLETE)
    assert taken(shown) == (R0, W0, W1, COMPLETE)
    assert (shown.state, shown.is_final, shown.newest) == (TaskState.COMPLETED, True, V1)
    assert [line.state.value for line in shown.taken] == ["sent", "accepted", "submitted", "completed"]


@pytest.mark.parametrize(
    ("mine", "theirs", "state", "reason"),
    [
        (CANCEL, W0, TaskState.CANCELLED, Reason.FINISHED),
        (after(R0, T.TASK_CANCEL, seen(W0), role=R), W1, TaskState.CANCELLED, Reason.FINISHED),
        (COMPLETE, after(W1, T.TASK_FAIL, seen(R0), role=W), TaskState.COMPLETED, Reason.FINISHED),
    ],
    ids=["cancel-accept", "cancel-submit", "complete-fail"],
)
def test_of_two_that_cross_the_requester_comes_first(mine, theirs, state, reason):
    """Whichever arrives first where: the requester's event has its effect, the other is superseded."""
    events = {R0, W0, W1, mine, theirs} if mine is COMPLETE else {R0, W0, mine, theirs}
    for order in every_order(events):
        shown = fold(*order)
        assert shown.state is state
        assert [(line.event, line.reason) for line in shown.superseded][-1] == (theirs, reason)


def test_version_that_crosses_a_revision_request_is_kept():
    """A second submission that had not seen the request counts as a version and leaves the revision open."""
    second = after(W1, T.ARTIFACT_SUBMIT, seen(R0), role=W)
    shown = fold(R0, W0, W1, REVISE, second)
    assert shown.state is TaskState.REVISION_REQUESTED
    assert [(v.number, v.status) for v in shown.versions] == [(1, Effect.EFFECTIVE), (2, Effect.KEPT)]
    assert [line.event for line in shown.kept] == [second]
    named = VersionName(2, second.hash)
    assert shown.newest == named
    done = after(REVISE, T.TASK_COMPLETE, seen(second), role=R, names=named)
    assert fold(R0, W0, W1, REVISE, second, done).state is TaskState.COMPLETED


def test_nothing_is_taken_without_the_request():
    """A worker's event alone waits for the request, which is the gap."""
    shown = fold(W0)
    assert (shown.state, shown.waiting, shown.gaps) == (None, (W0,), (Gap(R, 0, 0),))
    assert (shown.taken, shown.settled_state, shown.is_final) == ((), None, False)


def test_gaps_are_ranges_before_what_waits():
    """Missing places show in the author's own chain, and in what its event has seen of the other."""
    later = attrs.evolve(W1, link=TaskLink(R0.hash, 2**63, FAKE, Seen(3, FAKE)))
    middle = attrs.evolve(W0, hash=FAKE, link=TaskLink(R0.hash, 5, FAKE, seen(R0)))
    shown = fold(R0, W0, middle, later)
    assert shown.waiting == (middle, later)
    assert shown.gaps == (Gap(R, 1, 2), Gap(W, 1, 4), Gap(W, 6, 2**63 - 1))


def test_event_waits_for_what_it_has_seen():
    """A completion that arrives before the submission it speaks of has no effect until that is there."""
    shown = fold(R0, W0, COMPLETE)
    assert (shown.state, shown.waiting, shown.gaps) == (TaskState.ACCEPTED, (COMPLETE,), (Gap(W, 1, 1),))


@pytest.mark.parametrize("viewer", list(Viewer))
def test_seen_with_another_hash_closes_the_chain(viewer):
    """Whoever has seen another event than the one taken at that place is heard no more; the other goes on."""
    liar = after(R0, T.TASK_CANCEL, Seen(1, FAKE), role=R)
    follows = after(liar, T.TASK_SEEN, seen(W0), role=R)
    shown = fold(R0, W0, liar, follows, W1, viewer=viewer)
    assert shown.state is TaskState.SUBMITTED
    assert shown.closed == (Closure(R, 1, liar.hash, RejectCode.UNKNOWN_SEEN),)
    assert [(out.hash, out.code) for out in shown.refused] == [
        (liar.hash, RejectCode.UNKNOWN_SEEN),
        (follows.hash, RejectCode.UNKNOWN_SEEN),
    ]
    assert shown.waiting == ()


def test_seen_that_goes_back_closes_the_chain():
    """A count below that of the author's event before is bad-link."""
    confirm = after(R0, T.TASK_SEEN, seen(W1), role=R)
    back = after(confirm, T.TASK_CANCEL, seen(W0), role=R)
    shown = fold(R0, W0, W1, confirm, back)
    assert shown.state is TaskState.SUBMITTED
    assert shown.closed == (Closure(R, 2, back.hash, RejectCode.BAD_LINK),)


def test_wrong_hash_is_found_before_a_count_that_goes_back():
    """An event with both faults closes its chain as unknown-seen."""
    confirm = after(R0, T.TASK_SEEN, seen(W1), role=R)
    both = after(confirm, T.TASK_CANCEL, Seen(1, FAKE), role=R)
    assert fold(R0, W0, W1, confirm, both).closed[0].code is RejectCode.UNKNOWN_SEEN


def test_home_closes_on_an_event_of_its_own_that_it_never_made():
    """A worker that has seen more of the home than there is is waited for elsewhere, and not at home."""
    forged = after(W0, T.ARTIFACT_SUBMIT, Seen(4, FAKE), role=W)
    at_home = fold(R0, W0, forged, viewer=Viewer.HOME)
    assert at_home.closed == (Closure(W, 1, forged.hash, RejectCode.UNKNOWN_SEEN),)
    assert (at_home.waiting, at_home.gaps) == ((), ())
    elsewhere = fold(R0, W0, forged)
    assert (elsewhere.closed, elsewhere.waiting, elsewhere.gaps) == ((), (forged,), (Gap(R, 1, 3),))
    assert at_home.state is elsewhere.state


def test_home_whose_store_is_behind_waits_for_its_own_event():
    """If the event that the worker has seen turns up, it is the home's store that was behind."""
    mine = after(R0, T.TASK_SEEN, seen(W0), role=R)
    later = after(mine, T.TASK_SEEN, seen(W0), role=R)
    theirs = after(W0, T.ARTIFACT_SUBMIT, seen(later), role=W)
    shown = fold(R0, W0, theirs, later, viewer=Viewer.HOME)
    assert (shown.closed, shown.waiting, shown.gaps) == ((), (later, theirs), (Gap(R, 1, 1),))


def test_worker_device_closes_on_an_event_of_its_own_once_it_is_named():
    """Before that, another device of the worker may be the one that the requester has heard."""
    unnamed = after(R0, T.TASK_CANCEL, Seen(2, FAKE), role=R)
    assert fold(R0, W0, unnamed, viewer=Viewer.WORKER).waiting == (unnamed,)
    confirm = after(R0, T.TASK_SEEN, seen(W0), role=R)
    forged = after(confirm, T.TASK_CANCEL, Seen(2, FAKE), role=R)
    shown = fold(R0, W0, confirm, forged, viewer=Viewer.WORKER)
    assert shown.closed == (Closure(R, 2, forged.hash, RejectCode.UNKNOWN_SEEN),)


def test_chain_that_is_closed_is_not_closed_again():
    """The first fault is the one that is reported, also where the writer looks on."""
    forged = after(W0, T.ARTIFACT_SUBMIT, Seen(1, FAKE), role=W)
    shown = fold(R0, W0, forged, viewer=Viewer.HOME)
    assert shown.closed == (Closure(W, 1, forged.hash, RejectCode.UNKNOWN_SEEN),)


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


def test_worker_events_are_settled_by_the_requesters_seen():
    """Elsewhere than at home, what the requester's chain has not counted is not yet confirmed."""
    failed = after(W0, T.TASK_FAIL, seen(R0), role=W)
    at_home = fold(R0, W0, failed, viewer=Viewer.HOME)
    assert (at_home.settled, at_home.is_final, at_home.display) == (True, True, "failed")
    for viewer in (Viewer.WORKER, Viewer.ELSEWHERE):
        shown = fold(R0, W0, failed, viewer=viewer)
        assert (shown.settled, shown.is_final) == (False, False)
        assert shown.display == "failed (not yet confirmed)"
        assert shown.settled_state is TaskState.SENT
        assert [line.event for line in shown.unconfirmed] == [W0, failed]
        confirmed = fold(R0, W0, failed, after(R0, T.TASK_SEEN, seen(failed), role=R), viewer=viewer)
        assert (confirmed.settled, confirmed.is_final) == (True, True)


def test_cancellation_is_final_before_anyone_confirms():
    """A requester's event is settled everywhere: nothing that is still to come precedes it."""
    assert fold(R0, CANCEL).is_final


def test_unknown_task_is_displayed_as_such():
    """Before the request is there, there is no state to show."""
    assert fold(W0).display == "unknown"


def test_event_of_another_task_or_party_is_refused():
    """An event that cannot stand in the task is refused with its code, on arrival and by the fold."""
    stranger = attrs.evolve(W0, role=R)
    elsewhere = attrs.evolve(W0, link=attrs.evolve(W0.link, task=FAKE))
    early = attrs.evolve(NAMED, link=TaskLink(R0.hash, 0, None, NOTHING))
    blind = attrs.evolve(NAMED, role=W, link=attrs.evolve(NAMED.link, seen=NOTHING))
    adopting = attrs.evolve(NAMED, role=W, link=attrs.evolve(NAMED.link, adopt=True))
    crooked = attrs.evolve(W1, link=attrs.evolve(W1.link, prev=None))
    second = request(attrs.evolve(TERMS, revisions=9))
    for event, code in (
        (stranger, RejectCode.WRONG_PARTY),
        (elsewhere, RejectCode.UNKNOWN_TASK),
        (second, RejectCode.UNKNOWN_TASK),
        (crooked, RejectCode.BAD_LINK),
        (early, RejectCode.BAD_LINK),
        (blind, RejectCode.BAD_LINK),
        (adopting, RejectCode.BAD_LINK),
        (attrs.evolve(early, link=TaskLink(R0.hash, 0, None, seen(W0))), RejectCode.BAD_LINK),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            check_event(event, R0.hash)
        assert caught.value.code is code
        with pytest.raises(RemoteProtocolError):
            fold(R0, event)


def test_one_hash_with_two_contents_is_our_own_bug():
    """Hashes name bytes, so such input cannot have come from a peer."""
    for other in (attrs.evolve(W0, device=RACK), attrs.evolve(NAMED, hash=W0.hash)):
        with pytest.raises(LocalProtocolError):
            fold_task([R0, W0, other], task=R0.hash, viewer=Viewer.HOME)


def test_event_without_the_facts_of_its_type_cannot_be_made():
    """A completion names a version, and nothing else does."""
    with pytest.raises(LocalProtocolError):
        attrs.evolve(COMPLETE, names=None)
    with pytest.raises(LocalProtocolError):
        attrs.evolve(W0, answers=0)
