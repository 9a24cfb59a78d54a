"""One hostile or careless client must never cost another one anything. Raw sockets: HTTP."""

from __future__ import annotations

import json
import logging
import ssl
import struct
from contextlib import AsyncExitStack

import attrs
import pytest
import trio
import trio.testing
import trustme

from taskferry_transports.guarded_server import CannotListen, GuardConfig, serve
from taskferry_transports.guarded_server.connection import Connection
from tests.fuzz.connections import attack

from .pairs import running
from .raw import (
    GUARD,
    connect,
    exchange,
    flood,
    is_healthy,
    make_app,
    read_head,
    read_to_end,
    resident_bytes,
    upgrade,
)

#: On a busy machine what is honest may take as long.
PATIENCE = 15
#: By a clock that leaps, and that no busy machine moves on.
IN_TIME = 5
GET = b"GET /health HTTP/1.1\r\nHost: test\r\n"


async def live(receive, send) -> None:
    """What an application answers a server that begins and ends."""
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})


async def test_handler_cancelled_while_it_answers_just_ends_the_connection(caplog):
    """One that is cancelled as its head goes out leaves no second answer, and no fault in the log."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return await live(receive, send)
        with trio.CancelScope() as cancelled:
            cancelled.cancel()
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async with running(app, GUARD) as bound:
        assert b"500" not in await exchange(bound.port, GET + b"\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_answer_of_known_length_is_one_write(server, monkeypatch):
    """Head and body of an answer leave together, and nothing is written after them."""
    written = []
    write = Connection.write

    async def noted(connection, data):
        written.append(bytes(data))
        await write(connection, data)

    monkeypatch.setattr(Connection, "write", noted)
    answer = await exchange(server.port, GET + b"Connection: close\r\n\r\n")
    assert b'"ok"' in answer
    assert written == [answer]


async def test_head_of_an_answer_without_length_leaves_at_once():
    """Whoever opens an event stream has its head before anything has happened."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return await live(receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with running(app, GUARD) as bound, await connect(bound.port, GET + b"\r\n") as stream:
        with trio.fail_after(PATIENCE):
            assert b"200" in await read_head(stream)


async def test_answer_that_did_not_wait_for_the_body_says_that_the_connection_ends(server):
    """Otherwise a client would send its next request into a connection that is about to be closed."""
    head = b"POST /health HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
    async with await connect(server.port, head % 4) as stream:
        with trio.fail_after(PATIENCE):
            answer = await read_head(stream)
            assert answer.startswith(b"HTTP/1.1 405")
            assert answer.lower().count(b"connection: close") == 1
            await stream.send_all(b"late")
            await read_to_end(stream)
    async with await connect(server.port, (head % 4).replace(b"health", b"length") + b"full") as stream:
        with trio.fail_after(PATIENCE):
            assert b"close" not in await read_head(stream)
        assert await is_healthy(server.port)


# --- Requests that are slow, large or broken --------------------------------------------------------------


@pytest.mark.parametrize(
    "half", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: te", b"POST /length HTTP/1.1\r\nHost: test\r\nX: "]
)
async def test_half_sent_head_is_timed_out(hasty_server, half, leaping_clock):
    """A request that does not get on is answered with 408, or just closed if it never began."""
    start = trio.current_time()
    answer = await exchange(hasty_server.port, half)
    assert trio.current_time() - start < 1.5
    assert answer.startswith(b"HTTP/1.1 408")


async def test_dripped_head_is_timed_out(hasty_server, leaping_clock):
    """One byte now and then does not move the deadline."""
    start = trio.current_time()
    async with await connect(hasty_server.port) as stream:
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"G")
                await trio.sleep(0.05)
    assert trio.current_time() - start < 1.5


async def test_half_sent_body_is_timed_out(hasty_server, leaping_clock):
    """A body that stops half-way is answered with 408."""
    head = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n"
    assert (await exchange(hasty_server.port, head + b"half")).startswith(b"HTTP/1.1 408")


async def test_declared_body_over_the_limit_is_refused_unread(server):
    """The announcement alone is answered with 413."""
    head = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 200001\r\n\r\n"
    answer = await exchange(server.port, head)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.lower().count(b"connection: close") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "body-too-large"


async def test_undeclared_body_over_the_limit_is_refused(server):
    """Chunks are counted as they come, and the answer reaches a client that is still sending."""
    head = b"POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    assert (await exchange(server.port, head + chunk * 10)).startswith(b"HTTP/1.1 413")


async def test_path_may_have_a_body_limit_of_its_own(server):
    """A longer prefix gives another limit."""
    head = b"POST /slow-length HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 400000\r\n\r\n"
    assert (await exchange(server.port, head + bytes(400_000))).endswith(b"400000")


