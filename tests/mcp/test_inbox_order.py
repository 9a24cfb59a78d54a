"""What waits is shown newest first, one line a task, and every item is reached by cursors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.client.results import Message
from taskferry_apps.mcp.inbox import needs_of, page_of
from taskferry_apps.mcp.schema import BadArgument

START = datetime(2026, 1, 1, tzinfo=UTC)


def item(
    number: int, task: str | None = None, kind: str = "task_request", second: int | None = None
) -> Message:
    """A header."""
    at = START + timedelta(seconds=number if second is None else second)
    return Message(
        id=f"{number:064x}",
        direction="in",
        type=kind,
        sender="@alice/requester",
        to="@bob/writer",
        conversation="",
        task_id=task,
        title=f"Title {number}",
        created_at=at,
        received_at=at,
        state="unread",
        trust="verified",
        code="",
        auto_start=False,
        delivery=None,
    )


def test_the_items_of_a_task_are_one_need() -> None:
    """Its newest item says what it is; a later item lifts the task up."""
    needs = needs_of([item(1, "a" * 64), item(2), item(3, "a" * 64, "revision_request")])
    assert [(need.id[0], need.count, need.newest.type) for need in needs] == [
        ("a", 2, "revision_request"),
        ("0", 1, "task_request"),
    ]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 7))
def test_cursors_reach_everything_once(seconds: list[int], size: int) -> None:
    """Also where many came at the same moment."""
    items = [item(n + 1, second=second) for n, second in enumerate(sorted(seconds))]
    needs = needs_of(items)
    seen: list[str] = []
    cursor = ""
    while page := page_of(needs, cursor)[:size]:
        seen += [need.id for need in page]
        last = page[-1]
        cursor = f"{(last.newest.received_at or START).timestamp() * 1000:.0f}-{last.id}"
    assert seen == [need.id for need in needs]


def test_a_cursor_whose_item_is_done_goes_on_with_what_is_older() -> None:
    """Nothing is shown again, nothing is skipped."""
    needs = needs_of([item(1), item(2), item(3)])
    cursor = f"{(START + timedelta(seconds=2)).timestamp() * 1000:.0f}-{item(2).id}"
    left = [need for need in needs if need.id != item(2).id]
    assert [need.id for need in page_of(left, cursor)] == [item(1).id]


@pytest.mark.parametrize("cursor", ["x", "x-y", "-", "1e5-a"])
def test_a_bent_cursor_is_refused(cursor: str) -> None:
    """With a sentence."""
    with pytest.raises(BadArgument):
        page_of(needs_of([item(1)]), cursor)
