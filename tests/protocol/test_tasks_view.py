"""What can be done in a task now, by whom, with which link, and what is confirmed unasked."""

import attrs
import pytest

from taskferry_protocol.errors import LocalProtocolError, RejectCode
from taskferry_protocol.ids import Instant
from taskferry_protocol.tasks import (
    EventType,
    Reason,
    Refusal,
    Role,
    Seen,
    TaskLink,
    TaskView,
    VersionName,
    Viewer,
    check_action,
    check_event,
    confirmation_due,
)

from .task_world import DEADLINE, DESK, FAKE, HOME, NOTHING, PHONE, RACK, TERMS, after, fold, request, seen

R, W = Role.REQUESTER, Role.WORKER
T = EventType

R0 = request()
W0 = after(None, T.TASK_ACCEPT, seen(R0), role=W)
W1 = after(W0, T.ARTIFACT_SUBMIT, seen(R0), role=W)
V1 = VersionName(1, W1.hash)
REVISE = after(R0, T.REVISION_REQUEST, seen(W1), role=R, names=V1)
CANCEL = after(R0, T.TASK_CANCEL, NOTHING, role=R)
EARLY = Instant(DEADLINE - 1)


def test_next_link_stands_at_the_end_of_both_chains():
    """A new event follows its author's last, and has seen all that is taken of the other side."""
    shown = fold(R0, W0, W1)
    assert shown.next_link(R) == TaskLink(R0.hash, 1, R0.hash, Seen(2, W1.hash))
    assert shown.next_link(W) == TaskLink(R0.hash, 2, W1.hash, Seen(1, R0.hash))
    assert fold(R0).next_link(W) == TaskLink(R0.hash, 0, None, Seen(1, R0.hash))
    assert fold(R0).seen_for(R) == NOTHING


def test_nothing_is_signed_without_the_request_or_past_a_hole():
    """While events of one's own are missing or the chain is closed, signing would fork or go unheard."""
    own_missing = after(REVISE, T.TASK_SEEN, seen(W1), role=R)
    closed = after(R0, T.TASK_CANCEL, Seen(1, FAKE), role=R)
    assert fold(R0, W0, own_missing).standstill(R) is RejectCode.UNKNOWN_SEEN
    assert fold(R0, W0, closed).standstill(R) is RejectCode.UNKNOWN_SEEN
    assert fold(R0, W0, closed).standstill(W) is None
    for shown in (fold(W0), fold(R0, W0, own_missing), fold(R0, W0, closed)):
        with pytest.raises(LocalProtocolError):
            shown.next_link(R)
    assert check_action(fold(R0, W0, closed), R, T.TASK_CANCEL, now=EARLY) is RejectCode.UNKNOWN_SEEN


@pytest.mark.parametrize(
    ("events", "requester", "worker"),
    [
        ((R0,), {T.TASK_CANCEL}, {T.TASK_ACCEPT, T.TASK_DECLINE}),
        ((R0, W0), {T.TASK_CANCEL}, {T.TASK_PROGRESS, T.ARTIFACT_SUBMIT, T.TASK_FAIL}),
        (
            (R0, W0, W1),
            {T.TASK_CANCEL, T.TASK_COMPLETE, T.REVISION_REQUEST},
            {T.ARTIFACT_SUBMIT, T.TASK_FAIL},
        ),
        (
            (R0, W0, W1, REVISE),
            {T.TASK_CANCEL, T.TASK_COMPLETE},
            {T.TASK_PROGRESS, T.ARTIFACT_SUBMIT, T.TASK_FAIL},
        ),
        ((R0, CANCEL), set(), set()),
        ((W0,), set(), set()),
    ],
    ids=["sent", "accepted", "submitted", "revision_requested", "cancelled", "unknown"],
)
def test_actions_are_those_of_the_table(events, requester, worker):
    """Each side is offered what the table lets it do in this state, and expiry once the deadline is past."""
    shown = fold(*events)
    assert set(shown.actions(R, EARLY)) == requester
    assert set(shown.actions(W, EARLY)) == worker
    expiry = {T.TASK_EXPIRE} if shown.state in {"sent", "accepted", "revision_requested"} else set()
    assert set(shown.actions(R, DEADLINE)) == requester | expiry


