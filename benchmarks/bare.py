"""The bare pipeline: what any relay on this stack must do, and nothing that makes it TaskFerry.

`python -m benchmarks.bare DATABASE` serves on the guarded server and its WebSocket transport: receive,
decode, verify the signature, commit in groups with `synchronous=FULL`, tell the sender, push to the
recipient, take its acknowledgement. No identity is proven, no permission asked, no duplicate found, no
session resumed, and frames go to whom the header names. Who comes back is sent what the disk holds for them.
It speaks just enough of the session for the same clients to use it.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import cast

import attrs
import cbor2
import trio
from nacl import bindings as sodium
from quart_trio import QuartTrio

from taskferry_protocol.frame_items import Window
from taskferry_protocol.frames import (
    ChallengeFrame,
    HelloFrame,
    ReadyFrame,
    encode_frame,
    open_frame,
    read_frame,
)
from taskferry_protocol.ids import Hash, Instant, LogPosition
from taskferry_transports.guarded_server import BoundServer, GuardConfig, serve
from taskferry_transports.port import LinkInfo, Transport
from taskferry_transports.websocket_server import WebSocketServerTransport, add_websocket_route

SEND, RESULT, DELIVER, ACK, PING, PONG = 5, 6, 7, 8, 11, 12
#: When the last group came from more links than this, waiting 2 ms for more of them pays.
LINGER_ABOVE = 6
LINGER_S = 0.002
#: As many parcels are verified before other links get their turn.
CHUNK = 32
BATCH = 256
#: Entries of a backlog that are read at once.
PAGE = 1_024
FRAME_BYTES = 1_000_000

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 8000;
CREATE TABLE envelope (place INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE mail (
    recipient BLOB NOT NULL, offset INTEGER NOT NULL, place INTEGER NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (recipient, offset)
) WITHOUT ROWID;
CREATE TABLE cursor (recipient BLOB PRIMARY KEY, acked INTEGER NOT NULL) WITHOUT ROWID;
"""
# ["Signature1", bstr 38, aad, payload]: what is signed (RFC 9052 section 4.4); the parts that never change.
SIGNED_HEAD = b"\x84\x6aSignature1\x58\x26"
ENVELOPE_AAD = b"\x54taskferry/1/envelope"

Row = tuple[bytes, bytes, bytes]
"""Recipient's account, envelope, wrapped key."""


ReadMail = Callable[[bytes, range], list[tuple[int, bytes, bytes]]]
"""The mail of an account at these offsets; blocks."""


@attrs.define(eq=False)
class Link:
    """One connection: what waits to be written to it, and what its recipient has not acknowledged."""

    transport: Transport
    account: bytes = b""
    window: int = 1_024
    last: int = 0
    acked: int = 0
    outbox: deque[bytes] = attrs.field(factory=deque)
    mail: deque[tuple[int, bytes, bytes]] = attrs.field(factory=deque)
    behind: range = range(0)
    """Offsets that are on the disk and not in `mail` yet."""
    wake: trio.Event = attrs.field(factory=trio.Event)

    async def write(self, read: ReadMail) -> None:
        """Results first, then mail as the window allows; what came before this link is read in pages."""
        while True:
            if self.behind and not self.mail:
                page, self.behind = self.behind[:PAGE], self.behind[PAGE:]
                self.mail.extend(await trio.to_thread.run_sync(read, self.account, page))
            if self.outbox:
                await self.transport.send(self.outbox.popleft())
            elif self.mail and (room := self.window - (self.last - self.acked)) > 0:
                await self.transport.send(self.next_delivery(min(room, BATCH)))
            else:
                self.wake = trio.Event()
                await self.wake.wait()

    def next_delivery(self, most: int) -> bytes:
        """A frame of mail."""
        entries: list[tuple[int, int, bytes, bytes]] = []
        size = 0
        while self.mail and len(entries) < most and size + len(self.mail[0][1]) < FRAME_BYTES:
            offset, raw, sealed = self.mail.popleft()
            entries.append((offset, 0, raw, sealed))
            size += len(raw) + len(sealed) + 16
        self.last = entries[-1][0]
        return cbor2.dumps([DELIVER, entries])


def verify(raw: bytes) -> bytes:
    """The payload of an envelope whose signature holds; raises otherwise."""
    tagged = cbor2.loads(raw)
    protected, _, payload, signature = tagged.value
    message = b"".join((SIGNED_HEAD, protected, ENVELOPE_AAD, cbor2.dumps(payload)))
    sodium.crypto_sign_open(signature + message, protected[6:])
    verified: bytes = payload
    return verified


