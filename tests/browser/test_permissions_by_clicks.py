"""What a peer may send, changed by clicks: read in words, signed, and held against the other side."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from playwright.sync_api import Page, expect

from taskferry_apps.local_client import ApiError
from tests.cli.conftest import Shell

from .conftest import Seat, Sit
from .town import Town, waited

MINE, PEER = "@bob/porter", "@alice/sender"


def flat(connection: Any, side: str) -> dict[str, Any]:
    """A grant's fields beside each other."""
    grant = connection[side]
    return {**grant, **grant["terms"], "terms": None, "classes": sorted(grant["classes"])}


@attrs.frozen
class Gate:
    """A connection that only this file changes: Alice's `sender` with Bob's `porter`."""

    town: Town
    id: str

    @property
    def path(self) -> str:
        """The page of its permissions."""
        return f"/dashboard/connections/{self.id}/permissions"

    def given(self) -> dict[str, Any]:
        """What Bob allows, as his daemon has it."""
        return flat(self.town.bob.get("/permissions", id=self.id)["connection"], "given")

    def known(self, **fields: object) -> None:
        """Wait until Alice's daemon knows that Bob allows this."""

        def so() -> bool:
            found = flat(self.town.alice.get("/permissions", id=self.id)["connection"], "received")
            return all(found[name] == value for name, value in fields.items())

        waited(so)

    def put(self, **fields: object) -> None:
        """Bob's word, by the API."""
        self.town.bob.post("/permissions", {"id": self.id, **fields})
        self.known(**fields)


@pytest.fixture(scope="module")
def gate(lived: Town) -> Gate:
    """Connected; tasks go straight on."""
    lived.alice.post("/agents", {"handle": "sender"})
    lived.bob.post("/agents", {"handle": "porter"})
    lived.connect("sender", "porter", human_gate=False)
    found: Any = lived.bob.get("/connections", agent="porter")["connections"]
    return Gate(lived, str(found[0]["id"]))


@pytest.fixture
def seat(gate: Gate, bob: Shell, sit: Sit) -> Seat:
    """Bob, signed in."""
    seated = sit(bob)
    seated.enter()
    return seated


def review(page: Page) -> None:
    """From the editor to what it would change."""
    page.get_by_role("button", name="See what that changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Change what {PEER} may send?")


def save(page: Page) -> None:
    """Sign what was read."""
    page.get_by_role("button", name="Sign and save").click()
    expect(page.get_by_role("status").filter(has_text="Saved and signed")).to_be_visible()


def fill(label: str, text: str) -> Callable[[Page], None]:
    """Type into a field."""
    return lambda page: page.get_by_label(label, exact=True).fill(text)


def choose(label: str) -> Callable[[Page], None]:
    """Take one of several answers."""
    return lambda page: page.get_by_label(label).check()


@pytest.mark.parametrize(
    ("change", "words", "field", "value"),
    [
        (
            lambda page: page.get_by_label("messages: texts").uncheck(),
            "No more messages of @alice/sender are taken.",
            "classes",
            ["artifact", "task"],
        ),
        (choose("wait for me"), "sees a task of @alice/sender only once you", "human_gate", True),
        (
            choose("may begin on it by themselves, once"),
            "without anybody having looked",
            "auto_trigger",
            True,
        ),
        (fill("Open tasks at once", "2"), "may have as many tasks open here", "task_budget", 2),
        (fill("Envelopes a minute", "30"), "the relay refuses more", "rate_per_minute", 30),
        (fill("Largest envelope, in bytes", "65,536"), "Larger ones are refused", "largest_bytes", 65_536),
        (fill("Largest artifact, in bytes", "4096"), "Larger results are refused", "largest_artifact", 4_096),
    ],
    ids=["classes", "gate", "starting", "budget", "rate", "envelope", "artifact"],
)
def test_each_field_is_changed_after_its_meaning_was_read(gate, seat, change, words, field, value):
    """Nothing is signed before the review; after it both daemons have just that, and no other field is."""
    before = gate.given()
    assert before[field] != value
    page = seat.go(gate.path)
    change(page)
    review(page)
    expect(page.locator("main tbody tr")).to_have_count(1)
    expect(page.locator("main table")).to_contain_text(words)
    assert gate.given() == before
    save(page)
    after = gate.given()
    assert {**after, "version": 0} == {**before, field: value, "version": 0}
    assert after["version"] == before["version"] + 1
    gate.known(**{field: value})
    gate.put(**{field: before[field]})


