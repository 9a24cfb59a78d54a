"""The relay's pages in a browser: strangers and the operator, both themes, three widths."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from taskferry_apps.demo.stage import Stage
from tests.cli.conftest import Shell

from .conftest import HUGE, NARROW, WIDE, Seat, Sit
from .test_looks import faults, keep_picture

ROOMS = {
    "relay-home": "/",
    "relay-signup": "/signup",
    "relay-community": "/community",
    "relay-status": "/status",
    "relay-invite": "/invite/nobody-has-this",
}
OPERATOR = {"ops": "/ops", "ops-accounts": "/ops/accounts", "ops-audit": "/ops/audit"}


def ops_link(stage: Stage) -> str:
    """A one-time way in to the operator's pages."""
    database = str(stage.folder / "relay" / "relay.db")
    command = [sys.executable, "-m", "taskferry_apps.cli", "relay", "--db", database, "ops", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return str(json.loads(done.stdout)["links"][0])


@pytest.fixture
def visitor(sit: Sit, bob: Shell, relay: str) -> Seat:
    """Whoever looks at a relay."""
    seat = sit(bob)
    seat.origin = relay.replace("ws://", "http://")
    return seat


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE, HUGE])
def test_strangers_and_the_operator_can_read_every_page(stage, lived, relay, bob, sit, width, dark):
    """No rule of WCAG 2.2 AA that axe-core knows is broken, and nobody has to scroll sideways."""
    seat = sit(bob, width=width, dark=dark)
    seat.origin = relay.replace("ws://", "http://")
    seat.watched.expected.append("404")
    ending = {NARROW: "-narrow", WIDE: "", HUGE: "-huge"}[width] + ("-dark" if dark else "")
    found: list[str] = []
    for name, path in ROOMS.items():
        seat.page.goto(seat.origin + path)
        found += faults(seat, name)
        keep_picture(seat, name + ending)
    seat.page.goto(ops_link(stage))
    for name, path in OPERATOR.items():
        seat.go(path)
        found += faults(seat, name)
        keep_picture(seat, name + ending)
    assert found == []


def test_a_used_way_in_to_the_operators_pages_is_explained(stage, bob, relay, sit):
    """It works once; the second time the page says how to make another."""
    url = ops_link(stage)
    first, second = sit(bob), sit(bob)
    second.watched.expected.append("40")
    first.page.goto(url)
    expect(first.page).to_have_url(f"{relay.replace('ws://', 'http://')}/ops")
    second.page.goto(url)
    expect(second.page.locator("body")).to_contain_text("taskferry relay ops")


def test_the_community_is_found_by_its_words_and_shows_them_as_words(lived, bob, visitor):
    """A public agent whose owner writes markup into its card."""
    lived.bob.post(
        "/agents",
        {
            "handle": "showman",
            "tagline": "<img src=x onerror=alert(1)> \u202etxt.exe",
            "public_profile": True,
        },
    )
    page = visitor.page

    def listed() -> bool:
        page.goto(f"{visitor.origin}/community?q=showman")
        return "@bob/showman" in page.locator("main").inner_text()

    deadline = 40
    while not listed():
        deadline -= 1
        assert deadline
        page.wait_for_timeout(250)
    text = page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>" in text
    assert "\u202e" not in text
    assert page.locator("main img").count() == 0
