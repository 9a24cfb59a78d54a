"""A second machine of the same owner, from browser to browser: the code, the words, the device, its end."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell, owner_with

from .conftest import Seat


@pytest.fixture(scope="module")
def first(stage: Stage, relay: str) -> Shell:
    """The machine that has the account @mona, with the agent `clerk`."""
    return owner_with(stage, relay, "mona", "clerk")


@pytest.fixture(scope="module")
def second(stage: Stage) -> Shell:
    """A machine without an account."""
    return Shell(stage.folder, stage.start_daemon("mona-two").data)


def shown(page: Page, name: str) -> str:
    """What a machine shows for the other one."""
    line = page.get_by_label(name, exact=True)
    expect(line).to_be_visible()
    return str(line.inner_text().strip())


def meet(old: Seat, new: Seat, relay: str, *, manage: bool = False) -> tuple[str, str]:
    """Up to the words: the code from the new screen into the old one. What the old and the new one show."""
    page = new.go("/setup/link")
    page.get_by_label("The relay that your account uses").fill(relay)
    page.get_by_label("What to call this machine").fill("desk in the corner")
    page.get_by_role("button", name="Show a code").click()
    code = shown(page, "The code of this machine")
    page = old.go("/dashboard/devices")
    page.get_by_label("The code on its screen").fill(code)
    page.get_by_label("It is mine and before me").check()
    if manage:
        page.get_by_label("It may sign for the account").check()
    page.get_by_role("button", name="Meet it").click()
    expect(page.locator("main")).to_contain_text("desk in the corner")
    expect(new.page.locator("main")).to_contain_text("The account is @mona.")
    words = tuple(shown(each.page, "The words of this machine") for each in (old, new))
    assert all(len(three.replace("-", " ").split()) == 3 for three in words)
    return words[0], words[1]


def type_words(page: Page, words: str) -> None:
    """What the other machine shows, by hand."""
    page.get_by_label("The three words that the other machine shows").fill(words)
    page.get_by_role("button", name="These are its words").click()


def test_a_code_is_not_taken_before_its_owner_has_said_that_the_machine_is_theirs(first, second, relay, sit):
    """The browser asks for the tick itself, and nothing has begun on the machine that has the account."""
    old, new = sit(first), sit(second)
    new.enter()
    page = new.go("/setup/link")
    page.get_by_label("The relay that your account uses").fill(relay)
    page.get_by_role("button", name="Show a code").click()
    code = shown(page, "The code of this machine")
    old.enter()
    page = old.go("/dashboard/devices")
    page.get_by_label("The code on its screen").fill(code)
    page.get_by_role("button", name="Meet it").click()
    assert not page.get_by_label("It is mine and before me").evaluate("box => box.validity.valid")
    expect(page.get_by_label("The words of this machine")).to_have_count(0)
    new.page.get_by_role("button", name="Give up").click()
    expect(new.page.get_by_role("button", name="Show a code")).to_be_visible()


def test_words_that_do_not_belong_together_end_the_try_and_sign_nothing(first, second, relay, sit):
    """The page says what that may mean; the account has one device, and the new machine none."""
    old, new = sit(first), sit(second)
    old.enter()
    new.enter()
    old.watched.expected.append("409")
    old.watched.expected.append("400")
    mine, _ = meet(old, new, relay)
    # Its own words are not those of the other machine.
    type_words(old.page, mine)
    page = old.go("/dashboard/devices")
    expect(page.locator("main .alarm")).to_contain_text("somebody stood in between")
    expect(page.locator("#machines ~ table tbody tr")).to_have_count(1)
    expect(new.page.locator("main")).to_contain_text("Begin anew")
    assert second("status", "--json").json()["set_up"] is False


def test_a_machine_is_taken_in_by_words_and_put_out_by_a_button(first, second, relay, sit):
    """Three words each way, then both show the device; put out, it says so itself and sends nothing more."""
    old, new = sit(first), sit(second)
    old.enter()
    new.enter()
    mine, theirs = meet(old, new, relay)
    assert mine != theirs
    type_words(old.page, theirs)
    expect(old.page.locator("main")).to_contain_text("waits until the same is done on the other one")
    type_words(new.page, mine)
    expect(new.page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(new.page.locator(".link-state")).to_contain_text("@mona · connected")
    row = old.page.locator("#machines ~ table tbody tr", has_text="desk in the corner")
    expect(row).to_contain_text("active")
    expect(row.locator("td[data-name='May sign']")).to_have_text("no")
    expect(old.page.locator("main")).to_contain_text("Linked: desk in the corner")
    # The new machine knows both, and that it is the second.
    expect(new.go("/dashboard/devices").locator("#machines ~ table tbody tr")).to_have_count(2)
    expect(new.page.locator("main")).to_contain_text("This machine may not take others in.")

    row.locator("summary", has_text="Change").click()
    row.locator("summary", has_text="Put it out").click()
    row.get_by_label("Why").fill("Left on a train")
    row.get_by_role("button", name="Put it out").click()
    expect(old.page.get_by_role("status").filter(has_text="is put out")).to_be_visible()
    expect(old.page.locator("#machines ~ table tbody tr", has_text="desk in the corner")).to_contain_text(
        "revoked"
    )
    page = new.go("/dashboard")
    expect(page.locator("main .alarm")).to_contain_text("one of the account's no more")
    expect(page.locator(".link-state")).to_contain_text("alarm")