def test_refusal_names_code_and_reason():
    """What cannot be done is refused with the code that the API answers, and the table's reason."""
    shown = fold(R0, W0, W1)
    assert check_action(shown, R, T.TASK_COMPLETE, now=EARLY, names=V1) is None
    stale = shown.refuse(R, T.TASK_COMPLETE, now=EARLY, names=VersionName(1, FAKE))
    assert stale == Refusal(RejectCode.SUPERSEDED, Reason.NOT_NEWEST)
    assert shown.refuse(W, T.TASK_ACCEPT, now=EARLY) == Refusal(RejectCode.SUPERSEDED, Reason.NOT_NOW)
    assert shown.refuse(W, T.TASK_COMPLETE, now=EARLY) == Refusal(RejectCode.WRONG_PARTY)
    assert check_action(shown, W, T.ARTIFACT_SUBMIT, now=EARLY, answers=1) is RejectCode.SUPERSEDED
    assert check_action(fold(W0), R, T.TASK_CANCEL, now=EARLY) is RejectCode.UNKNOWN_TASK


@pytest.mark.parametrize("action", [T.TASK_REQUEST, T.TASK_SEEN])
def test_request_and_confirmation_are_no_actions(action):
    """Nobody does these to a task; a caller that asks has a bug."""
    with pytest.raises(LocalProtocolError):
        fold(R0).refuse(R, action, now=EARLY)


def test_spent_budget_leaves_only_what_ends_the_task():
    """All messages count but task_seen; when they reach the budget, the task can only be ended."""
    small = request(attrs.evolve(TERMS, budget=3))
    accept = after(None, T.TASK_ACCEPT, seen(small), role=W, task=small.hash)
    confirm = after(small, T.TASK_SEEN, seen(accept), role=R, task=small.hash)
    before = fold(small, accept, confirm)
    assert (before.spent, T.TASK_PROGRESS in before.actions(W, EARLY)) == (2, True)
    submit = after(accept, T.ARTIFACT_SUBMIT, seen(confirm), role=W, task=small.hash)
    shown = fold(small, accept, confirm, submit)
    assert (shown.spent, shown.over_budget) == (3, False)
    assert set(shown.actions(R, EARLY)) == {T.TASK_COMPLETE, T.TASK_CANCEL}
    assert shown.actions(W, EARLY) == (T.TASK_FAIL,)
    assert check_action(shown, W, T.ARTIFACT_SUBMIT, now=EARLY) is RejectCode.RATE_LIMITED
    another = after(submit, T.ARTIFACT_SUBMIT, seen(confirm), role=W, task=small.hash)
    assert fold(small, accept, confirm, submit, another).over_budget
    assert not fold(R0, W0).over_budget
    assert not fold(W0).over_budget


def test_answers_counts_the_revision_requests_that_were_read():
    """A submission answers what its agent has read of those that took effect, and nothing else."""
    shown = fold(R0, W0, W1, REVISE)
    assert (shown.asks, shown.revisions) == (1, (REVISE.hash,))
    assert shown.answers({REVISE.hash, FAKE}) == 1
    assert shown.answers(set()) == 0


def test_view_gives_the_terms_of_the_request():
    """Terms come from the request, and are unknown without it."""
    assert fold(R0).terms == TERMS
    assert (fold(W0).terms, fold(W0).asks, fold(W0).newest) == (None, 0, None)


def test_one_device_writes_for_each_side():
    """The home signs for the requester; for the worker any device may begin, and that one goes on."""
    open_ = fold(R0)
    assert open_.may_write(R, HOME)
    assert not open_.may_write(R, PHONE)
    assert open_.may_write(W, DESK)
    assert open_.may_write(W, RACK)
    begun = fold(R0, W0)
    assert begun.may_write(W, DESK)
    assert not begun.may_write(W, RACK)


def test_viewer_follows_from_the_device():
    """The two writers look from their places, everyone else from elsewhere."""
    devices = dict(zip((HOME, DESK, PHONE), Viewer, strict=True))
    for device, viewer in devices.items():
        assert fold(R0, W0, viewer=device) == fold(R0, W0, viewer=viewer)
    assert fold(W0, viewer=HOME).viewer is fold(R0, viewer=DESK).viewer is Viewer.ELSEWHERE


