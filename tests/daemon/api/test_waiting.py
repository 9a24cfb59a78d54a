"""Long-polling and the feed: what comes is told at once, and nobody waits for a daemon that stops."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from taskferry_apps.daemon.api.feed import FeedBody
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.views import EventView
from taskferry_protocol.ids import Instant
from tests.daemon.worlds import SECRET

from .house import HOST, served

SEND = {"from": "requester", "to": "@bob/writer", "text": "wake up"}


async def test_a_waiting_inbox_is_answered_as_soon_as_something_comes(house):
    """One agent by name, or all of the caller's at once: the answer comes with the message."""
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    for query in ({"agent_id": "@bob/writer"}, {}):
        found: list[Any] = []

        async def wait(query=query, found=found) -> None:
            found.append(await house.bob.ok("GET", "/inbox", wait=60, unprocessed="true", **query))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                await house.alice.ok("POST", "/messages/send", SEND)
        (item,) = found[0]["messages"]
        assert (item["payload"]["text"], item["state"], item["to"]) == ("wake up", "unread", "@bob/writer")
        await house.bob.ok("POST", f"/messages/{item['id']}/ack", {})


async def test_an_empty_inbox_is_answered_when_the_time_is_over(house):
    """After `wait` seconds there is an ordinary empty answer."""
    assert (await house.bob.ok("GET", "/inbox", agent="writer", unprocessed="true", wait=1))["messages"] == []


async def test_a_task_is_shown_again_once_it_is_otherwise_than_was_seen(house):
    """With the mark of what was seen, the answer comes with the news; no change before the wait is missed."""
    task = await house.task()
    seen = await house.alice.ok("GET", f"/tasks/{task}")
    with trio.fail_after(20):
        assert (await house.alice.ok("GET", f"/tasks/{task}", wait=60))["task_id"] == task, "no mark, no wait"
    program = await house.alice.token("requester")

    async def changes(api, known: str) -> Any:
        found = await api.ok("GET", f"/tasks/{task}", wait=60, mark=known)
        assert found["mark"] != known
        return found

    found: list[Any] = []

    async def wait_for_acceptance() -> None:
        mark = seen["mark"]
        while not found or found[-1]["state"] != "accepted":
            found.append(await changes(program, mark))
            mark = found[-1]["mark"]

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_acceptance)
            await trio.testing.wait_all_tasks_blocked()
            await house.bob.ok("POST", f"/tasks/{task}/accept", {})
        # Whoever asks with an old mark is told at once.
        assert (await changes(program, seen["mark"]))["state"] == "accepted"


async def test_a_task_that_stays_as_it_is_is_shown_when_the_time_is_over(house):
    """After `wait` seconds the answer is what was known; a strange mark waits for nothing."""
    path = f"/tasks/{await house.task()}"
    with trio.fail_after(20):
        seen = await house.alice.ok("GET", path)
        # The receipt may still come.
        while (again := await house.alice.ok("GET", path, wait=1, mark=seen["mark"])) != seen:
            seen = again
        assert (await house.alice.ok("GET", path, wait=60, mark="?")) == seen
    assert (await house.alice.get(path, wait=61)).error["field"] == "wait"


async def test_headers_come_without_content_and_pages_go_on(house):
    """`header_only` leaves the payload out; the cursor goes on where the page ended."""
    for text in ("one", "two", "three"):
        await house.alice.ok("POST", "/messages/send", SEND | {"text": text})

    async def all_three():
        with trio.fail_after(20):
            while len((await house.bob.ok("GET", "/inbox", agent="writer", header_only="1"))["messages"]) < 3:
                await trio.sleep(0.01)

    await all_three()
    first = await house.bob.ok("GET", "/inbox", agent="writer", limit=2, header_only="true")
    assert all("payload" not in item for item in first["messages"])
    assert first["more"] is True
    rest = await house.bob.ok("GET", "/inbox", agent="writer", limit=2, cursor=first["cursor"])
    assert [item["payload"]["text"] for item in rest["messages"]] == ["three"]
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    everything = await house.bob.ok("GET", "/inbox")
    assert [item["payload"]["text"] for item in everything["messages"]] == ["one", "two", "three"]
    assert (await house.bob.get("/inbox", cursor=first["cursor"])).error["field"] == "agent"


class Feed:
    """One answer as it comes in, read line by line from its chunks."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._raw = b""
        self._text = b""
        self.head = ""

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._raw:
            data = await self._stream.receive_some(65_536)
            if not data:
                raise EOFError
            self._raw += data
        found, _, self._raw = self._raw.partition(mark)
        return found

    async def read_head(self) -> None:
        """The status line and the headers."""
        self.head = (await self._until(b"\r\n\r\n")).decode().lower()
        assert self.head.startswith("http/1.1 200")

    async def line(self) -> str:
        """The next line that is not empty; EOFError at the end."""
        while b"\n" not in self._text:
            size = int(await self._until(b"\r\n"), 16)
            if not size:
                raise EOFError
            while len(self._raw) < size + 2:
                self._raw += await self._stream.receive_some(65_536)
            self._text, self._raw = self._text + self._raw[:size], self._raw[size + 2 :]
        found, _, self._text = self._text.partition(b"\n")
        return found.decode() or await self.line()

    async def event(self):
        """The next event, comments passed over: (id, event, data)."""
        fields = {}
        while "data" not in fields:
            name, _, value = (await self.line()).partition(": ")
            fields[name] = value
        return fields.get("id"), fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def following(bound, path="/events", *, secret=SECRET, last=None):
    """The feed at a path, as a client reads it."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{bound.port}\r\nAuthorization: Bearer {secret}\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", bound.port) as stream:
        await stream.send_all((head + (f"Last-Event-ID: {last}\r\n" if last else "") + "\r\n").encode())
        feed = Feed(stream)
        await feed.read_head()
        yield feed


