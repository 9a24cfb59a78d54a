"""One hostile or careless client must never cost another one anything. Raw sockets: WebSocket."""

from __future__ import annotations

import gc
import logging
import struct
from collections.abc import Sequence
from typing import TypeVar

import attrs
import pytest
import trio
import trio.testing

from taskferry_transports.guarded_server import GuardedWebSocket
from taskferry_transports.guarded_server.usual_messages import UsualMessages
from taskferry_transports.port import Liveness

from .pairs import running
from .raw import (
    GUARD,
    connect,
    exchange,
    flood,
    frame,
    is_healthy,
    make_app,
    read_head,
    read_to_end,
    resident_bytes,
    upgrade,
)

Alive = TypeVar("Alive")
#: On a busy machine what is honest may take as long.
PATIENCE = 15
#: By a clock that leaps, and that no busy machine moves on.
IN_TIME = 5
GET = b"GET /health HTTP/1.1\r\nHost: test\r\n"


# --- The upgrade -----------------------------------------------------------------------------------------


async def test_byte_after_the_upgrade_ends_only_its_own_connection(server):
    """Data that trails the upgrade request breaks RFC 6455, and only whoever sent it is hung up on."""
    for trailing in (b"x", frame(b"early"), b"\x00" * 70_000):
        await exchange(server.port, upgrade() + trailing)
        assert await is_healthy(server.port)


@pytest.mark.parametrize("settings", ["", "AAM", "!!!!", "AAEAAAAA", "%%%", "AAMAAABkAAQAAP__" * 90])
async def test_offer_of_h2c_is_ignored(server, settings):
    """Whatever its HTTP2-Settings say, a client that offers h2c is answered over HTTP/1.1."""
    offer = (
        f"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: {settings}\r\n\r\n"
    )
    assert (await exchange(server.port, GET + offer.encode())).startswith(b"HTTP/1.1 200")


async def test_http2_with_prior_knowledge_is_refused(server):
    """The HTTP/2 preface gets an HTTP/1.1 refusal and the end."""
    answer = await exchange(
        server.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    )
    assert answer.split(b" ")[1] in {b"400", b"505"}


async def test_websocket_extension_is_never_accepted(server):
    """An offer of permessage-deflate is dropped, so no small bomb inflates to a large one."""
    for offer in ("permessage-deflate; client_max_window_bits", "permessage-d\xe9flate", "\xff\xfe"):
        async with await connect(
            server.port, upgrade("/echo", f"Sec-WebSocket-Extensions: {offer}")
        ) as stream:
            head = await read_head(stream)
            assert head.startswith(b"HTTP/1.1 101")
            assert b"extensions" not in head.lower()
            await stream.send_all(frame(b"plain"))
            assert await stream.receive_some(100) == b"\x82\x05plain"
            # A compressed frame sets RSV1, which nobody agreed on: 1002.
            await stream.send_all(frame(b"bomb", first=0xC2))
            assert (await read_to_end(stream)).startswith(b"\x88\x02" + struct.pack("!H", 1002))


@pytest.mark.parametrize("name", ["Protocol", "Key", "Version"])
async def test_websocket_header_that_is_not_ascii_is_refused(server, name):
    """It is answered with status 400, where hypercorn alone would end the whole server."""
    request = upgrade().replace(
        f"Sec-WebSocket-{name}: ".encode(), f"Sec-WebSocket-{name}: \xe9".encode("latin1")
    )
    assert (await exchange(server.port, request)).startswith(b"HTTP/1.1 400")


