"""A page that is open is told: what programs, peers and other tabs change is there at once.

Each change is made by the daemons' local APIs. Loading a page again would begin a new time origin. That
it takes less than a second is timed in `test_frame`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from taskferry_apps.demo.stage import Stage
from taskferry_apps.local_client import LocalClient
from tests.cli.conftest import Shell, owner_with

from .conftest import Seat
from .town import Town, waited

#: From the answer to a change until it is on the page. On a machine that does other things beside, such as
#: the other tests, it is given more; what is never told would take the half minute of the next look.
SOON_MS = 12_000


@contextmanager
def without_loading_again(*pages: Page) -> Iterator[None]:
    """What happens within is seen on pages that stay the same documents."""
    began = [page.evaluate("performance.timeOrigin") for page in pages]
    yield
    assert [page.evaluate("performance.timeOrigin") for page in pages] == began


@pytest.fixture(scope="module")
def pairing(lived: Town) -> Town:
    """Alice's `caller` and Bob's `callee`, connected; tasks go straight on."""
    lived.alice.post("/agents", {"handle": "caller"})
    lived.bob.post("/agents", {"handle": "callee"})
    lived.connect("caller", "callee", human_gate=False)
    return lived


@pytest.fixture
def seat(pairing: Town, bob: Shell, sit) -> Seat:
    """Bob, signed in."""
    seated: Seat = sit(bob)
    seated.enter()
    return seated


def a_task(town: Town, title: str) -> str:
    """Asked of Bob's callee, and there."""
    task = str(town.alice.post("/tasks", {"from": "caller", "to": "@bob/callee", "title": title})["task_id"])
    town.in_state(town.bob, task, "sent")
    return task


def waiting(page: Page) -> int:
    """The number beside the room of what waits."""
    count = page.locator("nav.rooms .count")
    return int(count.inner_text()) if count.count() else 0


def test_a_question_counts_in_every_tab_at_once_and_no_more_once_it_is_answered_in_one(pairing, seat):
    """Two tabs of two rooms; the answer given in one of them is seen in the other."""
    page, other = seat.go("/dashboard/waiting"), seat.more()
    other.goto(seat.origin + "/dashboard/agents")
    before = waiting(page)
    with without_loading_again(other):
        pairing.bob.post("/approvals", {"from": "callee", "class": "mail", "what": "Write to the press"})
        for each in (page, other):
            expect(each.locator("nav.rooms .count")).to_have_text(str(before + 1), timeout=SOON_MS)
        card = page.locator("li.ask", has_text="Write to the press")
        card.get_by_role("button", name="Forbid").click()
        if before:
            expect(other.locator("nav.rooms .count")).to_have_text(str(before), timeout=SOON_MS)
        else:
            expect(other.locator("nav.rooms .count")).to_have_count(0, timeout=SOON_MS)
    expect(page.locator("main")).not_to_contain_text("Write to the press")


def test_a_task_moves_on_the_page_as_an_agent_and_a_peer_move_it(pairing, seat):
    """Each step of both sides stands on the task's page, and the list beside it."""
    task = a_task(pairing, "Count the stars")
    page, overview = seat.go(f"/dashboard/tasks/{task}"), seat.more()
    overview.goto(seat.origin + "/dashboard")
    with without_loading_again(page, overview):
        pairing.act(pairing.bob, task, "accept", {}, "accepted")
        expect(page.locator("#stands ~ p .pill")).to_contain_text("accepted", timeout=SOON_MS)
        pairing.act(pairing.bob, task, "progress", {"message": "At seven", "percent": 70}, "working")
        expect(page.locator("main")).to_contain_text("At seven", timeout=SOON_MS)
        expect(overview.locator("tr", has_text="Count the stars")).to_contain_text("70 %", timeout=SOON_MS)
        pairing.act(pairing.alice, task, "cancel", {"reason": "It is cloudy"}, "cancelled")
        expect(page.locator("main")).to_contain_text("It is cloudy", timeout=SOON_MS)
        expect(page.locator("main")).to_contain_text("this task has ended", timeout=SOON_MS)