async def test_the_feed_tells_what_happens_and_goes_on_where_it_was_left(house):
    """Events come with ids; Last-Event-ID outranks `after`; an agent's token sees its agent's alone."""
    secret = (await house.bob.token("writer")).secret
    async with served(house.bob) as (_, bound):
        async with following(bound, "/events?agent=writer", secret=secret) as feed:
            assert (await feed.line()).startswith(":")
            assert "content-type: text/event-stream" in feed.head
            assert "cache-control: no-store" in feed.head
            sent = await house.alice.ok("POST", "/messages/send", SEND)
            while True:
                number, kind, data = await feed.event()
                if data.get("message_id") == sent["message_id"] and kind == "message":
                    break
        assert (str(data["id"]), data["agent"]) == (number, "writer")
        before = int(number) - 1
        async with following(bound, f"/events?after={before}", secret=secret) as feed:
            assert (await feed.event())[0] == number
        async with following(bound, "/events?after=0", secret=secret, last=before) as feed:
            assert (await feed.event())[0] == number
        async with following(bound, "/events?after=0") as feed:
            assert (await feed.event())[2]["kind"]


async def test_wakes_of_one_program_are_asked_for_by_its_name(house):
    """What it has wakes it and not the other; no program, or not for wakes, is refused before it begins."""
    secret = (await house.bob.token("writer")).secret
    one, two = [
        (await house.bob.ok("POST", "/runtimes", {"agent": "writer", "program": name}))["runtime"]
        for name in ("one", "two")
    ]
    async with served(house.bob) as (_, bound):
        path = "/events?wake=true&agent=writer&after=0&runtime="
        await house.alice.ok("POST", "/messages/send", SEND)
        async with following(bound, path + one["name"], secret=secret) as feed:
            assert (await feed.event())[2]["count"] == 1
        await house.bob.ok("GET", "/inbox", agent="writer", unprocessed="true", runtime=one["id"], wait=5)
        sent = await house.alice.ok("POST", "/messages/send", SEND)
        async with following(bound, path + two["id"], secret=secret) as feed:
            needs = (await feed.event())[2]["needs"]
            assert [need["message_id"] for need in needs] == [sent["message_id"]]
    unknown = await house.bob.get("/events", wake="true", runtime="nobody")
    assert (unknown.status, unknown.error["code"]) == (404, "unknown-runtime")
    no_wakes = await house.bob.get("/events", runtime=one["id"])
    assert (no_wakes.status, no_wakes.error["field"]) == (400, "runtime")


