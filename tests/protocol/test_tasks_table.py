"""The table of events and states: every cell, and every condition."""

from pathlib import Path

import attrs
import pytest

from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.links import EventType
from taskferry_protocol.task_table import (
    FINAL_STATES,
    TRANSITIONS,
    Cell,
    Effect,
    Reason,
    Standing,
    TaskState,
    TaskTerms,
    VersionName,
    begin,
    judge,
)

DEADLINE = Instant(1_000)
TERMS = TaskTerms(deadline=DEADLINE, revisions=2, budget=None)
NEWEST = VersionName(1, Hash(b"v" * 32))
NEXT = Hash(b"w" * 32)

# Written out a second time, by hand: a column is a state, with a plus after the first revision request that
# took effect. A dot is a cell that supersedes.
COLUMNS = """
                 sent      accepted  working   working+    submitted          revision_requested resubmitted
task_accept      accepted  .         .         .           .                  .                  .
task_decline     declined  .         .         .           .                  .                  .
task_progress    .         working   working   working     .                  working            .
artifact_submit  .         submitted submitted resubmitted resubmitted        resubmitted        resubmitted
revision_request .         .         .         .           revision_requested .        revision_requested
task_complete    .         .         .         completed   completed          completed          completed
task_cancel      cancelled cancelled cancelled cancelled   cancelled          cancelled          cancelled
task_fail        .         failed    failed    failed      failed             failed             failed
task_expire      expired   expired   expired   expired     .                  expired            .
"""


@attrs.frozen
class Deed:
    """An event with all that the table may ask for."""

    type: EventType
    hash: Hash = NEXT
    created_at: Instant = DEADLINE
    names: VersionName | None = NEWEST
    answers: int | None = 0
    deadline: Instant | None = DEADLINE


WORDS = {
    "submitted, or resubmitted if asks > 0": Cell(TaskState.SUBMITTED, TaskState.RESUBMITTED),
    "completed, if asks > 0": Cell(None, TaskState.COMPLETED),
    **{state.value: Cell(state, state) for state in TaskState},
}


def standing(state: TaskState, asks: int = 0) -> Standing:
    """A task in `state`, with one submission behind it."""
    return Standing(state, TERMS, asks, NEWEST, 1)


def cells():
    """Each cell of the table above: event, state, revision requests before it, next state or None."""
    head, *rows = [line.split() for line in COLUMNS.strip().splitlines()]
    for event, *targets in rows:
        for column, target in zip(head, targets, strict=True):
            state = TaskState(column.removesuffix("+"))
            asks = int(column.endswith("+") or state is TaskState.REVISION_REQUESTED)
            yield EventType(event), state, asks, None if target == "." else TaskState(target)


@pytest.mark.parametrize(("event", "state", "asks", "target"), list(cells()))
def test_cell_says_what_comes_next(event, state, asks, target):
    """With every condition met, each event leads from each state where the table says, or is superseded."""
    verdict = judge(standing(state, asks), Deed(event, answers=asks))
    if target is None:
        assert (verdict.effect, verdict.reason) == (Effect.SUPERSEDED, Reason.NOT_NOW)
        assert verdict.after.state is state
    else:
        assert (verdict.effect, verdict.reason) == (Effect.EFFECTIVE, None)
        assert verdict.after.state is target


def test_specification_writes_the_same_table():
    """The table in spec/tasks.md, written by hand, says cell by cell what the data says."""
    text = (Path(__file__).parents[2] / "spec" / "tasks.md").read_text("utf-8")
    head, _, *rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    states = [TaskState(column.strip()) for column in head[1:]]
    told = {}
    for name, *columns in rows:
        if len(columns) == len(states):
            event = EventType(name.partition("`")[2].partition("`")[0])
            told[event] = {
                state: WORDS[column.strip()]
                for state, column in zip(states, columns, strict=True)
                if column.strip() and not column.strip().startswith("—")
            }
    assert {event: row for event, row in told.items() if row} == TRANSITIONS


def test_table_has_no_cell_beyond_those():
    """The data holds the cells that are written here, and none for a state that is final."""
    written = {(event, state) for event, state, _, target in cells() if target is not None}
    held = {(event, state) for event, row in TRANSITIONS.items() for state in row}
    assert held == written
    assert not FINAL_STATES & {state for _, state in held}


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
@pytest.mark.parametrize("event", list(TRANSITIONS))
def test_final_state_is_never_left(event, state):
    """Whatever comes after the end is superseded for that reason."""
    verdict = judge(standing(state), Deed(event))
    assert (verdict.effect, verdict.reason) == (Effect.SUPERSEDED, Reason.FINISHED)
    assert verdict.after.state is state


