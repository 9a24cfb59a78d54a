"""Who takes part: honest pairs, and attackers with accounts, alike in every process by their seeds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from taskferry_apps import system
from taskferry_apps.origins import origin_of
from taskferry_apps.relay_client import RelayClient, open_relay
from taskferry_protocol.accounts import rename
from taskferry_protocol.ids import Instant
from taskferry_protocol.sessions import LogExtension
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.port import Dialer, Transport
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings
from tests.relay.people import Person, person

__all__ = ["FIRST", "Cast", "session"]

#: What the attackers' accounts rename themselves, so that a page of the log is as large as one can be.
RENAMES = 256
#: Statements that a session brings along; what comes after them is appended once.
FIRST = 2


@attrs.frozen
class Cast:
    """All of them."""

    alice: Person
    bob: Person
    carol: Person
    dave: Person
    mallory: Person
    """Connected with `sink` at 60 a minute, with `pit` at as many as there are; has a long log."""
    sink: Person
    pit: Person

    @classmethod
    def at(cls, began: int) -> Cast:
        """As they are when a trial begins."""
        now = Instant(began)
        names = ("alice", "bob", "carol", "dave", "mallory", "sink", "pit")
        cast = cls(*(person(name, seed, now) for seed, name in enumerate(names, 1)))
        mallory = cast.mallory
        for number in range(RENAMES):
            name = f"mallory-{number % 8}"
            mallory.log = mallory.log.extend([rename(mallory.log.state, name, at=now, by=mallory.manage)])
        return cast


class Deaf:
    """A transport that stops reading when it is told to."""

    def __init__(self, inner: Transport, deaf: trio.Event) -> None:
        self.kind = inner.kind
        self.peer = inner.peer
        self.max_frame = inner.max_frame
        self.send = inner.send
        self.send_eof = inner.send_eof
        self.aclose = inner.aclose
        self._receive = inner.receive
        self._deaf = deaf

    def receive_nowait(self) -> None:
        """Nothing: it is all waited for."""

    async def receive(self) -> bytes:
        """The next frame, or nothing for ever."""
        if self._deaf.is_set():
            await trio.sleep_forever()
        return await self._receive()


@asynccontextmanager
async def session(
    url: str, who: Person, *, longpoll: bool = False, from_address: str = "", deaf: trio.Event | None = None
) -> AsyncIterator[RelayClient]:
    """A session of a person's device, as if a trusted proxy had it from `from_address`."""
    headers = {"X-Forwarded-For": f"192.0.2.1, {from_address}"} if from_address else {}
    async with trio.open_nursery() as nursery:
        dialer: Dialer
        if longpoll:
            dialer = LongPollDialer(nursery, LongPollSettings(f"{url}/v1/link"))
        else:
            url = url.replace("http", "ws")
            dialer = WebSocketDialer(nursery, WebSocketSettings(f"{url}/v1/ws", headers=headers))
        transport: Transport = await dialer.dial()
        if deaf is not None:
            transport = Deaf(transport, deaf)
        async with open_relay(
            transport,
            who.identity,
            origin=origin_of(url),
            log=LogExtension(0, who.log.statements[:FIRST]),
            now=system.now,
        ) as client:
            yield client
        nursery.cancel_scope.cancel()