async def test_invalid_upgrade_is_answered_and_closed(server):
    """An upgrade without its key, or of another version, ends with status 400."""
    for line in (b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"):
        assert (await exchange(server.port, upgrade().replace(line, b""))).startswith(b"HTTP/1.1 400")


async def test_link_without_our_subprotocol_is_refused(server):
    """A WebSocket client that does not say `taskferry.1` is told so."""
    answer = await exchange(server.port, upgrade().replace(b"taskferry.1", b"chat"))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"unknown-subprotocol" in answer


# --- WebSocket messages ----------------------------------------------------------------------------------


async def test_oversized_message_is_closed_with_1009(server):
    """A message over the limit ends the connection with code 1009 before it is all sent."""
    async with await connect(server.port, upgrade()) as stream:
        await read_head(stream)
        await stream.send_all(frame(bytes(100_001)))
        assert (await read_to_end(stream)).startswith(b"\x88\x02" + struct.pack("!H", 1009))


async def test_endless_fragments_are_not_buffered(server):
    """Fragments of a message that never ends stop being kept at the limit, and the sender is cut off."""
    before = resident_bytes()
    async with await connect(server.port, upgrade()) as stream:
        await read_head(stream)
        with pytest.raises(trio.BrokenResourceError):
            await flood(stream, frame(bytes(50_000), first=0x02), frame(bytes(50_000), first=0x00))
    assert resident_bytes() - before < 20_000_000


async def test_huge_claimed_length_reserves_nothing(server):
    """A header that announces an exabyte costs nothing until bytes come."""
    before = resident_bytes()
    async with await connect(server.port, upgrade()) as stream:
        await read_head(stream)
        await stream.send_all(frame(b"few bytes", claimed=1 << 60))
        assert await is_healthy(server.port)
    assert resident_bytes() - before < 5_000_000


async def test_data_after_a_close_frame_is_ignored(server):
    """A peer that goes on after closing is answered once and dropped."""
    async with await connect(server.port, upgrade()) as stream:
        await read_head(stream)
        await stream.send_all(frame(struct.pack("!H", 1000), first=0x88) + frame(b"more") * 50)
        assert await read_to_end(stream) == b"\x88\x02\x03\xe8"


async def test_text_and_frames_after_the_end_break_the_link(server):
    """Text is refused with 1003; a frame after the end mark with 1002."""
    for data, code in ((frame(b"text", first=0x81), 1003), (frame(b"") + frame(b"after"), 1002)):
        async with await connect(server.port, upgrade()) as stream:
            await read_head(stream)
            await stream.send_all(data)
            assert struct.pack("!H", code) in await read_to_end(stream)


async def test_handler_that_raises_closes_with_1011(server, caplog):
    """An error of ours is called an internal error, not a normal end."""
    caplog.set_level(logging.CRITICAL)
    async with await connect(server.port, upgrade("/crash-link")) as stream:
        await read_head(stream)
        await stream.send_all(frame(b"go"))
        assert await read_to_end(stream) == b"\x88\x02" + struct.pack("!H", 1011)


async def test_ordinary_quart_websockets_work(server):
    """A framework's own WebSocket route gets text, bytes and empty messages, never None."""
    async with await connect(server.port, upgrade("/quart")) as stream:
        await read_head(stream)
        await stream.send_all(frame(b"text", first=0x81) + frame(b"") + frame(b"bytes"))
        got = b""
        while b"bytes" not in got:
            got += await stream.receive_some(100)
        assert b"None" not in got
        assert b"'text'" in got


async def test_silent_websocket_is_dropped_and_a_talking_one_is_not(leaping_clock):
    """Missing pongs end a WebSocket after two intervals; any byte keeps it."""
    guard = attrs.evolve(GUARD, liveness=Liveness(0.1, 2))
    async with running(make_app(), guard) as bound:
        with trio.fail_after(IN_TIME):
            async with (
                await connect(bound.port, upgrade()) as silent,
                await connect(bound.port, upgrade()) as talking,
            ):
                await read_head(silent)
                await read_head(talking)
                start = trio.current_time()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_pong_for_ever, talking)
                    assert b"\x89\x00" in await read_to_end(silent)
                    assert trio.current_time() - start < 1
                    nursery.cancel_scope.cancel()
                await talking.send_all(frame(b"alive"))
                while b"alive" not in await talking.receive_some(1000):
                    pass


async def test_idle_websocket_outlives_the_http_deadlines(hasty_server, leaping_clock):
    """The deadlines for requests do not touch a WebSocket on which nothing happens."""
    async with await connect(hasty_server.port, upgrade()) as stream:
        await read_head(stream)
        await trio.sleep(1.0)  # longer than every HTTP deadline of this server; nothing is awaited
        await stream.send_all(frame(b"alive"))
        assert await stream.receive_some(100) == b"\x82\x05alive"


# --- Sending ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes", [upgrade("/flood-link"), b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n"]
)
async def test_peer_that_does_not_read_is_dropped(server, request_bytes, leaping_clock):
    """A send that makes no progress ends its connection in time, and holds little memory until then."""
    before = resident_bytes()
    async with await connect(server.port, request_bytes):
        while not server.connections:
            await trio.lowlevel.checkpoint()
        while server.connections:
            await trio.sleep(0.05)
    assert resident_bytes() - before < 20_000_000