def test_what_is_forbidden_is_refused_to_the_other_side_and_what_is_allowed_again_arrives(gate, alice, seat):
    """Alice's command is refused with what to do; once Bob has allowed it again it goes."""
    page = seat.go(gate.path)
    page.get_by_label("messages: texts").uncheck()
    review(page)
    save(page)
    gate.known(classes=["artifact", "task"])
    ran = alice("message", "send", "sender", MINE, "May I?")
    assert ran.code != 0
    assert "message" in ran.err
    assert gate.town.alice.post("/tasks", {"from": "sender", "to": MINE, "title": "Allowed still"})["ok"]
    page = seat.go(gate.path)
    page.get_by_label("messages: texts").check()
    review(page)
    expect(page.locator("main table")).to_contain_text("@alice/sender may write messages to @bob/porter.")
    expect(page.locator("main .pill", has_text="more than now")).to_be_visible()
    save(page)
    gate.known(classes=["artifact", "message", "task"])
    assert alice("message", "send", "sender", MINE, "Now I may").code == 0
    waited(lambda: any("Now I may" in str(one) for one in messages(gate)))


def messages(gate: Gate) -> list[dict[str, Any]]:
    """What came to the porter."""
    found: Any = gate.town.bob.get("/messages", agent="porter")["messages"]
    return list(found)


def test_a_task_beyond_the_budget_has_no_effect_and_stands_in_quarantine(gate, seat):
    """None is refused where it is sent from; of one at a time the second is kept apart, with the reason."""

    def allow(most: int) -> None:
        page = seat.go(gate.path)
        page.get_by_label("Open tasks at once").fill(str(most))
        review(page)
        save(page)
        gate.known(task_budget=most)

    def ask(title: str) -> str:
        made = gate.town.alice.post("/tasks", {"from": "sender", "to": MINE, "title": title})
        return str(made["task_id"])

    page = seat.go(gate.path)
    page.get_by_label("Open tasks at once").fill("0")
    review(page)
    expect(page.locator("main table")).to_contain_text("may start no task; it may answer yours.")
    save(page)
    gate.known(task_budget=0)
    with pytest.raises(ApiError) as refused:
        ask("None at all")
    assert refused.value.code == "not-permitted"
    allow(1)
    first, second = ask("The only one"), ask("One too many")
    page = seat.go("/dashboard/messages/quarantine")
    expect(page.locator("main")).to_contain_text("more open tasks than granted (1)")
    with pytest.raises(ApiError):
        gate.town.bob.get(f"/tasks/{second}")
    gate.town.alice.post(f"/tasks/{first}/cancel", {})
    allow(20)


def test_an_end_is_read_as_the_time_that_was_shown(gate, seat):
    """Three days from now is one moment from the review on; without an end it holds until taken back."""
    page = seat.go(gate.path)
    page.get_by_label("Until").fill("3d")
    review(page)
    shown = page.locator("main td[data-name=Then]").inner_text()
    expect(page.locator("main table")).to_contain_text("After that nothing of @alice/sender is taken.")
    save(page)
    expect(page.locator("main")).to_contain_text(shown)
    page = seat.go(gate.path)
    assert page.get_by_label("Until").input_value().endswith("Z")
    page.get_by_label("Until").fill("")
    review(page)
    expect(page.locator("main table")).to_contain_text("It holds until you end it.")
    save(page)
    assert gate.given()["until"] is None


def test_an_editor_from_before_another_change_signs_nothing_and_says_so(gate, bob, seat):
    """The command line changed the grant while the editor, and while its review, stood open."""
    seat.watched.expected.append("409")
    first, second = seat.go(gate.path), seat.more()
    # What is being typed in stays; a page that nobody has touched shows the new permissions by itself.
    first.get_by_label("Open tasks at once").fill("7")
    second.goto(seat.origin + gate.path)
    second.get_by_label("Envelopes a minute").fill("11")
    review(second)
    assert bob("permissions", "set", gate.id, "--rate", "40").code == 0
    second.get_by_role("button", name="Sign and save").click()
    first.get_by_role("button", name="See what that changes").click()
    for page in (first, second):
        expect(page.locator("main")).to_contain_text("changed")
        expect(page.locator("main")).to_contain_text(re.compile("Look (again|at it again)"))
    given = gate.given()
    assert (given["rate_per_minute"], given["task_budget"]) == (40, 20)
    page = seat.go(gate.path)
    page.get_by_label("Envelopes a minute").fill("60")
    review(page)
    save(page)


def test_what_cannot_be_is_refused_in_words_and_what_changes_nothing_cannot_be_signed(gate, seat):
    """A number that is none names its bounds; the same permissions again offer no button."""
    seat.watched.expected.append("400")
    before = gate.given()
    page = seat.go(gate.path)
    page.get_by_role("button", name="See what that changes").click()
    expect(page.locator("main")).to_contain_text("That changes nothing.")
    expect(page.get_by_role("button", name="Sign and save")).to_have_count(0)
    for label, text, words in (
        ("Envelopes a minute", "-1", "A whole number from 0"),
        ("Until", "yesterday", "A time looks like"),
        ("Until", "2001-01-01T00:00Z", "has passed"),
    ):
        page = seat.go(gate.path)
        page.get_by_label(label).fill(text)
        page.get_by_role("button", name="See what that changes").click()
        expect(page.locator("body")).to_contain_text(words)
    assert gate.given() == before