def test_a_message_presence_and_a_connection_appear_as_they_come(pairing, seat):
    """In the conversation, among the agents, and among the connections."""
    talk, agents, connections = seat.page, seat.more(), seat.more()
    hello = {"from": "caller", "to": "@bob/callee", "text": "Hello"}
    conversation = str(pairing.alice.post("/messages/send", hello)["conversation"])
    seat.go("/dashboard/messages?agent=callee")
    expect(talk.locator("main")).to_contain_text("Hello", timeout=SOON_MS)
    seat.go(f"/dashboard/messages/{conversation}")
    agents.goto(seat.origin + "/dashboard/agents")
    connections.goto(seat.origin + "/dashboard/connections")
    talk.wait_for_load_state("load")
    row = agents.locator("tr", has_text="@bob/callee")
    expect(row).to_contain_text("offline")
    with without_loading_again(talk, agents, connections):
        pairing.alice.post("/messages/send", {**hello, "text": "Still there?", "conversation": conversation})
        expect(talk.locator("main")).to_contain_text("Still there?", timeout=SOON_MS)
        bound: Any = pairing.bob.post("/runtimes", {"agent": "callee", "program": "script"})
        expect(row).to_contain_text("idle", timeout=SOON_MS)
        pairing.bob.delete(f"/runtimes/{bound['runtime']['id']}")
        expect(row).to_contain_text("offline", timeout=SOON_MS)
        pairing.alice.post("/agents", {"handle": "newcomer"})
        pairing.alice.post(
            "/connections/request", {"from": "newcomer", "to": "@bob/callee", "message": "May I come in?"}
        )
        expect(connections.locator("main")).to_contain_text("May I come in?", timeout=SOON_MS)


def test_what_changes_between_a_page_and_its_first_sign_of_life_is_not_missed(pairing, seat):
    """The connection by which a page is told is held up; what happened meanwhile is there once it stands."""
    page = seat.page
    held: list[Any] = []
    page.route("**/dashboard/live*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright counts arguments
    seat.go("/dashboard/tasks")
    a_task(pairing, "Between two moments")
    expect(page.locator("main")).not_to_contain_text("Between two moments")
    waited(lambda: page.wait_for_timeout(50) or held)
    held[0].continue_()
    expect(page.locator("main")).to_contain_text("Between two moments", timeout=SOON_MS)


def test_what_is_being_typed_is_kept_and_the_page_says_that_there_is_news(pairing, seat):
    """Neither the text nor the place in it is lost; sent, it leads to a page with all of it."""
    task = a_task(pairing, "Name the ship")
    page = seat.go(f"/dashboard/tasks/{task}")
    deed = page.locator("details.deed", has=page.locator("summary", has_text="Decline"))
    deed.locator("summary").click()
    box = deed.get_by_label("Why")
    box.press_sequentially("We have no")
    pairing.act(pairing.alice, task, "cancel", {"reason": "It has a name"}, "cancelled")
    expect(page.locator("#stale")).to_contain_text("What you have typed is kept", timeout=SOON_MS)
    box.press_sequentially(" ships")
    expect(box).to_have_value("We have no ships")
    expect(box).to_be_focused()
    # It has become another task than the one on the page: the press is refused, in words, and kept.
    seat.watched.expected += ["409"]
    deed.get_by_role("button", name="Decline").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("main")).to_contain_text("It has a name")
    assert pairing.bob.get(f"/tasks/{task}")["state"] == "cancelled"


def delivered(task):
    """The task, once all that was said in it from here has come to the other side."""
    rungs = {event["delivery"]["rung"] for event in task["events"] if event["delivery"]}
    return task if rungs == {"delivered"} else None


def test_a_button_of_a_page_without_news_does_nothing_once_it_means_something_else(pairing, bob, sit):
    """Without script a page stays as it was; its button is refused with what to do, and changes nothing."""
    task = a_task(pairing, "Paint the fence")
    seat = sit(bob, java_script_enabled=False)
    seat.enter()
    seat.watched.expected += ["409"]
    page = seat.go(f"/dashboard/tasks/{task}")
    pairing.act(pairing.bob, task, "accept", {}, "accepted")
    pairing.act(pairing.bob, task, "artifacts", {"content": "Painted"}, "submitted")
    before = waited(lambda: delivered(pairing.bob.get(f"/tasks/{task}")))["mark"]
    deed = page.locator("details.deed", has=page.locator("summary", has_text="Decline"))
    deed.locator("summary").click()
    deed.get_by_label("Why").fill("No paint")
    deed.get_by_role("button", name="Decline").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert pairing.bob.get(f"/tasks/{task}")["mark"] == before