async def test_cancelling_the_server_does_not_wait_for_a_stuck_send():
    """A peer that reads nothing cannot hold up the end of the server."""
    guard = attrs.evolve(GUARD, send_timeout=60)
    with trio.fail_after(PATIENCE):
        async with running(make_app(), guard) as bound:
            requests = [
                upgrade("/flood-link"),
                upgrade("/stubborn-link"),
                b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n",
            ]
            streams = [await connect(bound.port, request) for request in requests]
            await trio.sleep(0.3)  # let the buffers fill
        for stream in streams:
            await stream.aclose()


class AtTheEnd(trio.abc.Instrument):
    """Looks after each connection whose nursery has just closed, as the server's timer may."""

    def __init__(self, connections):
        self.connections = connections
        self.looked, self.failures = set(), []

    def after_task_step(self, task):
        """Look whether one has come to its end."""
        for connection in self.connections:
            nursery = connection._group._nursery
            if nursery is not None and nursery._closed and connection not in self.looked:
                self.looked.add(connection)
                connection._next_ping = 0.0
                try:
                    connection.look_after(trio.current_time())
                except RuntimeError as failure:
                    self.failures.append(failure)


async def test_a_connection_that_just_ended_is_not_pinged_any_more():
    """A nursery that has closed takes no ping; a server that tried one would end for everybody."""
    async with running(make_app(), GUARD) as bound:
        watching = AtTheEnd(bound.connections)
        trio.lowlevel.add_instrument(watching)
        try:
            for _ in range(5):
                stream = await connect(bound.port, upgrade())
                await read_head(stream)
                await stream.aclose()
            with trio.fail_after(PATIENCE):
                while bound.connections:
                    await trio.sleep(0.01)
        finally:
            trio.lowlevel.remove_instrument(watching)
        assert len(watching.looked) == 5
        assert watching.failures == []


async def test_one_connection_that_cannot_be_looked_after_ends_alone(monkeypatch, caplog):
    """It is dropped, with a word in the log, and the others go on."""
    async with (
        running(make_app(), attrs.evolve(GUARD, liveness=Liveness(0.05, 200))) as bound,
        await connect(bound.port, upgrade()) as broken,
    ):
        await read_head(broken)
        with trio.fail_after(PATIENCE):
            while not (opened := [each for each in bound.connections if each.websocket is not None]):
                await trio.sleep(0.01)

        def fail(now):
            raise RuntimeError("broken")

        monkeypatch.setattr(opened[0], "look_after", fail)
        async with await connect(bound.port, upgrade()) as well:
            await read_head(well)
            with trio.fail_after(PATIENCE):
                await read_to_end(broken)
                assert await well.receive_some(100)
    assert "RuntimeError: broken" in caplog.text


async def _pong_for_ever(stream):
    while True:
        if b"\x89\x00" in await stream.receive_some(1000):
            await stream.send_all(frame(b"", first=0x8A))


# --- What is begun and not finished ----------------------------------------------------------------------

#: Half of this is one large message under way.
FRAMES = attrs.evolve(GUARD, frames_total=400_000, message_timeout=0.4)


def close_code(answer: bytes) -> int:
    """The code of the close frame that an answer ends with."""
    return int.from_bytes(answer[-2:]) if answer[-4:-3] == b"\x88" else 0


async def half_sent(port: int) -> trio.SocketStream:
    """A WebSocket on which almost all of a large message was sent."""
    stream = await connect(port, upgrade())
    await read_head(stream)
    await stream.send_all(frame(bytes(90_000), claimed=95_000))
    return stream


async def test_one_address_begins_few_large_messages():
    """Those beyond its share are turned away with 1013, and the others go on."""
    async with running(make_app(), attrs.evolve(FRAMES, message_timeout=5)) as bound:
        async with await half_sent(bound.port) as first, await half_sent(bound.port) as second:
            assert close_code(await read_to_end(second)) == 1013
            await first.send_all(bytes(5_000))
            assert await first.receive_some(4_096)
        async with await half_sent(bound.port) as third:
            await third.send_all(bytes(5_000))
            assert await third.receive_some(4_096)