async def test_bodies_of_all_requests_together_are_bounded(leaping_clock):
    """Past the total, reading waits until others are answered; everybody is served in the end."""
    head = b"POST /slow-length HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    answers = []

    async def ask(port):
        answers.append(await exchange(port, head + bytes(300_000)))

    own = frozenset({"127.0.0.1"})
    async with running(make_app(), attrs.evolve(GUARD, body_timeout=5, uncounted_peers=own)) as bound:
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, bound.port)
        assert [answer[-6:] for answer in answers] == [b"300000"] * 5
        assert trio.current_time() - start > 0.55


BODIES = attrs.evolve(GUARD, bodies_total=2_400_000, body_timeout=10)


async def body_under_way(port: int, sent: int, *, of: int = 200_000, claim: str = "") -> trio.SocketStream:
    """A request of which so much of its body was sent."""
    head = f"POST /length HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {of}\r\n{claim}\r\n"
    return await connect(port, head.encode() + bytes(sent))


@pytest.mark.parametrize("behind_proxy", [False, True])
async def test_one_address_holds_a_quarter_of_the_memory_for_bodies(behind_proxy):
    """Whoever begins many and ends none is turned away, and leaves others their room, behind a proxy, too."""
    own = frozenset({"127.0.0.1"}) if behind_proxy else frozenset()
    attacker, other = [
        f"X-Forwarded-For: {address}\r\n" if behind_proxy else "" for address in ("6.6.6.6", "9.9.9.9")
    ]
    async with (
        running(make_app(), attrs.evolve(BODIES, trusted_proxies=own)) as bound,
        AsyncExitStack() as kept,
    ):
        begun = [
            await kept.enter_async_context(await body_under_way(bound.port, 199_000, claim=attacker))
            for _ in range(16)
        ]
        with trio.fail_after(PATIENCE):
            for stream in begun[-4:]:
                answer = await read_to_end(stream)
                assert answer.startswith(b"HTTP/1.1 503")
                assert b"too-much-under-way" in answer
            if behind_proxy:
                async with await body_under_way(bound.port, 200_000, claim=other) as stream:
                    assert (await read_to_end(stream)).endswith(b"200000")


async def test_the_largest_body_passes_however_little_memory_there_is_for_all():
    """A quarter of it may be less."""
    async with (
        running(make_app(), attrs.evolve(BODIES, bodies_total=400_000)) as bound,
        await body_under_way(bound.port, 200_000) as stream,
    ):
        assert (await read_to_end(stream)).endswith(b"200000")