def test_what_the_owner_looks_at_does_not_count_as_read(pairing, seat):
    """The task is opened in full; its agent has read none of it, and the list still says so."""
    task = a_task(pairing, "Read me not")
    for _ in range(2):
        row = seat.go("/dashboard/tasks").locator("tr", has_text="Read me not")
        expect(row.locator(".count")).to_have_text("1 unread")
        seat.go(f"/dashboard/tasks/{task}")
        expect(seat.page.locator("main")).to_contain_text("What was asked")


def test_an_alarm_stands_on_the_overview_and_in_the_frame_of_every_page(stage: Stage, relay, sit):
    """A copy of the data directory is started: one of both signs no more, and its pages say so."""
    nora = owner_with(stage, relay, "nora", "keeper")
    seat, other = sit(nora), None
    page = seat.enter()
    expect(page.locator(".link-state")).to_contain_text("connected")
    agents = seat.more()
    agents.goto(seat.origin + "/dashboard/agents")
    shutil.copytree(stage.folder / "nora", stage.folder / "nora-again")
    (stage.folder / "nora-again" / "daemon.json").unlink()
    again = stage.start_daemon("nora-again")
    told = _whichever(nora, again.client())
    if told == "again":
        other = sit(Shell(stage.folder, again.data))
        page = other.enter()
        agents = other.more()
        agents.goto(other.origin + "/dashboard/agents")
    expect(page.locator("main .alarm")).to_contain_text("This device runs twice", timeout=15_000)
    for each in (page, agents):
        expect(each.locator(".link-state")).to_contain_text("alarm")
        expect(each.locator(".link-state .dot.bad")).to_be_visible()


def _whichever(first: Shell, second: LocalClient) -> str:
    """Which of the two was told that it runs twice."""

    def told() -> str | None:
        if second.health()["alarms"]:
            return "again"
        return "first" if first("status", "--json").json()["alarms"] else None

    with second:
        return waited(told)


def test_a_long_history_of_revisions_is_a_light_page_that_follows(pairing, alice, sit):
    """A worker submits at length and often: ten versions a page, all others a press away, live as ever."""
    seat: Seat = sit(alice)
    seat.enter()
    task = a_task(pairing, "Revised at length")
    pairing.bob.task_action(task, "accept", {})
    parts = [
        {"kind": "text", "text": f"{at} <b>" * 1_500, "name": f"part {at} {'<n>' * 60}"} for at in range(24)
    ]

    def submit(number: int) -> None:
        work = {"parts": parts, "notes": f"note {number} " + "<i>" * 3_000}
        pairing.bob.task_action(task, "artifacts", work)
        waited(lambda: len(pairing.alice.get(f"/tasks/{task}")["versions"]) == number)

    for number in range(1, 13):
        submit(number)
    weights: list[int] = []
    seat.page.on(
        "response",
        lambda answer: (
            weights.append(len(answer.body())) if answer.request.resource_type == "document" else None
        ),
    )
    page = seat.go(f"/dashboard/tasks/{task}")
    shown = page.locator("article.version h3")
    expect(shown).to_have_count(10)
    expect(shown.first).to_contain_text("Version 12")
    page.get_by_text("Ask for a revision").first.click()
    with without_loading_again(page):
        submit(13)
        expect(shown.first).to_contain_text("Version 13", timeout=SOON_MS)
        expect(page.locator("details.deed[open]")).to_have_count(1)
    page.get_by_role("link", name="Earlier versions").click()
    expect(shown.last).to_contain_text("Version 1")
    page.get_by_role("link", name="The newest").click()
    expect(shown.first).to_contain_text("Version 13")
    page.get_by_role("link", name="All of version 12").click()
    expect(shown.first).to_contain_text("Version 12")
    expect(page.locator("article.version").first.locator("li")).to_have_count(24)
    assert max(weights) < 150_000, weights
