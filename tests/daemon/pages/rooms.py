"""Bob before his dashboard, Alice's daemon at the other end; every page that he sees is held to the rules."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

import attrs

from taskferry_apps.daemon.port import NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import ConnectionView
from tests.daemon.api.house import Answer, a_house
from tests.daemon.api.test_pages import Guests, hidden
from tests.daemon.worlds import OWNER, World, until

__all__ = ["EVIL", "Page", "Room", "a_room", "requested"]

#: What would act on a page, a reader or a model that takes it for more than text.
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)> **bold** [a](javascript:b) \u202egnp.exe \"'>"


class Page(HTMLParser):
    """A page taken apart: its tags, its text, the names of its fields."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.raw = raw
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(raw.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """All that is read, in one line."""
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each such tag."""
        return [attributes for name, attributes in self.tags if name == tag]

    def buttons(self) -> list[str | None]:
        """What each button does."""
        return [one.get("value") for one in self.of("button") if one.get("name") == "do"]

    def check(self) -> None:
        """What every page of the dashboard keeps to."""
        for tag, attributes in self.tags:
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            assert tag != "script" or str(attributes.get("src")).startswith("/assets/")
            assert tag != "img" or str(attributes.get("src")).startswith("/assets/")
            assert not str(attributes.get("href", "")).startswith(("javascript:", "http:", "https:", "//"))
        assert [tag for tag, _ in self.tags].count("h1") == 1
        assert "style" not in [tag for tag, _ in self.tags]
        assert "\u202e" not in self.raw.decode()
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids)), ids
        labels = {one.get("for") for one in self.of("label")}
        for tag, attributes in self.tags:
            if tag in ("input", "select", "textarea") and attributes.get("type") != "hidden":
                # A field stands inside its label, or is named by one.
                assert attributes.get("id") in labels or not attributes.get("id"), attributes
        assert len(self.raw) < 150_000


@attrs.define
class Room:
    """One browser, signed in at Bob's daemon."""

    guests: Guests
    bob: Daemon
    alice: Daemon

    @property
    def world(self) -> World:
        """Where both live."""
        return self.guests.world

    async def get(self, path: str, status: int = 200) -> Page:
        """A page, which must keep to the rules."""
        answer = await self.guests.browse("GET", path)
        assert answer.status == status, answer.raw
        page = Page(answer.raw)
        page.check()
        return page

    async def press(self, path: str, seen: Page | None = None, /, **form: Any) -> Answer:
        """A button: the token, the hidden fields of the page that was seen, and what is typed in."""
        shown = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', _text(seen)))
        token = hidden(await self.guests.browse("GET", "/dashboard"))
        members = {**{name: html.unescape(value) for name, value in shown.items()}, **token, **form}
        return await self.guests.browse("POST", path, members)

    async def done(self, path: str, seen: Page | None = None, /, **form: Any) -> Page:
        """A button that does what it says, and the page that it leads to."""
        answer = await self.press(path, seen, **form)
        assert answer.status == 303, answer.raw
        return await self.get(answer.headers["location"])

    async def refused(self, path: str, seen: Page | None = None, /, **form: Any) -> tuple[int, str]:
        """A button that is refused: the status, and what the page says."""
        answer = await self.press(path, seen, **form)
        assert answer.status >= 400
        page = Page(answer.raw)
        page.check()
        return answer.status, page.text


def _text(seen: Page | None) -> str:
    return seen.raw.decode() if seen is not None else ""


@asynccontextmanager
async def a_room() -> AsyncIterator[Room]:
    """Alice's requester and Bob's writer are connected, and Bob looks."""
    async with a_house() as house:
        guests = Guests(house.world, house.bob, house.alice, "")
        await guests.sign_in("/dashboard")
        yield Room(guests, house.bob.daemon, house.alice.daemon)


async def requested(room: Room, note: str = "hello") -> ConnectionView:
    """A request of Alice's for another agent of Bob's."""
    await room.bob.create_agent(OWNER, NewAgent("coder"))
    await room.alice.request_connection(OWNER, "requester", "@bob/coder", note)

    async def there() -> tuple[ConnectionView, ...]:
        return await room.bob.gates.requests(OWNER, 10)

    (request,) = await until(there)
    return request
