"""A browser that is signed in to one daemon's pages, and what holds of every page that it is shown."""

from __future__ import annotations

import re
from typing import Any, cast

import attrs

from tests.daemon.api.house import Answer, Api
from tests.daemon.api.test_pages import Guests, hidden

__all__ = ["ODD", "Browser", "fields_of", "inert", "sign_in"]

#: What somebody may write into any field: markup, a turn of direction, and Markdown.
ODD = "<script>alert(1)</script>\"'\u202edlrow **b** [x](javascript:alert(1))"


@attrs.define
class Browser:
    """Looks and presses."""

    api: Api
    guests: Guests

    async def get(self, path: str, **headers: str | None) -> Answer:
        """Any answer."""
        return await self.guests.browse("GET", path, None, **headers)

    async def page(self, path: str) -> str:
        """The text of a page that must be there, and inert."""
        answer = await self.get(path)
        assert answer.status == 200, (answer.status, answer.headers.get("location"), answer.raw[:300])
        return inert(answer)

    async def press(self, path: str, at: str = "", /, **fields: str) -> Answer:
        """Press a button on the page `at`, or on the one that the form is sent to."""
        shown = hidden(await self.get(at or path))
        token = {name: value for name, value in shown.items() if name == "form_token"}
        return await self.guests.browse("POST", path, {**token, **fields})

    async def done(self, path: str, at: str = "", /, **fields: str) -> str:
        """Press a button that must lead on; the text of the page that follows."""
        answer = await self.press(path, at, **fields)
        assert answer.status == 303, answer.raw
        return await self.page(answer.headers["location"].partition("#")[0])


def inert(answer: Answer) -> str:
    """The page's text, in which nothing runs and nothing comes from elsewhere."""
    text = answer.raw.decode()
    assert re.search(r"<style|\sstyle=|\son[a-z]+=", text) is None
    assert re.findall(r"<script(?! src=\"/assets/[a-z.-]+\?v=[0-9a-f]{12}\" defer></script>)", text) == []
    # What is to be changed stands in its field as it is; a field keeps it apart from the text around.
    around = re.sub(r'<textarea[^>]*>[^<]*</textarea>|\svalue="[^"]*"', "", text)
    assert "\u202e" not in around
    assert re.search(r'(?:src|href|action)="(?!/|#)', text) is None
    assert len(re.findall(r"<h1", text)) == 1
    labelled = set(re.findall(r'<label for="([^"]+)"', text))
    for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", text):
        kind = re.search(r'type="([a-z]+)"', tag)
        if kind is None or kind[1] not in ("hidden", "checkbox", "radio"):
            found = re.search(r'\sid="([^"]+)"', tag)
            assert found is not None, tag
            assert found[1] in labelled, tag
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "an id stands twice"
    return text


async def sign_in(api: Api, to: str = "/dashboard") -> Browser:
    """A browser of whoever owns this daemon."""
    guests = Guests(cast(Any, None), api, api, "")
    await guests.sign_in(to)
    return Browser(api, guests)


def fields_of(text: str, name: str) -> list[str]:
    """The values of a field's inputs on a page."""
    return [
        value
        for tag in re.findall(r"<input[^>]*>", text)
        if f'name="{name}"' in tag
        for value in re.findall(r'\svalue="([^"]*)"', tag) or [""]
    ]
