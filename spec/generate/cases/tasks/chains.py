"""Chains that cross, lack something or end; one state in every order of arrival."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations

from spec.generate.cases.tasks.table import at
from spec.generate.fold import REQUESTER, WORKER
from spec.generate.kit import fixed
from spec.generate.story import Story, told
from spec.generate.vector import Vector


def whole() -> Story:
    """A task from request to completion with one revision and what both sides saw."""
    story = at("resubmitted")
    story.do("task_seen", side=REQUESTER)
    story.do("task_complete")
    story.do("task_seen", side=WORKER)
    return story


def crossing() -> Iterator[Vector]:
    """Events signed before their author had seen the other side's."""
    story = at("accepted")
    story.do("artifact_submit")
    cancel = story.do("task_cancel", seen=1)
    order = [0, 1, 2, 3], [0, 3, 1, 2], [3, 2, 1, 0]
    yield told(
        "crossing_cancel_wins",
        "a cancel that crossed a submission is taken first",
        story,
        about=cancel,
        state="cancelled",
        arrivals=order,
    )
    story = at("accepted")
    submit = story.do("artifact_submit")
    story.do("task_cancel", seen=1)
    yield told(
        "crossing_submit_superseded",
        "the submission that crossed a cancel is superseded",
        story,
        "superseded",
        about=submit,
        state="cancelled",
    )
    story = at("submitted")
    story.do("task_complete")
    late = story.do("artifact_submit", seen=1)
    yield told(
        "crossing_late_version",
        "a newer version that crossed the completion",
        story,
        "superseded",
        about=late,
        state="completed",
    )
    story = at("sent")
    story.do("task_accept")
    expire = story.do("task_expire", seen=0)
    yield told(
        "crossing_expire",
        "expired before the acceptance was seen",
        story,
        about=expire,
        state="expired",
        arrivals=([0, 1, 2], [2, 1, 0], [1, 2, 0]),
    )
    story = at("submitted")
    story.do("revision_request")
    stale = story.do("artifact_submit", seen=1, answers=0)
    yield told(
        "crossing_revision_and_version",
        "a version made before the revision was read is kept",
        story,
        about=stale,
        state="revision_requested",
    )
    story = at("submitted")
    old = story.newest()
    story.do("artifact_submit")
    story.do("task_complete", old, seen=2)
    yield told(
        "crossing_complete_and_version",
        "the completion saw two events, so it is taken before the newer version",
        story,
        state="completed",
    )


def gaps() -> Iterator[Vector]:
    """Events that are not held."""
    story = at("submitted")
    held = [event for event in story.events if event.n != 0 or event.side == REQUESTER]
    yield told(
        "gap_worker_first",
        "the worker's first event is missing",
        story,
        viewer="elsewhere",
        events=held,
        state="sent",
    )
    story = at("resubmitted")
    held = [event for event in story.events if (event.side, event.n) != (WORKER, 1)]
    yield told(
        "gap_middle",
        "a submission is missing that the other side has named",
        story,
        viewer="elsewhere",
        events=held,
        state="accepted",
    )
    story = whole()
    held = [event for event in story.events if event.side == REQUESTER]
    yield told(
        "gap_all_of_worker",
        "nothing of the worker's chain is held",
        story,
        viewer="elsewhere",
        events=held,
        state="sent",
    )
    held = [event for event in story.events if event.side == WORKER]
    yield told(
        "gap_request",
        "the request itself is missing: nothing is taken",
        story,
        viewer="elsewhere",
        events=held,
    )
    story = at("submitted")
    story.do("task_complete", held=False)
    cancel = story.do("task_cancel")
    yield told(
        "gap_own_chain",
        "the requester's event before is missing",
        story,
        viewer="elsewhere",
        state="submitted",
    )
    assert cancel.n == 2


def closings() -> Iterator[Vector]:
    """Chains that go no further."""
    story = at("submitted")
    liar = story.do("task_complete", seen_hash=fixed("never sent"))
    yield told(
        "closed_requester_hash",
        "the requester names another event at a place that is taken",
        story,
        "unknown-seen",
        about=liar,
        state="submitted",
    )
    story = at("submitted")
    liar = story.do("artifact_submit", seen_hash=fixed("never sent"))
    yield told(
        "closed_worker_hash",
        "the worker names another event at a place that is taken",
        story,
        "unknown-seen",
        about=liar,
        state="submitted",
    )
    story = at("revision_requested")
    liar = story.do("task_complete", seen=1)
    yield told(
        "closed_requester_backwards",
        "the requester has seen less than before",
        story,
        "bad-link",
        about=liar,
        state="revision_requested",
    )
    story = at("resubmitted")
    liar = story.do("artifact_submit", seen=1)
    yield told(
        "closed_worker_backwards",
        "the worker has seen less than before",
        story,
        "bad-link",
        about=liar,
        state="resubmitted",
    )
    story = at("submitted")
    story.do("artifact_submit", seen_hash=fixed("never sent"))
    story.do("task_fail")
    story.do("task_complete", seen=2)
    yield told(
        "closed_other_goes_on", "the other chain goes on after one is closed", story, state="completed"
    )
    story = at("submitted")
    held = list(story.events)
    broken = story.do("task_fail", prev=fixed("another event"))
    yield told(
        "broken_prev",
        "an event whose `prev` is not the event before is no candidate",
        story,
        "fork",
        about=broken,
        events=[*held, broken],
        state="submitted",
    )


def unknowable() -> Iterator[Vector]:
    """A `seen` that names an event of the viewer's own side that was never made."""
    for viewer, liar_side, kind in (("home", WORKER, "task_fail"), ("worker", REQUESTER, "task_cancel")):
        story = at("submitted")
        story.do("task_seen", side=REQUESTER)
        count = len(story.chains[REQUESTER if liar_side == WORKER else WORKER]) + 1
        liar = story.do(kind, seen=count, seen_hash=fixed("never made"))
        yield told(
            f"unknowable_{viewer}",
            "it names an event of mine that I did not make: its chain is closed",
            story,
            "unknown-seen",
            about=liar,
            viewer=viewer,
            state="submitted",
        )
        yield told(
            f"unknowable_from_elsewhere_{viewer}",
            "the same events where they cannot be told from a gap: it waits",
            story,
            viewer="elsewhere",
            state="submitted",
        )


def orders() -> Iterator[Vector]:
    """One state, whatever the order of arrival."""
    story = at("submitted")
    every = [list(order) for order in permutations(range(len(story.events)))]
    yield told(
        "orders_every", "a short task in every order of arrival", story, arrivals=every, state="submitted"
    )
    story = whole()
    shuffle = random.Random("orders")
    some = [shuffle.sample(range(len(story.events)), len(story.events)) for _ in range(24)]
    yield told("orders_whole", "a whole task in 24 orders", story, arrivals=some, state="completed")
    story = at("submitted")
    story.do("task_cancel", seen=1)
    story.do("task_fail", seen=1)
    story.do("artifact_submit", n=1, label="a rival of the submission")
    some = [shuffle.sample(range(len(story.events)), len(story.events)) for _ in range(24)]
    yield told("orders_crossing_and_fork", "events that cross and a fork in 24 orders", story, arrivals=some)


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (crossing, gaps, closings, unknowable, orders):
        yield from family()
