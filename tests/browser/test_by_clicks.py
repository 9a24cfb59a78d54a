"""A whole handoff by clicks alone: two people who have nothing but a daemon each, and a relay's address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell

from .conftest import Seat, Sit

WORK = "Two terms are explained.\n"


@pytest.fixture(scope="module")
def strangers(stage: Stage) -> tuple[Shell, Shell]:
    """Dora's and Emil's machines: a daemon each, without an account."""
    dora, emil = (stage.start_daemon(name) for name in ("dora", "emil"))
    return Shell(stage.folder, dora.data), Shell(stage.folder, emil.data)


def begin(seat: Seat, name: str, relay: str) -> list[str]:
    """An account by the first page that a new daemon shows; its phrase."""
    page = seat.enter()
    page.wait_for_url("**/setup")
    page.get_by_label("Your public name").fill(name)
    page.get_by_label("The relay’s address").fill(relay)
    page.get_by_role("button", name="Make the account").click()
    words: list[str] = page.locator("ol.phrase li").all_inner_texts()
    assert len(words) == 24
    return words


def prove(page: Page, words: list[str]) -> None:
    """Two words of the phrase."""
    for label in page.locator("main label").all():
        place = re.search(r"\d+", label.inner_text())
        assert place is not None
        page.get_by_label(label.inner_text(), exact=True).fill(words[int(place[0]) - 1])
    page.get_by_role("button", name="I wrote them down").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def set_up(seat: Seat, name: str, relay: str) -> None:
    """An account, and the proof that its phrase was written down."""
    prove(seat.page, begin(seat, name, relay))
    expect(seat.page.locator(".link-state")).to_contain_text(f"@{name} · connected")


def make_agent(seat: Seat, name: str) -> None:
    """An agent by the form."""
    page = seat.go("/dashboard/agents")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make the agent").click()
    expect(page.locator("main")).to_contain_text(f"/{name}")


def act(page: Page, button: str, words: str = "", label: str = "") -> None:
    """One of the actions that a task's page offers."""
    deed = page.locator("details.deed", has=page.locator("summary", has_text=button))
    deed.locator("summary").click()
    if words:
        deed.get_by_label(label).first.fill(words)
    deed.get_by_role("button", name=button).click()


def test_two_people_hand_over_a_task_by_clicks(strangers, relay, sit: Sit):
    """Set up, make agents, invite, connect, approve, ask, accept, submit, revise, submit again, complete."""
    dora, emil = sit(strangers[0]), sit(strangers[1])
    set_up(dora, "dora", relay)
    set_up(emil, "emil", relay)
    make_agent(dora, "asker")
    make_agent(emil, "maker")

    # Emil makes a link; Dora pastes it, and sees whom it leads to before anybody is asked.
    page = emil.go("/dashboard/invites")
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_label("Select all of it").input_value()
    assert link.startswith("taskferry://")
    page = dora.go("/dashboard/invites")
    page.get_by_label("The link").fill(link)
    page.get_by_role("button", name="See where it leads").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect with @emil/maker?")
    page.get_by_role("button", name="Ask @emil/maker to connect").click()

    # It waits for Emil, whose page shows it by itself.
    page = emil.go("/dashboard/waiting")
    expect(page.locator("main")).to_contain_text("@dora/asker")
    page.get_by_role("button", name="Accept; tasks wait for me").click()
    page = dora.go("/dashboard/connections")
    expect(page.locator("main td[data-name=State]")).to_contain_text("accepted")

    # Dora asks for work; Emil lets it pass.
    page = dora.go("/dashboard/tasks/new")
    page.get_by_label("Title").fill("Explain the terms")
    page.get_by_label("What is to be done").fill("Two of them are unclear.")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Explain the terms")
    asked = dora.page.url
    page = emil.go("/dashboard/waiting")
    page.get_by_role("link", name="Explain the terms").click()
    expect(page.locator("main")).to_contain_text("Two of them are unclear.")
    page.get_by_role("button", name="Let it pass").click()

    # Emil works, as his agent would.
    page = emil.go("/dashboard/tasks")
    page.get_by_role("link", name="Explain the terms").click()
    act(page, "Accept")
    act(page, "Submit work", WORK, "The work, as text")

    # Dora's page follows; she wants more, gets it, and is content.
    page = dora.page
    assert page.url == asked
    expect(page.locator("#work")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Two terms are explained.")
    act(page, "Ask for a revision", "A third one, too", "What is to be changed")
    page = emil.page
    expect(page.locator("main")).to_contain_text("A third one, too")
    act(page, "Submit work", WORK + "A third one is, too.\n", "The work, as text")
    page = dora.page
    expect(page.locator("main")).to_contain_text("Version 2")
    page.get_by_role("link", name="what changed").click()
    expect(page.locator("main")).to_contain_text("A third one is, too.")
    page.goto(asked)
    act(page, "Take version 2")
    expect(page.locator("main")).to_contain_text("this task has ended")
    page.get_by_role("button", name="Check all signatures now").click()
    expect(page.locator("#proof")).to_be_visible()
    expect(page.locator("main")).to_contain_text("all hold")
    expect(emil.page.locator("main")).to_contain_text("this task has ended")


def test_page_with_the_phrase_loaded_again_says_that_it_is_gone(stage, relay, sit: Sit):
    """By the button that loads it again, its address, and the way back; the two words are still asked for."""
    seat = sit(Shell(stage.folder, stage.start_daemon("frieda").data))
    seat.watched.expected.append("409")
    words = begin(seat, "frieda", relay)
    page = seat.page

    def is_told() -> None:
        expect(page.get_by_role("heading", level=1)).to_have_text("The recovery phrase is shown once")
        expect(page.locator("main")).to_contain_text("taskferry backup FILE --passphrase")
        assert " ".join(words[:2]) not in " ".join(page.locator("main").inner_text().split())

    page.reload()
    is_told()
    page.goto(page.url)
    is_told()
    page.get_by_role("link", name="To the dashboard").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.go_back()
    is_told()
    prove(page, words)
    page.go_back()
    expect(page.locator("main")).to_contain_text("You showed that you have it")
