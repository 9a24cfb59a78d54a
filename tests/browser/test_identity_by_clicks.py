"""A contact who may be somebody else: the owner sees it, compares, and refuses the other one or accepts it.

The relay is taken over: another one answers at its address, which knows nobody, and at which somebody else
has taken the contact's name.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from playwright.sync_api import Page, expect

from tests.cli.conftest import Ran, Shell, items, owner_with, request_of, until
from tests.relay.process import started, words
from tests.warm import WarmStage

from .conftest import Seat, Sit


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def relay_at(port: int, folder: Path) -> Iterator[str]:
    """A relay with a database of its own."""
    folder.mkdir()
    reads, writes = os.pipe()
    with open(writes, "wb") as log:
        running = started(words(folder, port=port), log)
    with open(reads, encoding="utf-8") as lines:
        try:
            assert "listening" in lines.readline()
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait()


@attrs.frozen
class Contacts:
    """Two owners who know Otto, what the true Otto reads to Ines, and the account of the other one."""

    ines: Shell
    irma: Shell
    read_by_otto: str
    true_account: str
    other_account: str


@pytest.fixture(scope="module")
def contacts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contacts]:
    """To both it is in question who Otto is."""
    folder, port = tmp_path_factory.mktemp("identity"), free_port()
    (folder / "stage").mkdir()
    with WarmStage(folder / "stage") as stage:
        with relay_at(port, folder / "first") as relay:
            ines, irma, otto = (
                owner_with(stage, relay, name, agent)
                for name, agent in (("ines", "asker"), ("irma", "asker"), ("otto", "maker"))
            )
            for name, known in (("ines", ines), ("irma", irma)):
                assert known("connect", "asker", "@otto/maker").code == 0
                assert otto("approve", request_of(otto, f"@{name}/asker")).code == 0
                _until(
                    known, "connections", "--state", "accepted", holds=lambda ran: items(ran, "connections")
                )
            words = otto("peer", "show", "@ines", "--json").json()["safety_words"]
            assert isinstance(words, list)
            true = _account(otto)
            os.kill(_pid(otto), signal.SIGTERM)
        with relay_at(port, folder / "second") as relay:
            other = Shell(stage.folder, stage.start_daemon("other").data)
            assert other("setup", "otto", "--relay", relay).code == 0
            assert other("agent", "create", "maker").code == 0
            for name, known in (("ines", ines), ("irma", irma)):
                _ask(other, f"@{name}/asker")
                _until(known, "status", holds=lambda ran: ran.json()["changed_peers"] == ["@otto"])
            yield Contacts(ines, irma, " ".join(words), true, _account(other))


def _until(shell: Shell, *words: str, holds: Callable[[Ran], object]) -> Ran:
    return until(lambda: shell(*words, "--json"), lambda ran: bool(holds(ran)))


def _ask(shell: Shell, whom: str) -> None:
    """Ask for a connection, as soon as the relay knows whom."""
    until(lambda: shell("connect", "maker", whom), lambda ran: ran.code == 0)


def _account(shell: Shell) -> str:
    return str(shell("status", "--json").json()["account"])


def _pid(shell: Shell) -> int:
    return int(json.loads((shell.data / "daemon.json").read_text())["pid"])


def look_at_otto(seat: Seat) -> Page:
    """From the room of what waits to the page that says what is in question."""
    page = seat.enter("waiting")
    expect(page.locator(".link-state")).to_contain_text("alarm")
    expect(page.locator("#alarms + ul")).to_contain_text("A second account claims the name @otto")
    page.locator("section", has=page.locator("#identities")).get_by_role("link", name="@otto").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("@otto")
    expect(page.locator("section", has=page.locator("#change"))).to_contain_text(
        "Another account claims this name"
    )
    return page


def compare(page: Page, code: str) -> None:
    """Type what was heard."""
    page.get_by_label("What the other owner reads").fill(code)
    page.get_by_role("button", name="Compare").click()


def test_owner_compares_and_the_other_one_is_refused(contacts: Contacts, sit: Sit):
    """Words that differ change nothing; those of the true one settle it, and nothing is alarming any more."""
    seat = sit(contacts.ines)
    seat.watched.expected.append("409")
    page = look_at_otto(seat)
    change = page.locator("section", has=page.locator("#change"))
    expect(change).to_contain_text(contacts.true_account)
    expect(change).to_contain_text(contacts.other_account)
    compare(page, " ".join(contacts.read_by_otto.split()[::-1]))
    expect(page.locator("main")).to_contain_text("That is not the safety code")
    page = seat.go("/dashboard/peers/@otto")
    expect(page.locator("#change")).to_be_visible()
    compare(page, contacts.read_by_otto)
    expect(page.locator(".notice")).to_have_text("@otto is verified.")
    expect(page.locator("#change")).to_have_count(0)
    expect(page.locator("main")).to_contain_text(contacts.true_account)
    expect(page.locator("main")).not_to_contain_text(contacts.other_account)
    expect(page.locator(".link-state")).to_contain_text("connected")
    page = seat.go("/dashboard/waiting")
    expect(page.locator("#alarms")).to_have_count(0)
    expect(page.locator("#identities")).to_have_count(0)


def test_owner_accepts_that_a_contact_has_another_account(contacts: Contacts, sit: Sit):
    """Behind a second thought and a box that has to be ticked; the former one is shown as what it is."""
    seat = sit(contacts.irma)
    page = look_at_otto(seat)
    page.get_by_text("Its owner has a new account").click()
    give = page.get_by_role("button", name="Give the name to the other account")
    give.click()
    expect(page.locator("#change")).to_be_visible()
    page.get_by_label("Its owner has told me so").check()
    give.click()
    expect(page.locator(".notice")).to_contain_text("@otto is the other account now, unverified")
    expect(page.locator("main")).to_contain_text(contacts.other_account)
    expect(page.locator("#change")).to_have_count(0)
    expect(page.locator(".link-state")).to_contain_text("connected")
    page = seat.go(f"/dashboard/peers/{contacts.true_account}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"@otto~{contacts.true_account[:12]}")
    expect(page.locator("main")).to_contain_text("You have given its name to another account")
