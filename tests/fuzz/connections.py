"""Random connections against the guarded server: whatever they send, it goes on answering others.

Run it longer by hand: `python -m tests.fuzz.connections --count 1500 --seed 7`.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import struct
import sys

import psutil
import trio

from taskferry_transports.guarded_server import GuardConfig, serve
from taskferry_transports.port import Liveness
from tests.transports.raw import connect, frame, is_healthy, make_app, upgrade

GUARD = GuardConfig(
    max_frame=60_000,
    max_body=60_000,
    head_timeout=0.3,
    body_timeout=0.3,
    idle_timeout=0.3,
    send_timeout=0.3,
    handler_timeout=0.3,
    linger=0.05,
    liveness=Liveness(0.2, 2),
    max_connections=64,
)
AT_ONCE = 24
SECONDS_EACH = 1.0
GROWTH_LIMIT = 60_000_000

_METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PRI", b"G\x00T", b"\xff"]
_TARGETS = [
    b"/health", b"/length", b"/echo", b"/quart", b"/events", b"/flood", b"/flood-link", b"/crash", b"*",
    b"//", b"/%00%ff", b"http://a/health", b"/\xe9", b"/" + b"a" * 9000, b"",
]  # fmt: skip
_HEADERS = [
    b"Host: test", b"Upgrade: websocket", b"Upgrade: h2c", b"Connection: Upgrade", b"Connection: close",
    b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk", b"HTTP2-Settings: !",
    b"HTTP2-Settings:", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Key: \xff",
    b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", b"Sec-WebSocket-Protocol: taskferry.1",
    b"Sec-WebSocket-Protocol: \xe9",
    b"Sec-WebSocket-Extensions: permessage-deflate", b"Sec-WebSocket-Extensions: \xff\xfe",
    b"Content-Length: 5", b"Content-Length: 99999999999", b"Content-Length: -1", b"Content-Length: 5, 6",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue",
    b"X-Forwarded-For: \xff", b"Cookie: " + b"c" * 5000, b"no colon", b": empty", b" folded",
    b"Range: bytes=0-",
]  # fmt: skip


def script(source: random.Random) -> list[bytes]:
    """What one connection sends, piece by piece."""
    kind = source.randrange(10)
    if kind == 0:
        return [source.randbytes(source.randrange(3000)) for _ in range(source.randrange(1, 4))]
    if kind < 5:
        return _mutated(source, _request(source) + _body(source))
    opening = upgrade(source.choice(["/echo", "/quart", "/flood-link", "/crash-link", "/stubborn-link"]))
    frames = [_frame(source) for _ in range(source.randrange(12))]
    if source.random() < 0.2:
        return _mutated(source, opening + b"".join(frames))
    return [opening, *frames] if source.random() < 0.7 else [opening + b"".join(frames)]


def _request(source: random.Random) -> bytes:
    method = source.choice(_METHODS[: source.choice([2, 9])])
    version = source.choice([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"X"])
    line = b" ".join((method, source.choice(_TARGETS), version))
    headers = source.choices(_HEADERS, k=source.randrange(9))
    return b"\r\n".join([line, b"Host: test", *headers]) + b"\r\n\r\n"


def _body(source: random.Random) -> bytes:
    pipelined = b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n"
    chunked = b"5\r\nhello\r\n0\r\n\r\n"
    return source.choice([b"", b"hello", chunked, b"ffffffffff\r\n", bytes(70_000), pipelined])


def _frame(source: random.Random) -> bytes:
    payload = source.randbytes(source.choice([0, 0, 1, 2, 60, 125, 126, 3000, 70_000]))
    opcode = source.choice([0, 1, 2, 2, 2, 8, 9, 10, 3, 11])
    flags = source.choice([0x80, 0x80, 0x80, 0x00, 0xC0, 0xF0])
    if opcode == 8 and source.random() < 0.7:
        payload = (
            struct.pack("!H", source.choice([1000, 1001, 1002, 999, 1005, 1006, 4999, 5000])) + payload[:20]
        )
    claimed = source.choice([None] * 8 + [1 << 62, (1 << 64) - 1, len(payload) + 100])
    made = frame(payload, first=flags | opcode, claimed=claimed)
    if source.random() < 0.05:
        made = bytes([made[0], made[1] & 0x7F]) + made[2:]
    return made


def _mutated(source: random.Random, data: bytes) -> list[bytes]:
    changed = bytearray(data)
    for _ in range(source.choice([0, 0, 1, 3, 20])):
        if changed:
            changed[source.randrange(len(changed))] = source.randrange(256)
    cuts = sorted(source.randrange(len(changed) + 1) for _ in range(source.randrange(4)))
    edges = [0, *cuts, len(changed)]
    return [bytes(changed[start:end]) for start, end in itertools.pairwise(edges)]


async def one(port: int, seed: int) -> None:
    """One random connection: send, perhaps read, then leave in one of several ways."""
    source = random.Random(seed)
    with trio.move_on_after(SECONDS_EACH):
        async with await connect(port) as stream:
            try:
                for piece in script(source):
                    await stream.send_all(piece)
                    if source.random() < 0.3:
                        with trio.move_on_after(source.random() / 20):
                            await stream.receive_some(65_536)
                match source.randrange(4):
                    case 0:
                        await stream.send_eof()
                        while await stream.receive_some(65_536):
                            pass
                    case 1:
                        stream.setsockopt(
                            trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                    case 2:
                        while await stream.receive_some(65_536):
                            pass
                    case _:
                        pass
            except trio.BrokenResourceError:
                pass


async def attack(count: int, seed: int) -> int:
    """Make `count` random connections; returns by how many bytes this process grew.

    Raises when the server stops answering others, or does not let go of the connections.
    """
    process = psutil.Process()
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, make_app(), GUARD)
        await _volley(bound.port, range(seed * 1_000_000, seed * 1_000_000 + AT_ONCE))  # warm up
        before = process.memory_info().rss
        for start in range(0, count, AT_ONCE):
            first = seed * 1_000_000 + AT_ONCE + start
            await _volley(bound.port, range(first, first + min(AT_ONCE, count - start)))
            with trio.fail_after(5):
                if not await is_healthy(bound.port):
                    raise AssertionError(f"no answer after the connections from seed {first} on")
        growth = process.memory_info().rss - before
        with trio.fail_after(10):
            while bound.connections:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    if growth > GROWTH_LIMIT:
        raise AssertionError(f"memory grew by {growth} bytes")
    return growth


async def _volley(port: int, seeds: range) -> None:
    async with trio.open_nursery() as nursery:
        for seed in seeds:
            nursery.start_soon(one, port, seed)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    growth = trio.run(attack, options.count, options.seed)
    print(f"{options.count} connections; the server still answers; memory grew by {growth // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
