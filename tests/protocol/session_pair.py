"""Two sessions joined in memory: no event loop, no clock, every frame in the test's hands."""

from collections.abc import Sequence

import attrs

from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.frame_items import Cursor, Mail, Window
from taskferry_protocol.frames import Frame, HelloFrame, open_frame, read_frame
from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant, LogPosition
from taskferry_protocol.sessions import (
    Admit,
    ClientCommand,
    ClientEvent,
    ClientSession,
    LogExtension,
    RelayCommand,
    RelayEvent,
    RelaySession,
)

START = Instant(1_700_000_000_000)
ORIGIN = "wss://relay.example:443"
GENERATION = b"g" * 16
OTHER_GENERATION = b"o" * 16
KEY = SigningKey.from_seed(b"k" * 32)
OTHER_KEY = SigningKey.from_seed(b"o" * 32)
POSITION = LogPosition(1, Hash(b"h" * 32))

HELLO = HelloFrame(
    nonce=b"n" * 32,
    account=AccountId(b"a" * 32),
    device=DeviceId(KEY.public),
    transport="websocket",
    offered=("websocket", "longpoll"),
    origin=ORIGIN,
)


def make_client(
    hello: HelloFrame = HELLO, *, key: SigningKey = KEY, log: LogExtension | None = None
) -> ClientSession:
    """A daemon's end that has just begun."""
    extension = LogExtension(0, (b"create",)) if log is None else log
    return ClientSession(hello=hello, key=key, log=extension, now=START)


def make_relay(
    *,
    nonce: bytes = b"c" * 32,
    origins: Sequence[str] = (ORIGIN,),
    transport: str = "websocket",
    window: Window | None = None,
) -> RelaySession:
    """A relay's end that has just begun."""
    return RelaySession(nonce=nonce, origins=origins, transport=transport, now=START, window=window)


def read(data: bytes) -> Frame:
    """The frame of these bytes."""
    return read_frame(*open_frame(data))


def mail(offset: int, size: int = 100) -> Mail:
    """An entry whose envelope is `size` bytes of nothing."""
    return Mail(offset, bytes(size), bytes(80))


@attrs.define
class Pair:
    """A daemon's and a relay's end; what one says, the other hears at once."""

    client: ClientSession
    relay: RelaySession
    now: Instant = START
    client_events: list[ClientEvent] = attrs.field(factory=list)
    relay_events: list[RelayEvent] = attrs.field(factory=list)
    to_relay: list[bytes] = attrs.field(factory=list)
    to_client: list[bytes] = attrs.field(factory=list)

    def settle(self) -> None:
        """Carry every frame across until nobody has anything to say."""
        while self.to_relay or self.to_client:
            if self.to_relay:
                heard = self.relay.receive(self.to_relay.pop(0), now=self.now)
                self.relay_events += heard.events
                self.to_client += heard.frames
            else:
                told = self.client.receive(self.to_client.pop(0), now=self.now)
                self.client_events += told.events
                self.to_relay += told.frames

    def order(self, command: ClientCommand) -> list[RelayEvent]:
        """The daemon does something; what the relay's application hears of it."""
        step = self.client.submit(command, now=self.now)
        self.client_events += step.events
        self.to_relay += step.frames
        heard = len(self.relay_events)
        self.settle()
        return self.relay_events[heard:]

    def serve(self, command: RelayCommand) -> list[ClientEvent]:
        """The relay does something; what the daemon hears of it."""
        step = self.relay.submit(command, now=self.now)
        self.relay_events += step.events
        self.to_client += step.frames
        heard = len(self.client_events)
        self.settle()
        return self.client_events[heard:]

    def wait(self, ms: int) -> None:
        """Let time pass for both ends, and carry what they say because of it."""
        self.now = Instant(self.now + ms)
        late = self.client.elapse(now=self.now)
        self.client_events += late.events
        self.to_relay += late.frames
        overdue = self.relay.elapse(now=self.now)
        self.relay_events += overdue.events
        self.to_client += overdue.frames


def meet(client: ClientSession | None = None, relay: RelaySession | None = None) -> Pair:
    """Two ends that have come as far as the relay's decision."""
    pair = Pair(client or make_client(), relay or make_relay())
    pair.to_relay.append(pair.client.greeting)
    pair.settle()
    return pair


def join(
    hello: HelloFrame = HELLO,
    *,
    relay_window: Window | None = None,
    generation: bytes = GENERATION,
    next_offset: int = 0,
) -> Pair:
    """Two ends with the session open between them."""
    pair = meet(make_client(hello), make_relay(window=relay_window))
    pair.serve(Admit(POSITION, generation, next_offset))
    return pair


def resuming(offset: int, generation: bytes = GENERATION) -> HelloFrame:
    """The hello of a daemon that has committed everything up to `offset`."""
    return attrs.evolve(HELLO, cursor=Cursor(generation, offset))
