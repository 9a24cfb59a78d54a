"""The order of events: what is taken, what waits, what is kept out, and what is settled."""

import attrs
import pytest

from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.tasks import (
    Closure,
    Effect,
    EventType,
    Gap,
    Reason,
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
    FAKE,
    NOTHING,
    RACK,
    TERMS,
    after,
    every_order,
    fold,
    request,
    seen,
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
NAMED = after(R0, T.TASK_SEEN, seen(W0), role=R)


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
