"""The pages of messages: what they show, that what others wrote stays text, and what a button sends."""

from __future__ import annotations

import re

import pytest

from tests.daemon.api.test_pages import Guests, guests_at_home, hidden
from tests.daemon.worlds import OWNER, until

HOSTILE = "</bdi><script>alert(1)</script> [a](javascript:alert(1)) \u202egnp.exe \x1b[31m <img src=x>"


@pytest.fixture
async def guests():
    """Alice and Bob, connected by an invite."""
    async with guests_at_home() as made:
        path, form = await made.page()
        answer = await made.browse("POST", path, {**form, "agent": "requester", "answer": "ask"})
        assert answer.status == 200

        async def accepted():
            (connection,) = await made.asked()
            return connection["state"] == "accepted"

        await until(accepted)
        yield made


async def look(guests: Guests, path: str) -> str:
    """A page's text."""
    answer = await guests.browse("GET", path)
    assert answer.status == 200, (path, answer.raw)
    text = answer.raw.decode()
    assert re.search(r"<script(?! src=\"/assets/)|<style|style=|\son[a-z]+=|https?://", text) is None
    return text


async def said_by_bob(guests: Guests, text: str, within: str = "") -> str:
    """The conversation in which Alice has what Bob says."""
    sent = await guests.bob.daemon.send_message(OWNER, "writer", "@alice/requester", text, (), within, "")

    async def arrived():
        page = await guests.alice.daemon.messages(OWNER, "requester", "", 50)
        return any(message.id == sent.message for message in page.messages)

    await until(arrived)
    return sent.conversation.hex()


async def test_what_a_peer_says_stays_words_in_lists_search_and_conversation(guests):
    """No markup, no link, and unseen characters are shown by their numbers."""
    conversation = await said_by_bob(guests, HOSTILE)
    for path in ("/dashboard/messages", f"/dashboard/messages/{conversation}", "/dashboard/messages?q=alert"):
        text = await look(guests, path)
        assert "alert(1)" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert 'href="javascript' not in text
        assert "\u202e" not in text
        assert "\x1b" not in text


async def test_giant_messages_do_not_make_a_giant_page(guests):
    """Of each its beginning, and the whole of the one that is asked for."""
    conversation = ""
    for at in range(4):
        conversation = await said_by_bob(guests, f"{at}: " + '"\u202e' * 16_000 + f"end {at}", conversation)
    path = f"/dashboard/messages/{conversation}"
    text = await look(guests, path)
    assert len(text) < 150_000
    assert "end 0" not in text
    ways = re.findall(r'href="([^"]*whole=[^"]*)"', text)
    assert len(ways) == 4
    whole = await look(guests, ways[0].partition("#")[0].replace("&amp;", "&"))
    assert "end 0" in whole
    assert "end 1" not in whole
    assert f'id="{ways[0].partition("#")[2]}"' in whole


async def test_what_unseen_characters_leave_no_room_for_can_be_read(guests):
    """Their codes are longer than they are: what is cut for that is a press away, too."""
    conversation = await said_by_bob(guests, "\u202e" * 300 + "the end")
    text = await look(guests, f"/dashboard/messages/{conversation}")
    assert "the end" not in text
    (way,) = re.findall(r'href="([^"]*whole=[^"]*)"', text)
    assert "the end" in await look(guests, way.partition("#")[0])


async def test_looking_at_a_conversation_reads_nothing_for_the_agent(guests):
    """The owner's look marks nothing: the sender is told what agents do."""
    conversation = await said_by_bob(guests, "Good morning")
    assert "Good morning" in await look(guests, f"/dashboard/messages/{conversation}")
    page = await guests.alice.daemon.messages(OWNER, "requester", "", 50)
    assert [message.state for message in page.messages if message.type == "message"] == ["unread"]


async def test_a_line_is_sent_in_its_conversation_once(guests):
    """The button answers with a way to the page, which says what was done; loading it again sends nothing."""
    conversation = await said_by_bob(guests, "Shall we?")
    path = f"/dashboard/messages/{conversation}"
    form = hidden(await guests.browse("GET", path))
    answer = await guests.browse("POST", path, {**form, "text": "Yes."})
    assert (answer.status, answer.headers["location"]) == (303, path)
    assert "Sent." in await look(guests, path)
    assert "Sent." not in await look(guests, path)

    async def heard():
        page = await guests.bob.daemon.inbox(OWNER, "writer", True, "", 50, 0)
        return [message.payload.get("text") for message in page.messages] == ["Yes."]

    await until(heard)


@pytest.mark.parametrize("text", ["", "   ", "x" * 200_000])
async def test_nothing_and_too_much_are_refused_with_a_reason(guests, text):
    """The page says what is wrong, and nothing is sent."""
    conversation = await said_by_bob(guests, "Shall we?")
    path = f"/dashboard/messages/{conversation}"
    form = hidden(await guests.browse("GET", path))
    answer = await guests.browse("POST", path, {**form, "text": text})
    assert answer.status in (400, 413)
    assert b"Go back" in answer.raw or b"too large" in answer.raw
    page = await guests.alice.daemon.messages(OWNER, "requester", "", 50)
    assert all(message.direction == "in" for message in page.messages if message.type == "message")


@pytest.mark.parametrize("named", ["0" * 32, "x", "0" * 31 + "G", "%2e%2e"])
async def test_an_unknown_conversation_is_explained(guests, named):
    """404, and where to look."""
    answer = await guests.browse("GET", f"/dashboard/messages/{named}")
    assert answer.status == 404


async def test_empty_rooms_say_what_to_do_next(guests):
    """Without messages the page names the command; the quarantine says that it is empty."""
    assert "taskferry message send" in await look(guests, "/dashboard/messages")
    assert "Nothing is in quarantine." in await look(guests, "/dashboard/messages/quarantine")
    assert "Nothing was said" in await look(guests, "/dashboard/messages?q=nowhere")
