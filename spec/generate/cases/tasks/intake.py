"""One event at the door of a task: whose it is, which task it names, what its link says of itself."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import Map, Value, enc, fixed
from spec.generate.parcels import content
from spec.generate.story import REQUEST, SIDES, TASK
from spec.generate.vector import ACCEPT, Json, Vector

BODIES: dict[str, Map] = {
    "task_request": REQUEST,
    "task_accept": {"note": ""},
    "task_decline": {"reason": ""},
    "task_progress": {"note": "", "percent": None},
    "artifact_submit": {"note": "", "parts": [{"kind": "text", "text": "done", "name": ""}], "answers": 0},
    "revision_request": {"version": 1, "hash": fixed("v1"), "reasons": ["Not yet."]},
    "task_complete": {"version": 1, "hash": fixed("v1"), "note": ""},
    "task_cancel": {"reason": ""},
    "task_fail": {"reason": ""},
    "task_expire": {"deadline": 0},
    "task_seen": {},
}
WORKER_LINK: Map = {"task": TASK, "n": 1, "prev": fixed("own event"), "seen": [1, TASK]}
REQUESTER_LINK: Map = {"task": TASK, "n": 1, "prev": TASK, "seen": [1, fixed("their event")]}
FIRST_LINK: Map = {"task": None, "n": 0, "prev": None, "seen": [0, None]}


def case(name: str, comment: str, expect: str, kind: str, author: str, link: Value) -> Vector:
    """One event by the requester, by the worker or by a third."""
    inside = content(kind, BODIES.get(kind, {"text": "hello", "parts": []}))
    if link is not None:
        inside["link"] = link
    members: dict[str, Json] = {
        "spec": "tasks.md#1-events",
        "comment": comment,
        "kind": "task-event",
        "task": TASK.hex(),
        "author": author,
        "input": enc(inside).hex(),
        "expect": expect,
    }
    return Vector("tasks", f"event_{name}", members)


def vectors() -> Iterator[Vector]:
    """Every type from every author, then links."""
    for kind, side in SIDES.items():
        link = FIRST_LINK if kind == "task_request" else WORKER_LINK if side == "worker" else REQUESTER_LINK
        other = "requester" if side == "worker" else "worker"
        if kind != "task_request":
            yield case(f"{kind}_good", f"{kind} by the {side}", ACCEPT, kind, side, link)
            yield case(f"{kind}_by_{other}", f"{kind} by the {other}", "wrong-party", kind, other, link)
        yield case(f"{kind}_by_third", f"{kind} by a third party", "wrong-party", kind, "third", link)

    def worker(name: str, comment: str, expect: str, **other: Value) -> Vector:
        return case(f"link_{name}", comment, expect, "task_accept", "worker", {**WORKER_LINK, **other})

    def requester(name: str, comment: str, expect: str, **other: Value) -> Vector:
        return case(f"link_{name}", comment, expect, "task_cancel", "requester", {**REQUESTER_LINK, **other})

    def first(name: str, comment: str, expect: str, **other: Value) -> Vector:
        return case(f"link_{name}", comment, expect, "task_request", "requester", {**FIRST_LINK, **other})

    yield requester("nothing_seen", "a requester may have seen nothing", ACCEPT, seen=[0, None])
    yield requester("adopt", "an adoption", ACCEPT, adopt=True)
    yield worker("first_place", "the worker's first event", ACCEPT, n=0, prev=None)
    yield worker("other_task", "of another task", "unknown-task", task=fixed("another task"))
    yield worker("worker_seen_nothing", "a worker has seen the request", "bad-link", seen=[0, None])
    yield worker("n_0_with_prev", "a first event with one before it", "bad-link", n=0)
    yield worker("n_1_without_prev", "a second event with none before it", "bad-link", prev=None)
    yield worker("seen_without_hash", "a count without a hash", "bad-link", seen=[1, None])
    yield requester("hash_without_count", "a hash without a count", "bad-link", seen=[0, fixed("event")])
    yield worker("null_task", "no task, in an event that is not the request", "bad-link", task=None)
    yield requester("adopt_false", "`adopt` is true or absent", "bad-link", adopt=False)
    yield worker("worker_adopts", "a worker's place is not adopted", "bad-link", adopt=True)
    yield requester("requester_n_0", "the requester's first event is the request", "bad-link", n=0, prev=None)
    yield first("request_with_task", "the request names a task", "bad-link", task=TASK)
    yield first("request_second", "the request as a second event", "bad-link", n=1, prev=fixed("before"))
    yield first("request_seen", "the request has seen something", "bad-link", seen=[1, fixed("event")])
    yield case(
        "link_in_message",
        "a link in what is no task event",
        "bad-link",
        "message",
        "requester",
        REQUESTER_LINK,
    )
    yield worker("more", "a link has no room for more", "unknown-field", depth=1)
    yield worker("n_negative", "a negative place", "bad-value", n=-1)
    yield worker("prev_short", "a hash of 31 bytes", "bad-value", prev=bytes(31))
    yield worker("seen_three", "three elements in `seen`", "bad-value", seen=[1, TASK, 0])
    yield worker("seen_number", "`seen` as a number", "wrong-type", seen=1)
    yield worker("task_text", "the task as a text", "wrong-type", task="task")
    for key in ("task", "n", "prev", "seen"):
        link = {name: value for name, value in WORKER_LINK.items() if name != key}
        yield case(f"link_without_{key}", f"no `{key}`", "missing-field", "task_accept", "worker", link)