class Pipeline:
    """All links, and the committer behind them."""

    def __init__(self, database: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._database = database
        self._reader = reader
        self._reading = threading.Lock()
        self._links: dict[bytes, Link] = {}
        self._jobs: list[tuple[Link, int, list[Row]]] = []
        self._acks: dict[bytes, int] = {}
        self._acked: dict[bytes, int] = {}
        self._offsets: dict[bytes, int] = {}
        self._place = 0
        self._wake = trio.Event()
        self._last_jobs = 0

    async def handle(self, transport: Transport, _: LinkInfo) -> None:
        """Serve one connection."""
        # The yardstick stays what it was when the bars were set: wsproto reads, and each frame is a write.
        cast("WebSocketServerTransport", transport)._link.read_in_general()
        link = Link(transport)
        async with trio.open_nursery() as nursery:
            try:
                await self._greet(link)
                nursery.start_soon(link.write, self._read)
                while True:
                    await self._take(link, await transport.receive())
            except (trio.EndOfChannel, trio.BrokenResourceError):
                self._links.pop(link.account, None)
                nursery.cancel_scope.cancel()

    async def _greet(self, link: Link) -> None:
        """The opening, believing everything."""
        hello = read_frame(*open_frame(await link.transport.receive()))
        assert isinstance(hello, HelloFrame)
        await link.transport.send(encode_frame(ChallengeFrame(bytes(32))))
        await link.transport.receive()
        link.account, link.window = hello.account, hello.window.entries
        newest = self._offsets.get(link.account, 0)
        link.last = link.acked = self._acked.get(link.account, 0)
        link.behind = range(link.acked + 1, newest + 1)
        self._links[link.account] = link
        ready = ReadyFrame(
            generation=bytes(16),
            next_offset=link.last + 1,
            log=LogPosition(2, Hash(bytes(32))),
            window=Window(),
            now=Instant(0),
        )
        await link.transport.send(encode_frame(ready))

    async def _take(self, link: Link, data: bytes) -> None:
        frame = cbor2.loads(data)
        kind = frame[0]
        if kind == SEND:
            rows: list[Row] = []
            for count, (raw, wraps) in enumerate(frame[2]):
                if count and not count % CHUNK:
                    await trio.lowlevel.checkpoint()
                header, _ = cbor2.loads(verify(raw))
                rows.append((cbor2.loads(header)["to"][0], raw, wraps[0][1]))
            self._jobs.append((link, frame[1], rows))
            self._wake.set()
        elif kind == ACK:
            link.acked = self._acks[link.account] = self._acked[link.account] = frame[1]
            link.wake.set()
        elif kind == PING:
            link.outbox.append(cbor2.dumps([PONG, frame[1]]))
            link.wake.set()

    async def commit(self) -> None:
        """Commit whatever waits as one group, then speak."""
        while True:
            await self._wake.wait()
            if self._last_jobs > LINGER_ABOVE:
                await trio.sleep(LINGER_S)
            self._wake = trio.Event()
            jobs, self._jobs = self._jobs, []
            acks, self._acks = self._acks, {}
            self._last_jobs = len(jobs)
            envelopes: list[tuple[int, bytes]] = []
            mail: list[tuple[bytes, int, int, bytes]] = []
            for _, _, rows in jobs:
                for account, raw, sealed in rows:
                    self._place += 1
                    offset = self._offsets[account] = self._offsets.get(account, 0) + 1
                    envelopes.append((self._place, raw))
                    mail.append((account, offset, self._place, sealed))
            await trio.to_thread.run_sync(self._write, envelopes, mail, list(acks.items()))
            at = 0
            for link, batch, rows in jobs:
                places = envelopes[at : at + len(rows)]
                link.outbox.append(cbor2.dumps([RESULT, batch, [(0, place) for place, _ in places]]))
                link.wake.set()
                for (account, raw, sealed), (_, offset, _, _) in zip(
                    rows, mail[at : at + len(rows)], strict=True
                ):
                    if (to := self._links.get(account)) is not None:
                        if to.behind:
                            to.behind = range(to.behind.start, offset + 1)
                        else:
                            to.mail.append((offset, raw, sealed))
                        to.wake.set()
                at += len(rows)

    def _read(self, account: bytes, offsets: range) -> list[tuple[int, bytes, bytes]]:
        with self._reading:
            found: list[tuple[int, bytes, bytes]] = self._reader.execute(
                "SELECT offset, raw, sealed FROM mail JOIN envelope USING (place) "
                "WHERE recipient = ? AND offset BETWEEN ? AND ? ORDER BY offset",
                (account, offsets.start, offsets.stop - 1),
            ).fetchall()
        return found

    def _write(
        self,
        envelopes: list[tuple[int, bytes]],
        mail: list[tuple[bytes, int, int, bytes]],
        acks: list[tuple[bytes, int]],
    ) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO envelope VALUES (?, ?)", envelopes)
        self._database.executemany("INSERT INTO mail VALUES (?, ?, ?, ?)", mail)
        self._database.executemany(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT DO UPDATE SET acked = excluded.acked", acks
        )
        self._database.execute("COMMIT")


async def main(path: str) -> None:
    """Serve until SIGTERM."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.executescript(SCHEMA)
    reader = sqlite3.connect(path, check_same_thread=False)
    pipeline = Pipeline(database, reader)
    app = QuartTrio("bare")
    add_websocket_route(app, "/v1/ws", pipeline.handle)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pipeline.commit)
            bound: BoundServer = await nursery.start(serve, app, GuardConfig())
            sys.stderr.write(f'{{"event": "listening", "url": "{bound.urls[0]}", "pid": {os.getpid()}}}\n')
            async for _ in signals:
                break
            bound.draining.set()
            nursery.cancel_scope.cancel()
    reader.close()
    database.close()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    trio.run(main, sys.argv[1])
