"""Long tasks at a client: what the daemon answers by pages is one task to whoever asks."""

from __future__ import annotations

from typing import Any

from taskferry_apps.client.task_calls import show_task

from .scripted import AT, Script, a_task, ok


def event(n: int) -> dict[str, Any]:
    """An event of a task."""
    events: Any = a_task()["events"]
    return {**events[0], "n": n, "hash": f"e{n}"}


def version(n: int) -> dict[str, Any]:
    """A version of its work."""
    return {
        "version": n,
        "hash": f"v{n}",
        "status": "effective",
        "note": "",
        "parts": [],
        "submitted_at": AT,
    }


def test_earlier_events_and_versions_are_fetched_and_stand_before_the_others():
    """Page by page, each where the one before it says; the mark is that of the look."""
    pages = [
        a_task(events=[event(4)], versions=[version(3)], events_cursor="c4", versions_cursor="c3"),
        {"task_id": "aa", "state": "sent", "events": [event(2), event(3)], "cursor": "c2", "more": True},
        {"task_id": "aa", "state": "sent", "events": [event(1)], "cursor": "", "more": False},
        {
            "task_id": "aa",
            "versions": [version(1), version(2)],
            "revision_requests": [{"version": 1, "reasons": ["more"]}],
            "cursor": "",
            "more": False,
        },
    ]
    script = Script([ok(page) for page in pages])
    task = script.play(show_task("aa", mark="before"))
    assert [one.n for one in task.events] == [1, 2, 3, 4]
    assert [one.number for one in task.versions] == [1, 2, 3]
    assert (task.events_cursor, task.versions_cursor, task.mark) == ("", "", "m")
    assert [one.reasons for one in task.revision_requests] == [("more",)]
    assert [(sent.path, sent.query.get("cursor")) for sent in script.sent] == [
        ("/tasks/aa", None),
        ("/tasks/aa/log", "c4"),
        ("/tasks/aa/log", "c2"),
        ("/tasks/aa/versions", "c3"),
    ]


def test_a_short_task_is_one_answer():
    """As from a daemon that knows of no pages."""
    script = Script([ok(a_task())])
    assert len(script.play(show_task("aa")).events) == 1
    assert len(script.sent) == 1
