"""How every page looks: what axe-core finds, what one has to scroll sideways, light and dark, small and huge.

With TASKFERRY_IMAGES set to a folder the run writes a picture of each page there; `make images` writes those
that stand in the documents.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell

from .conftest import AXE, HUGE, NARROW, WIDE, Seat, is_too_wide
from .town import Town

#: Of the dashboard: the name of its picture, and its address.
ROOMS = {
    "overview": "/dashboard",
    "waiting": "/dashboard/waiting",
    "tasks": "/dashboard/tasks",
    "new-task": "/dashboard/tasks/new",
    "messages": "/dashboard/messages",
    "new-message": "/dashboard/messages/new",
    "quarantine": "/dashboard/messages/quarantine",
    "connections": "/dashboard/connections",
    "peers": "/dashboard/peers",
    "invites": "/dashboard/invites",
    "rules": "/dashboard/rules",
    "agents": "/dashboard/agents",
    "programs": "/dashboard/programs",
    "devices": "/dashboard/devices",
    "audit": "/dashboard/audit",
    "settings": "/dashboard/settings",
}
#: What cannot be named before it is there: where it is linked from, and a part of the link's address.
LINKED = {
    "task": ("/dashboard/tasks", "Review the release notes"),
    "conversation": ("/dashboard/messages", "@bob/writer and @alice/requester"),
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


#: Writes one text for another wherever it stands on the page.
SHOWN_AS = """([was, shown]) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(was, shown);
}"""


@pytest.fixture(scope="session")
def town(lived: Town, bob: Shell) -> Shell:
    """Bob, who has lived through all that."""
    return bob


def faults(seat: Seat, name: str) -> list[str]:
    """What is wrong with the page that is open."""
    page = seat.page
    found = [f"{name}: one has to scroll sideways"] if is_too_wide(page) else []
    # Evaluated by the driver, which no content policy binds.
    page.evaluate(AXE.read_text("utf-8"))
    report: Any = page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
    for violation in report["violations"]:
        where = ", ".join(node["html"][:120] for node in violation["nodes"][:3])
        found.append(f"{name}: {violation['id']}: {violation['help']}: {where}")
    return found


def keep_picture(seat: Seat, name: str) -> None:
    """Write a picture of the page that is open, if pictures are wanted."""
    folder = os.environ.get("TASKFERRY_IMAGES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # Where this run keeps its owners is nobody's business who reads the documents.
        seat.page.evaluate(SHOWN_AS, [str(seat.shell.data), "/home/bob/.local/share/taskferry"])
        seat.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE, HUGE])
def test_every_room_is_readable_at_every_width_in_both_themes(town, sit, width, dark):
    """No rule of WCAG 2.2 AA that axe-core knows is broken, and nobody has to scroll sideways."""
    seat = sit(town, width=width, dark=dark)
    seat.enter()
    found: list[str] = []
    ending = {NARROW: "-narrow", WIDE: "", HUGE: "-huge"}[width] + ("-dark" if dark else "")
    for name, path in ROOMS.items():
        seat.go(path)
        found += faults(seat, name)
        keep_picture(seat, name + ending)
    for name, (path, words) in LINKED.items():
        seat.go(path).get_by_role("link", name=words).first.click()
        seat.page.wait_for_load_state("load")
        found += faults(seat, name)
        keep_picture(seat, name + ending)
    assert found == []


def test_every_room_can_be_reached_and_left_by_keyboard(town, sit):
    """Tab leads through the rooms, with a ring around what has the focus; Enter opens one."""
    seat = sit(town)
    page = seat.enter()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to the content"
    for _ in range(4):
        page.keyboard.press("Tab")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"
    name = page.evaluate("document.activeElement.textContent").strip()
    page.keyboard.press("Enter")
    page.wait_for_load_state("load")
    assert page.locator("nav.rooms [aria-current=page]").inner_text().strip() == name


def test_pages_are_light(town, sit):
    """A page and all that it loads weigh less than 150 KB."""
    seat = sit(town)
    seat.enter()
    weights: list[int] = []
    seat.page.on("response", lambda answer: weights.append(_weight(answer)))
    for path in ROOMS.values():
        weights.clear()
        seat.go(path)
        assert sum(weights) < 150_000, (path, weights)


def _weight(answer: Any) -> int:
    """Bytes of an answer; of the feed, which never ends, none."""
    return 0 if answer.url.endswith("/live") else int(answer.headers.get("content-length", 0))
