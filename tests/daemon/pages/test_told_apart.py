"""Links that look the same are told apart by their names, as they are heard; and many agents have room."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser

import pytest

from taskferry_apps.daemon.port import NewAgent
from tests.daemon.worlds import OWNER, ask, in_state, until

from .rooms import Page, Room


class Links(HTMLParser):
    """The targets of links by their words, as a screen reader says them."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.named: defaultdict[str, set[str]] = defaultdict(set)
        self._target, self._words = "", ""
        self.feed(page.raw.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A link begins."""
        if tag == "a":
            self._target, self._words = dict(attrs).get("href") or "", ""

    def handle_data(self, data: str) -> None:
        """Words, perhaps of a link."""
        self._words += data

    def handle_endtag(self, tag: str) -> None:
        """A link ends."""
        if tag == "a":
            self.named[" ".join(self._words.split())].add(self._target)


async def _said_twice(room: Room) -> None:
    """Two tasks of one title, and two conversations between the same two."""
    for n in range(2):
        task = await ask(room.alice, "requester", "@bob/writer", title="Report")
        await in_state(room.bob, task, "sent")
        await room.bob.send_message(OWNER, "writer", "@alice/requester", f"hello {n}", (), "", "")

    async def there() -> bool:
        return len((await room.bob.history.conversations(OWNER, "", "", "", 9)).conversations) == 4

    await until(there)


@pytest.mark.parametrize(
    ("path", "words", "count"),
    [
        ("/dashboard", "Report, task ", 2),
        ("/dashboard/tasks", "Report, task ", 2),
        ("/dashboard/messages", "@bob/writer and @alice/requester, conversation ", 4),
        ("/dashboard/messages?q=hello", "conversation ", 2),
    ],
)
async def test_no_two_links_of_a_list_have_one_name(room, path, words, count):
    """Where words stand twice, the beginning of an id follows them, which is heard and not seen."""
    await _said_twice(room)
    named = Links(await room.get(path)).named
    assert [name for name, targets in named.items() if len(targets) > 1] == []
    assert len([name for name in named if words in name]) == count


async def test_a_link_whose_words_stand_once_is_called_by_them_alone(room):
    """Nobody has to hear an id without need."""
    task = await ask(room.alice, "requester", "@bob/writer", title="Report")
    await in_state(room.bob, task, "sent")
    assert "Report" in Links(await room.get("/dashboard/tasks")).named


async def test_many_agents_stand_in_columns_and_few_beside_the_chart(room):
    """No half of the overview is empty."""
    for n in range(3):
        await room.bob.create_agent(OWNER, NewAgent(f"agent-{n}"))
    assert "list columns" not in (await room.get("/dashboard")).raw.decode()
    await room.bob.create_agent(OWNER, NewAgent("agent-3"))
    assert "list columns" in (await room.get("/dashboard")).raw.decode()


async def test_a_former_agent_is_told_apart_in_words_and_nothing_is_offered_to_be_said_to_it(
    room: Room,
) -> None:
    """Beside the next one of its name, in lists, on a conversation's page and on a task's."""
    await _said_twice(room)
    await room.bob.withdraw_agent(OWNER, "writer")
    await room.bob.create_agent(OWNER, NewAgent("writer"))
    former = "@bob/writer (former agent 1)"
    for path in ("/dashboard/messages", "/dashboard/messages?q=hello", "/dashboard/tasks"):
        assert former in (await room.get(path)).text
    (talk, *_) = (await room.bob.history.conversations(OWNER, "", "", "", 9)).conversations
    page = await room.get(f"/dashboard/messages/{talk.id.hex()}")
    assert former in page.text
    assert "this conversation is over" in page.text
    assert "@bob/writer~1" not in page.raw.decode()
    (task, *_), _ = await room.bob.tasks(OWNER, "", "", "", "", 9)
    page = await room.get(f"/dashboard/tasks/{task.id.hex()}")
    assert former in page.text
    assert "one of the two agents was withdrawn" in page.text
