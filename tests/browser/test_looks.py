"""How every page looks: what axe-core finds, what one has to scroll sideways, light and dark, small and huge.

With TASKFERRY_IMAGES set to a folder the run writes a picture of each page there; `make images` writes those
that stand in the documents.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from taskferry_apps.demo.stage import Stage
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
    "found-messages": "/dashboard/messages?q=morning",
    "new-message": "/dashboard/messages/new",
    "quarantine": "/dashboard/messages/quarantine",
    "connections": "/dashboard/connections",
    "peers": "/dashboard/peers",
    "invites": "/dashboard/invites",
    "rules": "/dashboard/rules",
    "agents": "/dashboard/agents",
    "agent": "/dashboard/agents/writer",
    "programs": "/dashboard/programs",
    "devices": "/dashboard/devices",
    "audit": "/dashboard/audit",
    "audit-check": "/dashboard/audit/check",
    "settings": "/dashboard/settings",
    "checks": "/dashboard/settings/checks",
}
#: What cannot be named before it is there: where it is linked from, and the link's words, one after another.
LINKED = {
    "task": ("/dashboard/tasks", "Review the release notes"),
    "compare": ("/dashboard/tasks", "Review the release notes", "what changed"),
    "conversation": ("/dashboard/messages", "@bob/writer and @alice/requester"),
    "held-task": ("/dashboard/waiting", "Tidy up the archive"),
    "question": ("/dashboard/waiting", "Read all of it"),
    "stop": ("/dashboard/waiting", "@alice/courier"),
    "request": ("/dashboard/waiting", "Look closer"),
    "connection": ("/dashboard/connections", "@alice/requester"),
    "permissions": ("/dashboard/connections", "@alice/requester", "Change it"),
    "peer": ("/dashboard/peers", "@alice"),
    "invite": ("/dashboard/invites", "@bob/writer"),
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


@pytest.fixture(scope="module")
def newcomer(stage: Stage) -> Shell:
    """A machine without an account."""
    return Shell(stage.folder, stage.start_daemon("newcomer").data)


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
        for was, shown in (
            (seat.shell.data, "/home/bob/.local/share/taskferry"),
            (seat.shell.folder, "/var/lib"),
        ):
            seat.page.evaluate(SHOWN_AS, [str(was), shown])
        seat.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize(
    ("width", "dark"),
    [(NARROW, True), (WIDE, False), (WIDE, True), (HUGE, False)],
    ids=["360-dark", "1280-light", "1280-dark", "2560-light"],
)
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
    for name, (path, *links) in LINKED.items():
        seat.go(path)
        for words in links:
            seat.page.locator("main").get_by_role("link", name=words).first.click()
            seat.page.wait_for_load_state("load")
        found += faults(seat, name)
        keep_picture(seat, name + ending)
    assert found == []


@pytest.mark.parametrize(("width", "dark"), [(NARROW, False), (WIDE, True)], ids=["360-light", "1280-dark"])
def test_pages_that_a_button_leads_to_are_readable(town, sit, width, dark):
    """The review of permissions, an invite's link, refusals, forms that are open, the signed-out page."""
    seat = sit(town, width=width, dark=dark)
    page = seat.enter()
    seat.watched.expected += ["404", "409", "400"]
    found: list[str] = []
    ending = ("-narrow" if width == NARROW else "") + ("-dark" if dark else "")

    def look(name: str) -> None:
        page.wait_for_load_state("load")
        found.extend(faults(seat, name))
        keep_picture(seat, name + ending)

    seat.go("/dashboard/connections").locator("main").get_by_role(
        "link", name="@alice/requester"
    ).first.click()
    page.get_by_role("link", name="Change it").click()
    page.get_by_label("artifacts: the results").uncheck()
    page.get_by_label("wait for me").check()
    page.get_by_label("Open tasks at once").fill("2")
    page.get_by_label("Until").fill("3d")
    page.get_by_role("button", name="See what that changes").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Change what")
    look("permissions-review")
    page.goto(page.url.replace("task_budget=2", "task_budget=many"))
    look("refusal")
    page.goto(seat.origin + "/dashboard/tasks/" + "0" * 64)
    look("not-found")
    seat.go("/dashboard/invites").get_by_role("button", name="Make the link").click()
    look("invite-made")
    assert page.locator("textarea.link").evaluate("link => link.scrollHeight <= link.clientHeight + 1")
    for name in ("devices", "programs", "rules", "agents/writer", "tasks"):
        seat.go(f"/dashboard/{name}")
        if name == "tasks":
            page.locator("main").get_by_role("link", name="Draft the announcement").first.click()
            page.wait_for_load_state("load")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        look(f"{name.replace('/', '-')}-open")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.locator("body")).to_contain_text("igned out")
    look("signed-out")
    assert found == []


@pytest.mark.parametrize(("width", "dark"), [(NARROW, False), (WIDE, True)], ids=["360-light", "1280-dark"])
def test_the_pages_of_a_new_machine_are_readable(newcomer, sit, width, dark):
    """Setting up, with what was refused, linking, and its rooms as far as they are there."""
    seat = sit(newcomer, width=width, dark=dark)
    page = seat.enter()
    seat.watched.expected.append("400")
    found: list[str] = []
    for path in ("/setup", "/setup/link", "/dashboard/settings", "/dashboard/audit"):
        seat.go(path)
        found += faults(seat, path)
        keep_picture(seat, f"new{path.replace('/', '-')}{'-dark' if dark else ''}{width}")
    seat.go("/setup").get_by_label("Your public name").fill("Not A Name")
    page.get_by_label("The relay’s address").fill("https://relay.example")
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("alert")).to_contain_text("A name is")
    found += faults(seat, "refused setup")
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
    # A press returns before the page that it leads to is there.
    expect(page.locator("nav.rooms [aria-current=page]")).to_have_text(name)


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