async def test_draining_ends_feeds_and_waits(house):
    """When the daemon stops, a feed ends with its last line and a waiting inbox answers."""
    async with served(house.bob) as (client, bound), following(bound) as feed:
        assert (await feed.line()).startswith(":")
        answers = []

        async def wait() -> None:
            answers.append(await client.get("/inbox?agent=writer&unprocessed=true&wait=60"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            while len(bound.connections) < 2:
                await trio.sleep(0.01)
            await trio.testing.wait_all_tasks_blocked(0.1)
            bound.draining.set()
            while await feed.line() != ": the daemon stops":
                pass  # a receipt for what connected the two may still have come
            with pytest.raises(EOFError):
                await feed.line()
        assert answers[0].json()["messages"] == []


async def test_a_client_that_goes_leaves_nothing_behind(house):
    """A feed and a wait that are given up end at the server, too."""
    async with served(house.bob) as (client, bound):
        with trio.move_on_after(0.3):
            await client.get("/inbox?agent=writer&unprocessed=true&wait=60")
        async with following(bound) as feed:
            await feed.line()
        while bound.connections:
            await trio.sleep(0.01)


async def test_a_revoked_credential_sees_nothing_more(house):
    """The feed of a token that is revoked ends with a refusal before the next event."""
    made = await house.bob.ok("POST", "/tokens", {"agents": ["writer"]})
    async with served(house.bob) as (_, bound), following(bound, secret=made["token"]) as feed:
        assert (await feed.line()).startswith(":")
        await house.bob.call("DELETE", f"/tokens/{made['id']}")
        await house.alice.ok("POST", "/messages/send", SEND)
        _, kind, data = await feed.event()
        assert (kind, data["error"]["code"]) == ("refused", "unauthorized")
        with pytest.raises(EOFError):
            await feed.line()


async def test_a_feed_of_several_agents_ends_when_one_of_them_is_withdrawn(house):
    """Whoever has the name by then is another agent, of which the program that reads it learns nothing."""
    await house.bob.ok("POST", "/agents", {"handle": "reader"})
    made = await house.bob.ok("POST", "/tokens", {"agents": ["reader", "writer"]})
    async with served(house.bob) as (_, bound), following(bound, secret=made["token"]) as feed:
        assert (await feed.line()).startswith(":")
        assert (await house.bob.call("DELETE", "/agents/reader")).status == 200
        await house.bob.ok("POST", "/agents", {"handle": "reader"})
        await house.alice.ok("POST", "/messages/send", SEND)
        _, kind, data = await feed.event()
        assert (kind, data["error"]["code"]) == ("refused", "unauthorized")
    assert (await house.bob.holding(made["token"]).call("GET", "/inbox")).status == 200


async def test_a_credential_that_lost_an_agent_sees_nothing_of_the_next_of_its_name(house):
    """It goes on for another agent, in requests that begin anew: a feed of before ends with a refusal."""
    await house.bob.ok("POST", "/agents", {"handle": "other"})
    made = await house.bob.ok("POST", "/tokens", {"agents": ["writer", "other"]})
    async with served(house.bob) as (_, bound), following(bound, secret=made["token"]) as feed:
        assert (await feed.line()).startswith(":")
        await house.bob.call("DELETE", "/agents/writer")
        await house.bob.ok("POST", "/agents", {"handle": "writer"})
        await house.bob.ok("POST", "/connections/request", {"from": "writer", "to": "@alice/requester"})
        while (event := await feed.event())[1] != "refused":
            assert event[2].get("state") != "requested_out"
        assert event[2]["error"]["code"] == "unauthorized"
        with pytest.raises(EOFError):
            await feed.line()
    assert (await house.bob.holding(made["token"]).get("/inbox", agent="other")).status == 200


async def test_a_credential_revoked_while_its_request_comes_in_does_nothing(house):
    """A program that holds the rest of its words back until its credential is withdrawn says none of them."""
    made = await house.alice.ok("POST", "/tokens", {"agents": ["requester"]})
    raw = json.dumps(SEND).encode()
    headers = {"Host": HOST, "Authorization": f"Bearer {made['token']}", "Content-Type": "application/json"}
    request: Any = house.alice.app.test_client().request(
        "/messages/send", method="POST", headers=headers | {"Content-Length": str(len(raw))}
    )
    with trio.fail_after(20):
        async with request as connection:
            await connection.send(raw[:9])
            await trio.testing.wait_all_tasks_blocked()
            await house.alice.call("DELETE", f"/tokens/{made['id']}")
            await connection.send(raw[9:])
            await connection.send_complete()
            response = await connection.as_response()
    assert response.status_code == 401
    shown = await house.alice.ok("GET", "/messages", agent="requester")
    assert not [message for message in shown["messages"] if message["type"] == "message"]


def an_event(number: int) -> EventView:
    """A line of the feed whose text tries to break out of its line."""
    return EventView(number, "mess\nage", "a", (), '{"id":"x","text":"a\\n\\ndata: evil\\n\\n"}', Instant(0))


async def test_no_content_breaks_out_of_its_event():
    """Line breaks in kinds and texts stay inside; a fact called id does not hide the line's own."""

    async def events():
        yield an_event(1)
        await trio.sleep_forever()

    async def known() -> None:
        await trio.lowlevel.checkpoint()

    async with FeedBody(events, known, trio.Event(), 60) as lines:
        received = [line async for line, _ in zip_first(lines, 2)]
    text = received[1].decode()
    assert text.startswith("id: 1\nevent: message\ndata: {")
    assert text.count("\n\n") == 1
    data = json.loads(text.split("data: ", 1)[1])
    assert (data["id"], data["mess\nage_id"]) == (1, "x")


async def zip_first(lines, count):
    """The first few of endless lines."""
    number = 0
    async for line in lines:
        yield line, number
        number += 1
        if number == count:
            return


async def test_a_silent_feed_says_that_it_is_alive():
    """Heartbeats come while nothing happens, and end with the credential."""
    refused: list[bool] = []

    async def events():
        while True:
            await trio.sleep(60)
            yield an_event(1)

    async def known() -> None:
        await trio.lowlevel.checkpoint()
        if refused:
            raise DaemonRefusal("unauthorized", "gone", status=401)

    with trio.fail_after(10):
        async with FeedBody(events, known, trio.Event(), 0.01) as lines:
            received = []
            async for line in lines:
                received.append(line)
                if len(received) == 3:
                    refused.append(True)
    assert received[1] == received[2] == b": still here\n\n"
    assert b"unauthorized" in received[-1]


async def test_a_feed_that_fails_says_so_and_ends():
    """An error of the daemon's own is told as an event without its text; the feed ends cleanly."""

    async def events():
        yield an_event(1)
        raise KeyError("a secret")

    async def known() -> None:
        await trio.lowlevel.checkpoint()

    with trio.fail_after(10):
        async with FeedBody(events, known, trio.Event(), 60) as lines:
            received = b"".join([line async for line in lines])
    assert b'"code":"internal"' in received
    assert b"a secret" not in received
