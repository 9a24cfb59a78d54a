"""Two machines become one owner's in two browsers: by a code and words that are typed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape

import attrs
import httpx
import pytest

from .conftest import Client, House, until


@attrs.frozen
class Browser:
    """Looks and presses, signed in to one daemon's pages."""

    http: httpx.Client

    def page(self, path: str) -> str:
        """A page's text."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def press(self, path: str, at: str, **fields: str) -> httpx.Response:
        """Press a button of the page `at`."""
        (token, *_) = re.findall(r'name="form_token" value="([^"]+)"', self.page(at))
        origin = {"Origin": str(self.http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        return self.http.post(path, data={"form_token": token, **fields}, headers=origin)

    def once(self, path: str, pattern: str) -> str:
        """What stands on a page, as soon as it does."""

        def there() -> str:
            found = re.search(pattern, self.page(path), re.DOTALL)
            return found[1].strip() if found is not None else ""

        return until(there)


OWN_WORDS = r'aria-label="The words of this machine">([^<]+)<'
CODE = r'aria-label="The code of this machine">([^<]+)<'
PLACE = r'name="place" value="([^"]+)"'
OLD, NEW = "/dashboard/devices", "/setup/link"


@attrs.frozen
class Pair:
    """Alice's machine, and one that is to be hers."""

    house: House
    old: Browser
    new: Browser
    clients: tuple[Client, Client]

    def meet(self, **how: str) -> tuple[str, str]:
        """Both show words; which the old one and which the new one does."""
        begun = self.new.press(f"/dashboard{NEW}", NEW, do="begin", relay=self.house.relay, label="second")
        assert begun.status_code == 200, begun.text
        code = self.new.once(NEW, CODE)
        fields = {"do": "approve", "code": code, "history": "all", "mine": "yes", **how}
        assert self.old.press(OLD, OLD, **fields).status_code == 200
        return self.old.once(OLD, OWN_WORDS), self.new.once(NEW, OWN_WORDS)

    def say(self, browser: Browser, path: str, at: str, words: str) -> httpx.Response:
        """Type the other machine's words in."""
        place, shown = browser.once(at, PLACE), browser.once(at, OWN_WORDS)
        return browser.press(path, at, do="words", words=words, place=place, shown=shown)


@pytest.fixture
def pair(house: House) -> Iterator[Pair]:
    """Both machines with a browser each."""
    with ExitStack() as opened:
        old, new = house.owner("alice", "requester"), house.start("second")[1]
        browsers = []
        for client in (old, new):
            way_in = client.post("/browser/sign-in", {"to": "/dashboard"})["path"]
            http = httpx.Client(base_url=client.inner.url, follow_redirects=True, timeout=40)
            browsers.append(Browser(opened.enter_context(http)))
            assert browsers[-1].http.get(str(way_in)).status_code == 200
        yield Pair(house, browsers[0], browsers[1], (old, new))


def test_machines_are_linked_in_two_browsers(pair: Pair) -> None:
    """A code, words on both sides, and then both pages show the account with two machines."""
    of_old, of_new = pair.meet()
    assert of_old != of_new
    assert pair.say(pair.new, f"/dashboard{NEW}", NEW, of_old).status_code == 200
    assert "waits until the same is done on the other one" in pair.new.page(NEW)
    assert "Linked" in pair.say(pair.old, OLD, OLD, of_new).text or pair.old.once(OLD, "(Linked: )")
    assert "second" in pair.old.page(OLD)
    pair.new.once("/dashboard", "(@alice · connected)")
    text = pair.new.page(OLD)
    for words in ("this one", "second", "heard "):
        assert words in text
    assert "It may not sign" not in text
    device = re.findall(r'name="device" value="([0-9a-f]{64})"', pair.new.page(OLD))[0]
    put_out = pair.new.press(OLD, OLD, do="revoke", device=device)
    assert put_out.status_code in (403, 409), "the new one may not sign"
    mine = next(one for one in pair.clients[0].get("/devices")["devices"] if not one["here"])
    gone = pair.old.press(OLD, OLD, do="revoke", device=mine["id"], reason="sold")
    assert "second is put out of your account" in gone.text


def test_words_that_do_not_belong_together_end_the_try(pair: Pair) -> None:
    """Nothing is signed, both pages say what that means, and both can begin anew."""
    of_old, _ = pair.meet()
    refused = pair.say(pair.old, OLD, OLD, of_old)
    assert refused.status_code == 409
    assert "do not belong together" in pair.old.page(OLD)
    assert "somebody stood in between" in pair.new.once(NEW, "(somebody stood in between)")
    assert len(pair.clients[0].get("/devices")["devices"]) == 1
    assert "Meet it" in pair.old.page(OLD)
    assert "Show a code" in pair.new.page(NEW)


def test_words_typed_for_an_earlier_try_do_not_use_this_one_up(pair: Pair) -> None:
    """A form that was left open: the try that is under way still has its one chance."""
    pair.meet()
    place, shown = pair.old.once(OLD, PLACE), pair.old.once(OLD, OWN_WORDS)
    pair.old.press(OLD, OLD, do="cancel")
    pair.new.once(NEW, "(Show a code)")
    of_old, of_new = pair.meet()
    late = pair.old.press(OLD, OLD, do="words", words=of_new, place=place, shown=shown)
    assert late.status_code == 409
    assert "an earlier try" in unescape(late.text)
    assert pair.say(pair.old, OLD, OLD, of_new).status_code == 200
    assert pair.say(pair.new, f"/dashboard{NEW}", NEW, of_old).status_code == 200
    pair.new.once("/dashboard", "(@alice · connected)")