@pytest.mark.parametrize("path", ["/%73mall", "/sm%61ll/x", "http://test/small"])
async def test_a_path_in_other_letters_is_no_way_around_its_limit(path):
    """The limit counts that the path has for the application, and a whole address is no path."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n".encode()
    async with running(make_app(), attrs.evolve(GUARD, body_limits=(("/small", 1_000),))) as bound:
        with trio.fail_after(PATIENCE):
            assert (await exchange(bound.port, head)).startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


async def test_a_request_with_two_lengths_brings_no_second_one(server):
    """A proxy that goes by the one length would hand on what follows by the other as somebody else's."""
    both = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await exchange(server.port, both + b"0\r\n\r\n" + GET + b"X-Forwarded-For: 127.0.0.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"content-length") == 1


async def test_kept_alive_connection_is_closed_when_idle(server, leaping_clock):
    """Several requests share a connection; idle for too long, it ends without a word."""
    async with await connect(server.port) as stream:
        for _ in range(3):
            await stream.send_all(GET + b"\r\n")
            got = b""
            while b'"ok"' not in got:
                got += await stream.receive_some(1000)
        start = trio.current_time()
        assert b"HTTP/1.1" not in await read_to_end(stream)
        assert trio.current_time() - start < 1.5


async def test_pipelined_requests_are_answered_in_order(server):
    """Two requests in one packet get two answers."""
    answer = await exchange(server.port, GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: test\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%ff%fe%00 HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: test\r\n\r\n",
        upgrade("http://[::1/"),
        upgrade("nowhere"),
    ],
)
async def test_malformed_request_is_answered_or_closed(server, data, caplog):
    """Nonsense gets a status of 4xx or 5xx, and writes nothing into the log."""
    answer = await exchange(server.port, data)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "data",
    [
        b"HEAD nowhere HTTP/1.1\r\nHost: test\r\n\r\n",
        b"HEAD / HTTP/1.5\r\nHost: test\r\n\r\n",
        b"HEAD /health HTTP/1.1\r\nHost: test\r\nContent-Length: 999999999\r\n\r\n",
        b"HEAD /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nmore",
        b"HEAD /length HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhalf",
        b"HEAD /health HTTP/1.1\r\nHost: test\r\n\r\nGET",
        b"HEAD /health HTTP/1.1\r\nHost: test\r\n\r\nGET nowhere HTTP/1.1\r\nHost: test\r\n\r\n",
        b"head /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        b"Get /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        b"get /echo HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"connect /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        b"CONNECT /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    ],
)
async def test_method_that_has_no_body_in_its_answer_writes_nothing_into_the_log(server, data, caplog):
    """Nor one in small letters, which for HTTP is another method: refused or served, it is answered."""
    assert (await exchange(server.port, data)).startswith(b"HTTP/1.1 ")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_head_of_an_endless_response_ends_with_its_headers(server):
    """Nothing of the body is sent, and the event loop is not taken by producing it."""
    answer = await exchange(server.port, b"HEAD /flood HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


async def test_whoever_breaks_the_rules_before_an_endless_answer_stops_nobody(server):
    """What the handler says to it from then on goes nowhere, and lets the others have their turn."""
    data = b"GET /flood HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nmore"
    assert (await exchange(server.port, data)).startswith(b"HTTP/1.1 400")
    assert await is_healthy(server.port)


async def test_peer_that_leaves_is_noticed_although_it_sent_ahead(server):
    """An event stream ends with its client, even while another request waits behind it."""
    events = b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n"
    async with await connect(server.port, events + GET + b"\r\n") as stream:
        await read_head(stream)
        assert len(server.connections) == 1
    while server.connections:
        await trio.sleep(0.01)


async def test_requests_far_ahead_of_their_answers_are_not_buffered(server, leaping_clock):
    """Whoever pipelines without end behind a slow answer is hung up on."""
    before = resident_bytes()
    async with await connect(server.port, b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n") as stream:
        with pytest.raises(trio.BrokenResourceError):
            await flood(stream, GET, b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n" * 500)
    assert resident_bytes() - before < 10_000_000


async def test_a_large_request_right_behind_an_answer_is_no_flood():
    """Whoever has read all of its answer goes on at once, though the server is not quite done with it."""
    gone_on = trio.Event()

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return await live(receive, send)
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok", "more_body": True})
        if scope["path"] == "/first":
            await gone_on.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with running(app, attrs.evolve(GUARD, max_body=400_000)) as bound:
        first = b"GET /first HTTP/1.1\r\nHost: test\r\n\r\n"
        async with await connect(bound.port, first) as stream:
            await read_head(stream)
            large = b"POST /second HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, large + bytes(300_000))
                await trio.testing.wait_all_tasks_blocked(0.05)
                gone_on.set()
                with trio.fail_after(PATIENCE):
                    got = b""
                    while b"HTTP/1.1 200" not in got or not got.endswith(b"ok"):
                        piece = await stream.receive_some(1_000)
                        assert piece
                        got += piece


async def test_crash_of_a_handler_is_its_own(server, caplog):
    """An application error is status 500 for that request."""
    caplog.set_level(logging.CRITICAL)
    answer = await exchange(server.port, b"GET /crash HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500")


# --- Who the client is, and how many ---------------------------------------------------------------------


async def test_forwarding_headers_are_not_believed(server):
    """Nobody can claim another address."""
    claims = b"".join(
        name + b"1.2.3.4\r\n"
        for name in (b"X-Forwarded-For: ", b"Forwarded: for=", b"X-Real-IP: ", b"Remote-Addr: ")
    )
    request = b"GET /whoami HTTP/1.1\r\nHost: test\r\nConnection: close\r\n" + claims + b"\r\n"
    assert (await exchange(server.port, request)).endswith(b"\r\n\r\n127.0.0.1")


async def test_own_proxy_is_believed_about_the_last_hop():
    """From a proxy that the operator named, the last entry counts, and earlier ones still do not."""
    guard = attrs.evolve(GUARD, trusted_proxies=frozenset({"127.0.0.1"}))
    claims = b"X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n"
    request = b"GET /whoami HTTP/1.1\r\nHost: test\r\nConnection: close\r\n" + claims + b"\r\n"
    async with running(make_app(), guard) as bound:
        with trio.fail_after(PATIENCE):
            assert (await exchange(bound.port, request)).endswith(b"\r\n\r\n9.9.9.9")


@pytest.mark.parametrize(
    ("entry", "client"),
    [
        ("9.9.9.9:4711", "9.9.9.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        *((entry, "unnamed") for entry in ("unknown", "", "6.6.6.6,", "127.1", "[127.0.0.1", ":80")),
    ],
)
async def test_an_entry_of_a_proxy_is_never_taken_for_the_proxy_itself(entry, client):
    """Some write the port beside it; what cannot be read is nobody's address, and so not this machine's."""
    guard = attrs.evolve(GUARD, trusted_proxies=frozenset({"127.0.0.1"}))
    request = f"GET /whoami HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Forwarded-For: {entry}\r\n\r\n"
    async with running(make_app(), guard) as bound:
        with trio.fail_after(PATIENCE):
            assert (await exchange(bound.port, request.encode())).endswith(f"\r\n\r\n{client}".encode())


def test_a_proxy_takes_no_place_of_its_neighbours():
    """Its connections are not counted, nor so for whoever shares its network."""
    guard = GuardConfig(trusted_proxies=frozenset({"2001:db8::1"}))
    assert guard.counted("2001:db8::1") == guard.counted("::1") == ""
    assert guard.counted("2001:db8::2") == "2001:db8::/64"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [({"max_connections": 3}, b"This server has"), ({"max_connections_per_peer": 3}, b"Your address has")],
)
async def test_connections_over_the_limit_are_turned_away(limits, sentence):
    """The fourth connection is told why, and a place that is given back can be used."""
    async with running(make_app(), attrs.evolve(GUARD, **limits)) as bound:
        with trio.fail_after(PATIENCE):
            streams = [await connect(bound.port, upgrade()) for _ in range(3)]
            for stream in streams:
                await read_head(stream)
            answer = await exchange(bound.port, GET + b"\r\n")
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"too-many-connections" in answer
            assert sentence in answer
            await streams[0].aclose()
            while len(bound.connections) > 2:
                await trio.sleep(0.01)
            assert await is_healthy(bound.port)
            for stream in streams[1:]:
                await stream.aclose()


# --- Starting and stopping -------------------------------------------------------------------------------


async def test_draining_tells_handlers_first_and_then_ends():
    """On drain, links say goodbye, event streams end, idle connections close, and `serve` returns."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(serve, make_app(), GUARD)
            polite = await connect(bound.port, upgrade("/polite-link"))
            events = await connect(bound.port, b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n")
            idle = await connect(bound.port, GET + b"\r\n")
            for stream in (polite, events, idle):
                assert await read_head(stream)
            bound.draining.set()
            assert await read_to_end(polite) == b"\x82\x06goaway\x88\x02\x03\xe8"
            assert b"goodbye" in await read_to_end(events)
            await read_to_end(idle)
            for stream in (polite, events, idle):
                await stream.aclose()
        with pytest.raises(OSError, match=r"(?i)fail|refused"):
            await connect(bound.port)


async def test_stubborn_handler_is_cut_after_the_grace(leaping_clock):
    """A handler that does not end gets its peer a code 1001, and the server ends all the same."""
    with trio.fail_after(IN_TIME):
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(serve, make_app(), GUARD)
            async with await connect(bound.port, upgrade("/stubborn-link")) as stream:
                await read_head(stream)
                bound.draining.set()
                assert await read_to_end(stream) == b"\x88\x02" + struct.pack("!H", 1001)


async def test_port_in_use_is_one_plain_sentence(server):
    """Starting a second server on the same port says so, without a traceback's vocabulary."""
    with pytest.raises(CannotListen, match=r"^127\.0\.0\.1:\d+ is already in use: .*\.$"):
        await serve(make_app(), GuardConfig(bind=(f"127.0.0.1:{server.port}",)))


async def test_tls_is_spoken_and_nonsense_before_it_is_contained(leaping_clock):
    """Over TLS requests are answered; plain bytes and half a handshake end their own connection only."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    async with running(make_app(), attrs.evolve(GUARD, tls=context, tls_timeout=0.3)) as bound:
        with trio.fail_after(IN_TIME):
            assert bound.urls == (f"https://127.0.0.1:{bound.port}",)
            await exchange(bound.port, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            await exchange(bound.port, b"\x16\x03\x01")
            stream = trio.SSLStream(
                await connect(bound.port), client, server_hostname="localhost", https_compatible=True
            )
            await stream.send_all(GET + b"Connection: close\r\n\r\n")
            assert (await read_to_end(stream)).startswith(b"HTTP/1.1 200")
            await stream.aclose()


async def test_random_connections_leave_the_server_standing(caplog):
    """Some hundred seeded random connections; afterwards it answers, has let go of all, and has not grown."""
    caplog.set_level(logging.CRITICAL)
    with caplog.filtering(lambda record: False):
        await attack(240, seed=1)
