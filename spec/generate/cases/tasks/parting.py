"""Chains that part or pass to another device, and what is settled where."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.cases.tasks.table import at
from spec.generate.fold import REQUESTER, WORKER
from spec.generate.kit import fixed
from spec.generate.parcels import LAPTOP, PHONE
from spec.generate.story import Story, told
from spec.generate.vector import Vector

TABLET = fixed("bob tablet id")


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
        about=max(one, two, key=lambda event: event.hash),
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
    noticed = story.branch()
    noticed.do("task_seen", side=WORKER)
    yield told(
        "adopted_and_noticed",
        "the worker has seen the adoption: from then on it is settled",
        noticed,
        about=adopted,
        revoked=gone,
        state="completed",
    )
    displaced = story.branch()
    cancel = displaced.do("task_cancel", n=adopted.n, prev=adopted.prev, label="the home's last word")
    displaced.do("task_seen", side=WORKER, seen=cancel.n + 1, seen_hash=cancel.hash)
    yield told(
        "adopted_too_late",
        "the worker has seen what the home signed at that place before it was revoked: that counts",
        displaced,
        "fork",
        about=adopted,
        revoked=gone,
        state="cancelled",
    )
    yield told(
        "adopted_while_home_stands",
        "the home is not revoked, so nobody may take its place",
        story,
        state="submitted",
    )
    story.do("task_seen", side=REQUESTER, device=PHONE.id.public)
    yield told(
        "adopter_revoked_later",
        "the adopter is revoked as well: what it did stays",
        story,
        about=adopted,
        revoked=[*gone, PHONE.id.public],
        state="completed",
    )
    story = at("submitted")
    story.revoked = [*gone, PHONE.id.public]
    story.do("task_seen", side=REQUESTER)
    story.do("revision_request", device=PHONE.id.public, adopt=True)
    again = story.do("task_cancel", device=fixed("ada tablet id"), adopt=True)
    yield told(
        "adopted_twice",
        "the adopter is revoked and a third device goes on",
        story,
        about=again,
        revoked=story.revoked,
        state="cancelled",
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


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (forks, devices, settling):
        yield from family()