async def test_one_client_of_a_proxy_begins_few_large_messages():
    """Whom the proxy names is counted, and not the proxy, so that one client leaves the others their room."""
    guard = attrs.evolve(FRAMES, message_timeout=10, trusted_proxies=frozenset({"127.0.0.1"}))

    async def half_sent_by(client: str) -> trio.SocketStream:
        stream = await connect(bound.port, upgrade("/echo", f"X-Forwarded-For: {client}"))
        await read_head(stream)
        await stream.send_all(frame(bytes(90_000), claimed=95_000))
        return stream

    async with (
        running(make_app(), guard) as bound,
        await half_sent_by("6.6.6.6"),
        await half_sent_by("6.6.6.6") as second,
    ):
        with trio.fail_after(PATIENCE):
            assert close_code(await read_to_end(second)) == 1013
        async with await half_sent_by("9.9.9.9") as other:
            await other.send_all(bytes(5_000))
            assert (await other.receive_some(4_096)).startswith(b"\x82")


async def test_the_largest_message_passes_however_little_memory_there_is_for_all():
    """A quarter of it may be less."""
    async with (
        running(make_app(), attrs.evolve(FRAMES, frames_total=150_000, message_timeout=5)) as bound,
        await half_sent(bound.port) as stream,
    ):
        await stream.send_all(bytes(5_000))
        assert (await stream.receive_some(4_096)).startswith(b"\x82")


def alive(kind: type[Alive], before: Sequence[Alive] = ()) -> list[Alive]:
    """Objects of this kind that are in memory, but not those that were there `before`."""
    known = {id(each) for each in before}
    return [each for each in gc.get_objects() if isinstance(each, kind) and id(each) not in known]


def under_way(before: Sequence[UsualMessages] = ()) -> int:
    """Bytes of unfinished messages that all WebSockets of this process hold."""
    return sum(each.held for each in alive(UsualMessages, before))


async def test_whoever_is_turned_away_holds_nothing_any_more():
    """Also while the link that it was lives on: what is given back to the budget is not kept either."""
    messages, links = alive(UsualMessages), alive(GuardedWebSocket)
    async with (
        running(make_app(), attrs.evolve(FRAMES, message_timeout=60)) as bound,
        await half_sent(bound.port),
    ):
        with trio.fail_after(PATIENCE):
            while (first := under_way(messages)) < 90_000:
                await trio.sleep(0.01)
        kept = []
        for _ in range(4):
            stream = await half_sent(bound.port)
            kept += alive(GuardedWebSocket, links)
            assert close_code(await read_to_end(stream)) == 1013
            await stream.aclose()
        assert under_way(messages) == first
        assert len({id(each) for each in kept}) == 5


def held_by_tasks(least: int) -> list[tuple[str, str, int]]:
    """Function, variable and size of bytes of at least this size that tasks hold while they wait."""
    found: list[tuple[str, str, int]] = []
    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks = [root]
    while tasks:
        task = tasks.pop()
        for waiting, _ in task.iter_await_frames():
            for name, held in waiting.f_locals.items():
                if isinstance(held, bytes) and len(held) >= least:
                    found.append((waiting.f_code.co_qualname, name, len(held)))
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


async def test_a_quiet_connection_does_not_hold_what_came_last_on_it(server):
    """A crowd of them would each hold up to 64 KiB until the next message."""
    async with await connect(server.port, upgrade()) as stream:
        await read_head(stream)
        await stream.send_all(frame(bytes(60_000)))
        assert await stream.receive_some(4_096)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert [held for held in held_by_tasks(10_000) if "test_" not in held[0]] == []


async def test_a_large_message_that_does_not_get_on_is_timed_out(leaping_clock):
    """With 1008; a small one is watched by whoever speaks over the WebSocket."""
    async with running(make_app(), FRAMES) as bound, await half_sent(bound.port) as stream:
        with trio.fail_after(IN_TIME):
            assert close_code(await read_to_end(stream)) == 1008


async def test_what_a_connection_held_is_freed_when_it_ends_and_not_when_cycles_are_sought(server):
    """A server whose collector runs seldom does not hold what a crowd of ended connections had read."""
    gc.collect()
    gc.disable()
    links = alive(GuardedWebSocket)
    try:
        for _ in range(20):
            await (await half_sent(server.port)).aclose()
        with trio.fail_after(PATIENCE):
            while len(alive(GuardedWebSocket, links)) > 2:
                await trio.sleep(0.05)
    finally:
        gc.enable()
