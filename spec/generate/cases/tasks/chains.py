"""Chains that cross, lack something, part, end or pass to another device; and what is settled where."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations

from spec.generate.cases.tasks.table import at
from spec.generate.fold import REQUESTER, WORKER
from spec.generate.kit import fixed
from spec.generate.parcels import LAPTOP, PHONE
from spec.generate.story import Story, told
from spec.generate.vector import Vector

TABLET = fixed("bob tablet id")


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
    yield told("gap_worker_first", "the worker's first event is missing", story, events=held, state="sent")
    story = at("resubmitted")
    held = [event for event in story.events if (event.side, event.n) != (WORKER, 1)]
    yield told(
        "gap_middle",
        "a submission is missing that the other side has named",
        story,
        events=held,
        state="accepted",
    )
    story = whole()
    held = [event for event in story.events if event.side == REQUESTER]
    yield told("gap_all_of_worker", "nothing of the worker's chain is held", story, events=held, state="sent")
    held = [event for event in story.events if event.side == WORKER]
    yield told("gap_request", "the request itself is missing: nothing is taken", story, events=held)
    story = at("submitted")
    story.do("task_complete", held=False)
    cancel = story.do("task_cancel")
    yield told("gap_own_chain", "the requester's event before is missing", story, state="submitted")
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


def forks() -> Iterator[Vector]:
    """Two events of one author at one place."""
    story = at("accepted")
    one = story.do("artifact_submit", label="fork one")
    two = story.do("task_fail", n=1, label="fork two")
    lower = min(one, two, key=lambda event: event.hash)
    state = "submitted" if lower is one else "failed"
    yield told(
        "fork_unnamed",
        "nobody named either: the lowest hash counts, unconfirmed",
        story,
        "fork",
        about=two,
        state=state,
        arrivals=([0, 1, 2, 3], [0, 1, 3, 2], [3, 2, 1, 0]),
    )
    for name, chosen, other in (("first", one, two), ("second", two, one)):
        branch = story.branch()
        branch.do("task_seen", side=REQUESTER, seen=2, seen_hash=chosen.hash)
        yield told(
            f"fork_named_{name}",
            "the branch that the other side names counts",
            branch,
            "fork",
            about=other,
            state="submitted" if chosen is one else "failed",
        )
    story = at("accepted")
    branch_a = story.do("task_progress", label="branch a")
    branch_b = story.do("artifact_submit", n=1, label="branch b")
    story.do("task_progress", label="branch a child")
    story.do("task_seen", side=REQUESTER, seen=3)
    yield told(
        "fork_named_descendant",
        "a branch counts if a descendant of it is named",
        story,
        "fork",
        about=branch_b,
        state="working",
    )
    assert branch_a.n == branch_b.n
    story = at("submitted")
    cancel = story.do("task_cancel", label="fork cancel")
    complete = story.do("task_complete", n=1, label="fork complete")
    story.do("task_seen", side=WORKER, seen=2, seen_hash=complete.hash)
    yield told(
        "fork_of_requester",
        "the requester parted, the worker named the completion",
        story,
        "fork",
        about=cancel,
        state="completed",
    )
    story = Story()
    accept = story.do("task_accept", label="desktop accepts")
    rival = story.do("task_accept", n=0, device=TABLET, label="tablet accepts")
    story.do("task_seen", side=REQUESTER, seen=1, seen_hash=rival.hash)
    yield told(
        "fork_two_worker_devices",
        "two devices of the worker accepted; the named one is bound",
        story,
        "fork",
        about=accept,
        state="accepted",
    )


def devices() -> Iterator[Vector]:
    """One device writes for each side; a revoked home can be followed."""
    story = at("accepted")
    event = story.do("artifact_submit", device=TABLET)
    yield told("other_worker_device", "another device of the worker is no candidate", story, state="accepted")
    assert event.device == TABLET
    story = at("submitted")
    story.do("task_complete", device=PHONE.id.public)
    yield told(
        "other_requester_device", "another device of the requester is no candidate", story, state="submitted"
    )
    story = at("submitted")
    story.do("task_seen", side=REQUESTER)
    adopted = story.do("task_complete", device=PHONE.id.public, adopt=True)
    gone = [LAPTOP.id.public]
    yield told(
        "adopted",
        "the home is revoked and another device goes on",
        story,
        about=adopted,
        revoked=gone,
        state="completed",
    )
    yield told(
        "adopted_while_home_stands",
        "the home is not revoked, so nobody may take its place",
        story,
        state="submitted",
    )
    yield told(
        "adopted_by_revoked",
        "the adopter is revoked as well",
        story,
        revoked=[*gone, PHONE.id.public],
        state="submitted",
    )
    story = at("submitted")
    story.do("task_seen", side=REQUESTER)
    story.do("task_complete", device=PHONE.id.public)
    yield told(
        "adopted_without_saying",
        "another device goes on without `adopt`",
        story,
        revoked=gone,
        state="submitted",
    )
    story = Story()
    story.do("task_accept")
    story.do("task_cancel", device=PHONE.id.public, adopt=True, seen=0)
    yield told(
        "adopted_before_binding", "no worker device was named yet", story, revoked=gone, state="accepted"
    )
    story = at("submitted")
    story.revoked = gone
    story.do("revision_request")
    story.do("task_seen", side=REQUESTER, device=PHONE.id.public, adopt=True)
    story.do("artifact_submit")
    story.do("task_complete", device=PHONE.id.public)
    yield told(
        "adopted_and_goes_on",
        "from the adoption on the adopter is the home",
        story,
        revoked=gone,
        state="completed",
    )
    story = at("submitted")
    story.do("task_complete")
    yield told(
        "revoked_home_no_adopter",
        "what the home signed before still counts",
        story,
        revoked=gone,
        state="completed",
    )


def settling() -> Iterator[Vector]:
    """The same events at the home and elsewhere."""
    stories: list[tuple[str, str, Story]] = [
        ("declined_unseen", "declined, and the requester has not said that it saw it", at("declined")),
        ("failed_unseen", "failed, and the requester has not said that it saw it", at("failed")),
        ("submitted_unseen", "a submission that the requester has not named", at("submitted")),
        ("completed", "completed: the requester has named everything", at("completed")),
        ("cancelled", "cancelled by the requester, whose events are always settled", at("cancelled")),
    ]
    for kind in ("declined", "failed"):
        seen = at(kind)
        seen.do("task_seen", side=REQUESTER)
        stories.append((f"{kind}_seen", f"{kind}, and the requester has said that it saw it", seen))
    for name, comment, story in stories:
        for viewer in ("home", "elsewhere"):
            yield told(f"settled_{name}_{viewer}", f"{comment}; seen from {viewer}", story, viewer=viewer)


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
    for family in (crossing, gaps, closings, forks, devices, settling, orders):
        yield from family()