@pytest.mark.parametrize("state", list(TaskState))
def test_confirmation_changes_nothing(state):
    """A task_seen has no effect and is superseded nowhere."""
    before = standing(state)
    verdict = judge(before, Deed(EventType.TASK_SEEN))
    assert (verdict.effect, verdict.after) == (Effect.NONE, before)


def test_request_begins_and_meets_no_standing():
    """A request makes a standing; brought before one it is the caller's bug."""
    assert begin(TERMS) == Standing(TaskState.SENT, TERMS, 0, None, 0)
    with pytest.raises(LocalProtocolError):
        judge(begin(TERMS), Deed(EventType.TASK_REQUEST))


def test_submission_makes_the_next_version():
    """An effective submission is the newest version, under its number and hash."""
    after = judge(standing(TaskState.SUBMITTED), Deed(EventType.ARTIFACT_SUBMIT)).after
    assert (after.newest, after.submissions) == (VersionName(2, NEXT), 2)


def test_submission_that_answers_more_than_was_asked_is_superseded_but_counted():
    """Its number is used up, so that both sides go on counting alike."""
    verdict = judge(standing(TaskState.SUBMITTED), Deed(EventType.ARTIFACT_SUBMIT, answers=1))
    assert (verdict.effect, verdict.reason) == (Effect.SUPERSEDED, Reason.ANSWERS_AHEAD)
    assert (verdict.after.newest, verdict.after.submissions) == (NEWEST, 2)


@pytest.mark.parametrize("state", [TaskState.WORKING, TaskState.REVISION_REQUESTED, TaskState.RESUBMITTED])
def test_submission_that_missed_a_revision_request_is_kept_as_a_version(state):
    """It becomes the newest version, and the state stays."""
    verdict = judge(standing(state, asks=1), Deed(EventType.ARTIFACT_SUBMIT, answers=0))
    assert (verdict.effect, verdict.reason, verdict.after.state) == (Effect.KEPT, None, state)
    assert verdict.after.newest == VersionName(2, NEXT)


def test_revision_request_counts_until_none_is_left():
    """Each one that takes effect uses up one of those that the request allows."""
    first = judge(standing(TaskState.SUBMITTED), Deed(EventType.REVISION_REQUEST))
    assert first.after.asks == 1
    last = judge(standing(TaskState.RESUBMITTED, asks=2), Deed(EventType.REVISION_REQUEST))
    assert (last.effect, last.reason) == (Effect.SUPERSEDED, Reason.NO_REVISION_LEFT)
    assert last.after.asks == 2


@pytest.mark.parametrize("event", [EventType.REVISION_REQUEST, EventType.TASK_COMPLETE])
@pytest.mark.parametrize("names", [VersionName(2, NEWEST.hash), VersionName(1, NEXT), None])
def test_naming_another_version_is_superseded(event, names):
    """Number and hash must both be those of the newest version."""
    verdict = judge(standing(TaskState.SUBMITTED), Deed(event, names=names))
    assert (verdict.effect, verdict.reason) == (Effect.SUPERSEDED, Reason.NOT_NEWEST)


def test_naming_nothing_where_there_is_no_version_is_superseded():
    """Where nothing was submitted, nothing can be completed, not even under no name."""
    bare = attrs.evolve(standing(TaskState.WORKING, asks=1), newest=None)
    verdict = judge(bare, Deed(EventType.TASK_COMPLETE, names=None))
    assert (verdict.effect, verdict.reason) == (Effect.SUPERSEDED, Reason.NOT_NEWEST)


@pytest.mark.parametrize(
    ("deadline", "repeated", "created_at", "reason"),
    [
        (None, DEADLINE, DEADLINE, Reason.NO_SUCH_DEADLINE),
        (None, None, DEADLINE, Reason.NO_SUCH_DEADLINE),
        (DEADLINE, Instant(999), DEADLINE, Reason.NO_SUCH_DEADLINE),
        (DEADLINE, DEADLINE, Instant(999), Reason.TOO_EARLY),
        (DEADLINE, DEADLINE, DEADLINE, None),
    ],
)
def test_expiry_needs_a_deadline_that_has_passed(deadline, repeated, created_at, reason):
    """It repeats the request's deadline, and is not signed before it."""
    task = begin(attrs.evolve(TERMS, deadline=deadline))
    verdict = judge(task, Deed(EventType.TASK_EXPIRE, deadline=repeated, created_at=created_at))
    assert verdict.reason is reason
    assert (verdict.effect is Effect.EFFECTIVE) == (reason is None)
