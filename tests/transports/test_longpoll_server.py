"""The routes of long-poll, by plain HTTP requests against the real server."""

from __future__ import annotations

import hashlib
import random
import re
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio
from quart_trio import QuartTrio

from taskferry_transports.guarded_server import GuardConfig
from taskferry_transports.longpoll_server import LongPollLimits, LongPollServer
from taskferry_transports.longpoll_wire import decode_frames, encode_frames
from taskferry_transports.port import Liveness
from tests.plain import NO_AUTHORITIES

from .pairs import running

LIMITS = LongPollLimits(
    max_frame=10_000,
    max_body=20_000,
    buffer_bytes=20_000,
    room_timeout=0.1,
    max_links=4,
    max_links_per_peer=3,
    uncounted_peers=frozenset(),
    liveness=Liveness(0.2, 3),
    token_lifetime=1.0,
)


@attrs.define
class Site:
    """A server with long-poll links, and a client that has one of them."""

    server: LongPollServer
    client: httpx.AsyncClient
    links: list
    draining: trio.Event
    token: str = ""

    async def open(self) -> httpx.Response:
        """Ask for a link."""
        return await self.client.post("/link/open", headers={"TaskFerry-Protocol": "taskferry.1"})

    async def exchange(self, send, received, frames=(), wait=None, token=None) -> httpx.Response:
        """One exchange request."""
        headers = {
            "TaskFerry-Link": self.token if token is None else token,
            "TaskFerry-Offsets": f"send={send}, received={received}",
        }
        if wait is not None:
            headers["TaskFerry-Wait"] = str(wait)
        return await self.client.post("/link/exchange", headers=headers, content=encode_frames(frames))


@asynccontextmanager
async def opened(limits=LIMITS, handle=None):
    """A site with one open link."""
    links = []

    async def handler(transport, info):
        links.append(transport)
        if handle is not None:
            return await handle(transport, info)
        await trio.sleep_forever()

    server = LongPollServer(handler, random.Random(1).randbytes, limits)
    app = QuartTrio("longpoll")
    server.mount(app, "/link")
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        guard = GuardConfig(max_body=limits.max_body + 5000, linger=0.1)
        async with (
            running(app, guard) as bound,
            httpx.AsyncClient(
                base_url=bound.urls[0], trust_env=False, timeout=5, verify=NO_AUTHORITIES
            ) as client,
        ):
            site = Site(server, client, links, bound.draining)
            site.token = (await site.open()).json()["token"]
            while not links:
                await trio.lowlevel.checkpoint()
            yield site
        nursery.cancel_scope.cancel()


async def test_token_is_random_and_stored_hashed(leaping_clock):
    """The token has 32 bytes from the caller's source, and only its SHA-256 is kept."""
    async with opened() as site:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", site.token)
        assert list(site.server._links) == [hashlib.sha256(site.token.encode()).digest()]


async def test_unknown_tokens_are_refused(leaping_clock):
    """No token, a wrong one, and one that is not even ASCII: 401 with a code."""
    async with opened() as site:
        for token in ("", "x" * 43, site.token[:-1], "\xff"):
            answer = await site.exchange(0, 0, token=token.encode("latin1"))
            assert (answer.status_code, answer.json()["code"]) == (401, "unknown-link")


async def test_other_protocol_is_refused(leaping_clock):
    """Opening without saying what is spoken is an error."""
    async with opened() as site:
        assert (await site.client.post("/link/open")).json()["code"] == "unknown-protocol"


async def test_repeated_upload_is_taken_once(leaping_clock):
    """The same request twice delivers its frames once, and gets the same answer."""
    async with opened() as site:
        first = await site.exchange(0, 0, [b"a", b"b"])
        again = await site.exchange(0, 0, [b"a", b"b"])
        assert (
            first.headers["TaskFerry-Offsets"] == again.headers["TaskFerry-Offsets"] == "send=0, received=2"
        )
        await site.exchange(1, 0, [b"b", b"c"])
        link = site.links[0]
        assert [await link.receive() for _ in range(3)] == [b"a", b"b", b"c"]


async def test_repeated_fetch_gets_the_same_frames(leaping_clock):
    """Until they are acknowledged, frames are answered again."""
    async with opened() as site:
        for frame in (b"x", b"y"):
            await site.links[0].send(frame)
        for _ in range(2):
            answer = await site.exchange(0, 0, wait=1)
            assert decode_frames(answer.content, max_frame=100) == [b"x", b"y"]
            assert answer.headers["TaskFerry-Offsets"] == "send=0, received=0"
        await site.exchange(0, 2)
        assert (await site.exchange(0, 1, wait=0)).json()["code"] == "bad-offsets"


