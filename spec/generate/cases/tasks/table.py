"""Every cell of the table of `tasks.md` section 3, transcribed by hand, and what its footnotes say."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.fold import FINAL
from spec.generate.kit import Value
from spec.generate.story import DEADLINE, SIDES, Story, told
from spec.generate.vector import Vector

STATES = ("sent", "accepted", "working", "submitted", "revision_requested", "resubmitted")
STEPS: dict[str, tuple[str, ...]] = {
    "sent": (),
    "accepted": ("task_accept",),
    "working": ("task_accept", "task_progress"),
    "submitted": ("task_accept", "artifact_submit"),
    "revision_requested": ("task_accept", "artifact_submit", "revision_request"),
    "resubmitted": ("task_accept", "artifact_submit", "revision_request", "artifact_submit"),
    "completed": ("task_accept", "artifact_submit", "task_complete"),
    "declined": ("task_decline",),
    "cancelled": ("task_accept", "task_cancel"),
    "expired": ("task_accept", "task_expire"),
    "failed": ("task_accept", "task_fail"),
}
# The rows of the table in the order of STATES; None is an empty cell.
ROWS: dict[str, tuple[str | None, ...]] = {
    "task_accept": ("accepted", None, None, None, None, None),
    "task_decline": ("declined", None, None, None, None, None),
    "task_progress": (None, "working", "working", None, "working", None),
    "artifact_submit": (None, "submitted", "submitted", "resubmitted", "resubmitted", "resubmitted"),
    "revision_request": (None, None, None, "revision_requested", None, "revision_requested"),
    "task_complete": (None, None, None, "completed", "completed", "completed"),
    "task_cancel": ("cancelled",) * 6,
    "task_fail": (None, "failed", "failed", "failed", "failed", "failed"),
    "task_expire": ("expired", "expired", "expired", None, "expired", None),
}


def at(state: str, **terms: Value) -> Story:
    """A story that has come to a state."""
    story = Story(**terms)
    for step in STEPS[state]:
        story.do(step)
    assert story.fold.state == state
    return story


def working_again() -> Story:
    """Working after a revision was asked for."""
    story = at("revision_requested")
    story.do("task_progress")
    return story


def cells() -> Iterator[Vector]:
    """Each event in each state, all conditions met where there are any."""
    for kind, row in ROWS.items():
        for state, to in zip(STATES, row, strict=True):
            story = at(state)
            event = story.do(kind)
            effect = f"leads to {to}" if to else "is superseded"
            yield told(
                f"cell_{kind}_in_{state}",
                f"{kind} in {state} {effect}",
                story,
                "accept" if to else "superseded",
                about=event,
                state=to or state,
                cell=(kind, state),
            )
        for state in sorted(FINAL):
            story = at(state)
            event = story.do(kind)
            yield told(
                f"cell_{kind}_in_{state}",
                f"{kind} in {state}, which is final, is superseded",
                story,
                "superseded",
                about=event,
                state=state,
                cell=(kind, state),
            )
    for state in STEPS:
        for side in ("requester", "worker"):
            story = at(state)
            event = (
                story.do("task_seen", side=side, seen=max(1, len(story.chains["requester"])))
                if (side == "worker")
                else story.do("task_seen", side=side)
            )
            yield told(
                f"cell_task_seen_by_{side}_in_{state}",
                f"task_seen by the {side} in {state} has no effect and is never superseded",
                story,
                about=event,
                state=state,
                cell=("task_seen", state),
            )


def footnotes() -> Iterator[Vector]:
    """The conditions, each met and each not."""
    story = working_again()
    event = story.do("artifact_submit")
    yield told(
        "submit_working_after_revision",
        "a submission while working after a revision is a resubmission",
        story,
        about=event,
        state="resubmitted",
        cell=("artifact_submit", "working"),
    )
    story = working_again()
    event = story.do("task_complete")
    yield told(
        "complete_working_after_revision",
        "with a revision open, the requester may take the version that there is",
        story,
        about=event,
        state="completed",
        cell=("task_complete", "working"),
    )
    for state in ("accepted", "working", "submitted", "revision_requested", "resubmitted"):
        story = at(state)
        event = story.do("artifact_submit", answers=story.fold.asks + 1)
        yield told(
            f"submit_answers_above_in_{state}",
            "answers more revisions than were asked for",
            story,
            "superseded",
            about=event,
            state=state,
        )
    for state in ("revision_requested", "resubmitted"):
        story = at(state)
        event = story.do("artifact_submit", answers=0)
        yield told(
            f"submit_answers_below_in_{state}",
            "made before the revision was read: kept as a version, the state stays",
            story,
            about=event,
            state=state,
        )
    story = working_again()
    event = story.do("artifact_submit", answers=0)
    yield told("submit_answers_below_in_working", "kept, still working", story, about=event, state="working")
    story = at("revision_requested")
    kept = story.do("artifact_submit", answers=0)
    event = story.do("task_complete")
    assert story.fold.versions[-1] == (2, kept.hash)
    yield told(
        "complete_kept_version",
        "a kept version can be the one that is taken",
        story,
        about=event,
        state="completed",
    )
    story = at("revision_requested")
    story.do("artifact_submit", answers=0)
    first = story.fold.versions[0]
    event = story.do("task_complete", version=first[0], hash=first[1])
    yield told(
        "complete_version_before_kept",
        "the version before a kept one is not the newest",
        story,
        "superseded",
        about=event,
        state="revision_requested",
    )
    story = at("sent")
    story.do("artifact_submit")
    story.do("task_accept")
    story.do("artifact_submit")
    assert story.fold.versions == [(2, story.chains["worker"][-1].hash)]
    event = story.do("task_complete")
    yield told(
        "version_counts_superseded",
        "a superseded submission takes a version number all the same",
        story,
        about=event,
        state="completed",
    )
    story = at("submitted", revisions=0)
    event = story.do("revision_request")
    yield told(
        "revision_none_left", "no revision may be asked", story, "superseded", about=event, state="submitted"
    )
    story = at("resubmitted", revisions=1)
    event = story.do("revision_request")
    yield told(
        "revision_used_up",
        "the one revision was asked already",
        story,
        "superseded",
        about=event,
        state="resubmitted",
    )
    story = at("resubmitted")
    story.do("revision_request")
    story.do("artifact_submit")
    event = story.do("revision_request")
    yield told(
        "revision_third_of_two",
        "a third revision where two are allowed",
        story,
        "superseded",
        about=event,
        state="resubmitted",
    )
    for kind in ("revision_request", "task_complete"):
        story = at("resubmitted")
        number, name = story.fold.versions[0]
        event = story.do(kind, version=number, hash=name)
        yield told(
            f"{kind}_old_version",
            "names the version before",
            story,
            "superseded",
            about=event,
            state="resubmitted",
        )
        story = at("submitted")
        event = story.do(kind, version=2)
        yield told(
            f"{kind}_wrong_number",
            "the right hash, the wrong number",
            story,
            "superseded",
            about=event,
            state="submitted",
        )
        story = at("submitted")
        event = story.do(kind, hash=story.chains["worker"][0].hash)
        yield told(
            f"{kind}_wrong_hash",
            "the right number, another event's hash",
            story,
            "superseded",
            about=event,
            state="submitted",
        )
    story = at("working")
    event = story.do("task_expire", at=DEADLINE - 1)
    yield told(
        "expire_early",
        "said a millisecond before the deadline",
        story,
        "superseded",
        about=event,
        state="working",
    )
    story = at("working")
    event = story.do("task_expire", deadline=DEADLINE - 1)
    yield told(
        "expire_other_deadline", "repeats another deadline", story, "superseded", about=event, state="working"
    )
    story = at("working", deadline=None)
    event = story.do("task_expire")
    yield told(
        "expire_without_deadline",
        "the request has no deadline",
        story,
        "superseded",
        about=event,
        state="working",
    )
    story = at("working")
    event = story.do("task_expire", at=DEADLINE + 1)
    yield told("expire_late", "said later than the deadline", story, about=event, state="expired")


def vectors() -> Iterator[Vector]:
    """All of them."""
    assert set(ROWS) | {"task_request"} == set(SIDES)
    yield from cells()
    yield from footnotes()