def test_adopting_link_goes_on_from_the_home():
    """A device that may adopt gets the next link with `adopt`; one that may not is a caller's bug."""
    named = after(R0, T.TASK_SEEN, seen(W0), role=R)
    shown = fold(R0, W0, named, revoked={HOME})
    link = TaskLink(R0.hash, 2, named.hash, Seen(1, W0.hash), adopt=True)
    assert shown.may_adopt(PHONE)
    assert shown.adopting_link(PHONE) == link
    for other in (fold(R0, W0, named), fold(R0, W0, revoked={HOME}), fold(W0, revoked={HOME})):
        assert not other.may_adopt(PHONE)
        with pytest.raises(LocalProtocolError):
            other.adopting_link(PHONE)
    assert not shown.may_adopt(HOME)


def arrive(before: tuple, *more) -> tuple[TaskView, TaskView]:
    """The views before and after more events."""
    return fold(*before), fold(*before, *more)


def test_what_is_not_answered_is_confirmed():
    """The home confirms an acceptance, the worker a revision request, each at the next place."""
    before, now = arrive((R0,), W0)
    link = confirmation_due(before, now, R)
    assert link == TaskLink(R0.hash, 1, R0.hash, Seen(1, W0.hash))
    before, now = arrive((R0, W0, W1), REVISE)
    link = confirmation_due(before, now, W)
    assert link == TaskLink(R0.hash, 2, W1.hash, Seen(2, REVISE.hash))


def test_a_confirmation_and_a_bare_request_are_not_confirmed():
    """Else two daemons would confirm for ever, and every device of a worker would begin the task."""
    assert confirmation_due(None, fold(R0), W) is None
    confirm = after(R0, T.TASK_SEEN, seen(W0), role=R)
    assert confirmation_due(fold(R0, W0), fold(R0, W0, confirm), W) is None
    assert confirmation_due(fold(R0, W0, confirm), fold(R0, W0, confirm), R) is None


def test_a_cancellation_before_any_answer_is_confirmed():
    """What follows a request is confirmed even by a worker that never spoke: that pins the branch."""
    link = confirmation_due(fold(R0), fold(R0, CANCEL), W)
    assert link == TaskLink(R0.hash, 0, None, Seen(2, CANCEL.hash))


def test_nothing_is_confirmed_without_the_request_or_past_a_hole():
    """Where nothing can be signed, nothing is due."""
    own_missing = after(REVISE, T.TASK_SEEN, seen(W1), role=R)
    assert confirmation_due(None, fold(W0), R) is None
    assert confirmation_due(fold(R0), fold(R0, W0, own_missing), R) is None


def fork_of_confirmations(wanted: int) -> tuple:
    """Two confirmations of the requester for one place: one taken first, one that sorts `wanted` of it."""
    first = after(R0, T.TASK_SEEN, seen(W1), role=R)
    rivals = (after(R0, T.TASK_SEEN, seen(W0), role=R, salt=salt) for salt in range(64))
    return first, next(rival for rival in rivals if (rival.hash > first.hash) == (wanted > 0))


@pytest.mark.parametrize("wanted", [-1, 1], ids=["lower", "higher"])
def test_a_fork_that_nobody_named_is_decided_for_what_was_taken_first(wanted):
    """Whichever branch sorts first, the writer of the other side names the one that it showed."""
    first, rival = fork_of_confirmations(wanted)
    before, now = arrive((R0, W0, W1, first), rival)
    assert not now.settled
    link = confirmation_due(before, now, W)
    assert link == TaskLink(R0.hash, 2, W1.hash, seen(first))
    pinned = attrs.evolve(after(W1, T.TASK_SEEN, seen(first), role=W), link=link)
    check_event(pinned, R0.hash)
    assert [line.event for line in fold(R0, W0, W1, first, rival, pinned).taken][3] == first
    assert fold(R0, W0, W1, first, rival, pinned).settled


def test_a_fork_of_which_nothing_was_shown_is_decided_as_it_stands():
    """Where both branches came at once, the one that counts is named."""
    first, rival = fork_of_confirmations(-1)
    link = confirmation_due(None, fold(R0, W0, W1, first, rival), W)
    assert link is not None
    assert link.seen == seen(rival)