async def test_gap_is_an_error(leaping_clock):
    """Frames that skip some are refused with 409, and the missing ones can still come."""
    async with opened() as site:
        assert (await site.exchange(1, 0, [b"b"])).status_code == 409
        assert (await site.exchange(0, 0, [b"a", b"b"])).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"\xf6", 400, "bad-body"),
        (b"\x59\xff\xff", 413, "frame-too-large"),
        (bytes(21_000), 413, "body-too-large"),
    ],
)
async def test_bad_bodies_are_refused_with_their_code(body, status, code, leaping_clock):
    """Each kind of bad body has a status and a code."""
    async with opened() as site:
        headers = {"TaskFerry-Link": site.token, "TaskFerry-Offsets": "send=0, received=0"}
        answer = await site.client.post("/link/exchange", headers=headers, content=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert set(answer.json()) == {"code", "message", "next"}


async def test_newer_wait_ends_the_older_one(leaping_clock):
    """Of two waiting exchanges the older is answered empty at once."""
    async with opened() as site:
        answers = []

        async def wait(name):
            answers.append((name, (await site.exchange(0, 0, wait=1)).content))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "older")
            while site.links[0]._waiting is None:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(wait, "newer")
            while not answers:
                await trio.sleep(0.005)
            await site.links[0].send(b"news")
        assert answers == [("older", b""), ("newer", b"\x44news")]


async def test_slow_handler_is_told_as_429_with_what_was_taken(leaping_clock):
    """When the buffer is full the answer says how much was taken, and the rest may come again."""
    async with opened() as site:
        frames = [bytes(5000)] * 3
        await site.exchange(0, 0, frames)
        answer = await site.exchange(3, 0, frames)
        assert (answer.status_code, answer.json()["code"]) == (429, "link-full")
        assert answer.headers["TaskFerry-Offsets"] == "send=0, received=4"
        for _ in range(4):
            await site.links[0].receive()
        assert (await site.exchange(3, 0, frames)).headers["TaskFerry-Offsets"] == "send=0, received=6"


async def test_links_are_bounded_per_peer_and_in_total(leaping_clock):
    """The fourth link of an address, or the fifth of all, is refused with 429."""
    async with opened() as site:
        statuses = [(await site.open()).status_code for _ in range(3)]
        assert statuses == [201, 201, 429]
    async with opened(attrs.evolve(LIMITS, max_links_per_peer=100)) as site:
        statuses = [(await site.open()).status_code for _ in range(4)]
        assert statuses == [201, 201, 201, 429]


async def test_links_that_ended_with_frames_to_fetch_count_until_those_are_gone(leaping_clock):
    """Whoever fetches nothing has no more held by links that end than by open ones; a goodbye frees it."""

    async def handler(transport, info):
        await transport.send(b"x" * 9_000)

    async with opened(attrs.evolve(LIMITS, max_links=50), handler) as site:
        tokens = [site.token]
        for _ in range(2):
            tokens.append((await site.open()).json()["token"])
        for link in site.server._links.values():
            with trio.fail_after(5):
                while link.is_open:
                    await trio.lowlevel.checkpoint()
        assert (await site.open()).status_code == 429
        await site.client.delete("/link", headers={"TaskFerry-Link": tokens[0]})
        assert (await site.open()).status_code == 201
        fetched = await site.exchange(0, 0, wait=1, token=tokens[1])
        assert decode_frames(fetched.content, max_frame=10_000) == [b"x" * 9_000]


async def test_goodbye_ends_the_link(leaping_clock):
    """After DELETE the handler sees the end, and the token says that the link is closed."""
    async with opened() as site:
        await site.exchange(0, 0, [b"last"])
        assert (await site.client.delete("/link", headers={"TaskFerry-Link": site.token})).status_code == 204
        assert await site.links[0].receive() == b"last"
        with pytest.raises(trio.EndOfChannel):
            await site.links[0].receive()
        answer = await site.exchange(1, 0, wait=1)
        assert (answer.status_code, answer.json()["code"]) == (410, "link-closed")


async def test_silent_client_is_gone_and_its_token_is_forgotten_later(leaping_clock):
    """Silence breaks the link; the token can still be told so, until its lifetime is over."""
    async with opened() as site:
        with pytest.raises(trio.BrokenResourceError, match="silent"):
            await site.links[0].receive()
        assert (await site.exchange(0, 0)).json()["code"] == "link-gone"
        while site.server._links:
            await trio.sleep(0.02)
        assert (await site.exchange(0, 0)).json()["code"] == "unknown-link"


async def test_draining_server_opens_no_link(leaping_clock):
    """While the server stops, opening is refused with 503 or the connection is closed."""
    async with opened() as site:
        site.draining.set()
        try:
            assert (await site.open()).status_code == 503
        except httpx.TransportError:
            pass


async def test_links_of_one_ipv6_network_are_counted_together(leaping_clock):
    """Whoever has one address has 2^64 of them, and as many links as anybody else."""
    guard = GuardConfig(trusted_proxies=frozenset({"127.0.0.1"}), linger=0.1)

    async def handler(transport, info):
        await trio.sleep_forever()

    server = LongPollServer(handler, random.Random(1).randbytes, attrs.evolve(LIMITS, max_links=50))
    app = QuartTrio("longpoll")
    server.mount(app, "/link")
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        async with (
            running(app, guard) as bound,
            httpx.AsyncClient(
                base_url=bound.urls[0], trust_env=False, timeout=5, verify=NO_AUTHORITIES
            ) as client,
        ):
            found = []
            for peer in [f"2001:db8::{n}" for n in range(5)] + ["2001:db8:0:1::1"]:
                headers = {"TaskFerry-Protocol": "taskferry.1", "X-Forwarded-For": peer}
                found.append((await client.post("/link/open", headers=headers)).status_code)
            assert found == [201, 201, 201, 429, 429, 201]
        nursery.cancel_scope.cancel()
