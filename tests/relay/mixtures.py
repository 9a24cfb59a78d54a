"""Batches as a hostile sender writes and signs them, out of a seed; and what others change between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from taskferry_protocol.accounts import set_agent
from taskferry_protocol.calls import CallRequest, PutConnection, PutGrant
from taskferry_protocol.connections import read_request
from taskferry_protocol.crypto import LEAST_CIPHERTEXT, Kind
from taskferry_protocol.envelope import Parcel, Wrap, encode_parcel, encode_payload
from taskferry_protocol.header import Header, encode_header
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, LogPosition, message_id
from taskferry_protocol.limits import LIFETIME_MS, SKEW_MS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import Grant, read_grant

from .people import ALL, DAY_MS, Person, connect, end, grant, person

#: On both sides of each length that a number's encoding can have.
NUMBERS: Final = (1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1)
NAMES: Final = ("agent", "helper", "clog", "eclass", "desk", "nobody", "a" * 23, "a" * 24)


@attrs.frozen
class Sends:
    """Alice sends batches, one frame behind the other."""

    batches: tuple[tuple[bytes, ...], ...]


@attrs.frozen
class Asks:
    """Somebody makes a call."""

    who: str
    call: CallRequest


@attrs.frozen
class Fetches:
    """Somebody takes and acknowledges all that waits."""

    who: str


@attrs.frozen
class Waits:
    """Time passes."""

    ms: int


@attrs.frozen
class Stops:
    """The operator suspends an account, or releases it."""

    who: str
    suspended: bool


Step = Sends | Asks | Fetches | Waits | Stops


class Mixer:
    """Draws steps. Alice is connected with Bob and, at a few messages a minute, with Carol; not with Dave."""

    def __init__(self, seed: int, now: Instant) -> None:
        self.draw = random.Random(seed)
        self.now = now
        self.alice, self.bob, self.carol, self.dave = (
            person(name, number, now) for number, name in enumerate(("alice", "bob", "carol", "dave"), 1)
        )
        for who, name in ((self.alice, "helper"), (self.alice, "clog"), (self.bob, "desk")):
            served = set_agent(who.log.state, name, [who.keys.id], at=now, by=who.manage)
            who.log = who.log.extend([served])
        self.people = {who.name: who for who in (self.alice, self.bob, self.carol, self.dave)}
        self._rate = self.draw.choice((7, 40, 200, 1_000_000))
        self._connections: list[tuple[Person, PutConnection]] = []
        self._granted: dict[str, Grant] = {}
        self._signed: list[Header] = []
        self._parcels: list[bytes] = []
        self._to = self.bob
        self._next = self.draw.choice(NUMBERS[:-1])
        self._grown = 0

    def steps(self, count: int) -> list[Step]:
        """Everybody is introduced, then so many steps follow."""
        found: list[Step] = [self._connect(self.bob, self._rate), self._connect(self.carol, 5)]
        found.append(Sends((tuple(self._plain(MessageClass.MESSAGE) for _ in range(12)),)))
        for _ in range(count):
            found.append(self._sends())
            if self.draw.random() < 0.6:
                found.append(self.draw.choice(self._others())())
        return found

    # --- what others do

    def _others(self) -> Sequence[Callable[[], Step]]:
        who = self.draw.choice(("bob", "carol"))
        return (
            lambda: Fetches(who),
            lambda: Waits(self.draw.choice((1, 999, 1_500, 20_000, 61_000))),
            lambda: Waits(self.draw.choice((1, 999, 1_500, 20_000, 61_000))),
            lambda: self._grants(self.people[who]),
            lambda: self._grants(self.people[who]),
            lambda: self._ends(self.people[who]),
            lambda: Stops(who, suspended=True),
            *[lambda: Stops(who, suspended=False)] * 2,
            *[lambda: self._connect(self.people[who], self.draw.choice((3, 30, 1_000_000)))] * 3,
        )

    def _connect(self, who: Person, rate: int) -> Asks:
        call = connect(self.alice, who, self.now, rate=rate)
        self._connections.append((who, call))
        self._granted[who.name] = read_grant(call.grants[1], who.log)
        return Asks(who.name, call)

    def _last(self, who: Person) -> PutConnection:
        return next(call for other, call in reversed(self._connections) if other is who)

    def _grants(self, who: Person) -> Asks:
        request = read_request(self._last(who).request, self.alice.log)
        classes = self.draw.choice((ALL, frozenset({MessageClass.TASK}), frozenset({MessageClass.MESSAGE})))
        raw = grant(
            who,
            request,
            self.now,
            rate=self.draw.choice((1, 5, 50, 1_000_000)),
            classes=classes,
            largest=self.draw.choice((600, 1_000, 262_144)),
            before=self._granted[who.name],
        )
        self._granted[who.name] = read_grant(raw, who.log)
        return Asks(who.name, PutGrant(raw))

    def _ends(self, who: Person) -> Asks:
        request = read_request(self._last(who).request, self.alice.log)
        return Asks(who.name, end(who, request, self.now))

    # --- what Alice sends

    def _sends(self) -> Sends:
        return Sends(tuple(self._batch() for _ in range(self.draw.choice((1, 1, 2, 4)))))

    def _batch(self) -> tuple[bytes, ...]:
        draw = self.draw
        self._to = draw.choice((*[self.bob] * 6, self.carol, self.carol, self.dave))
        cls = draw.choice((MessageClass.MESSAGE, MessageClass.MESSAGE, *MessageClass))
        odd = draw.choice((0.0, 0.1, 0.4))
        if draw.random() < 0.3:
            self._next = draw.choice(NUMBERS[:-1])
        return tuple(
            self._odd(cls) if draw.random() < odd else self._plain(cls) for _ in range(draw.randint(1, 40))
        )

    def _header(self, cls: MessageClass) -> Header:
        self._next += 1
        account = cls is MessageClass.ACCOUNT
        created = Instant(self.now - self.draw.randrange(3))
        return Header(
            message_id(created, self.draw.randbytes),
            cls,
            AgentRef(self.alice.log.account, "") if account else self.alice.agent,
            AgentRef(self._to.log.account, "") if account else self._to.agent,
            min(self._next, 2**64 - 1),
            self.alice.log.position,
            self._to.log.position,
            created,
            Instant(created + DAY_MS),
            1,
            self.draw.randbytes(24),
            self.draw.randbytes(32),
        )

    def _plain(self, cls: MessageClass) -> bytes:
        return self._parcel(self._header(cls))

    def _parcel(
        self,
        header: Header,
        *,
        size: int = LEAST_CIPHERTEXT,
        by: Person | None = None,
        keys: Sequence[bytes] | None = None,
        change: Callable[[bytes], bytes] = bytes,
        damage: bool = False,
    ) -> bytes:
        payload = change(encode_payload(encode_header(header), self.draw.randbytes(size)))
        raw = (by or self.alice).keys.signing.sign(Kind.ENVELOPE, payload)
        if damage:
            at = self.draw.randrange(len(raw))
            raw = raw[:at] + bytes((raw[at] ^ 1 << self.draw.randrange(8),)) + raw[at + 1 :]
        named = sorted(keys if keys is not None else [self._to.keys.encryption.public])
        parcel = encode_parcel(Parcel(raw, tuple(Wrap(key, self.draw.randbytes(80)) for key in named)))
        self._signed.append(header)
        self._parcels.append(parcel)
        return parcel

    def _odd(self, cls: MessageClass) -> bytes:
        draw = self.draw
        if draw.random() < 0.3:
            return self._repeated()
        header = self._header(cls)
        for _ in range(draw.choice((1, 1, 2))):
            header = self._with_another_field(header)
        if draw.random() < 0.5:
            return self._parcel(header)
        alice, to = self.alice.keys.encryption.public, self._to.keys.encryption.public
        return draw.choice(
            (
                lambda: self._parcel(
                    header, size=draw.choice((0, 271, 273, 500, 900, 5_000, 65_000, 66_000))
                ),
                lambda: self._parcel(header, by=self.bob),
                lambda: self._parcel(header, keys=[draw.randbytes(32)]),
                lambda: self._parcel(header, keys=[alice]),
                lambda: self._parcel(header, keys=[to, alice]),
                lambda: self._parcel(header, keys=[to, draw.randbytes(32)]),
                lambda: self._parcel(header, change=self._changed),
                lambda: self._parcel(header, change=self._changed),
                lambda: self._parcel(header, damage=True),
                lambda: draw.choice((b"\x80", b"\xf6", b"\x82\x40\x80")),
            )
        )()

    def _repeated(self) -> bytes:
        """Something that was sent before, as it was or wrapped anew."""
        if not self._parcels:
            return self._plain(MessageClass.MESSAGE)
        # Mostly out of the same batch, or the one before.
        at = max(0, len(self._parcels) - self.draw.choice((2, 10, 10, 500)))
        return self.draw.choice(self._parcels[at:])

    def _changed(self, payload: bytes) -> bytes:
        """The same with bytes changed, cut out or put in; signed as it is then."""
        at = self.draw.randrange(min(len(payload), 420))
        byte = bytes((self.draw.choice((0, 0x17, 0x18, 0x20, 0x58, 0x59, 0x5A, 0x60, 0x82, 0xFF)),))
        return self.draw.choice(
            (payload[:at] + byte + payload[at + 1 :], payload[:at] + payload[at + 1 :], payload[:at] + byte)
        )

    def _with_another_field(self, header: Header) -> Header:
        draw, now = self.draw, self.now
        before = draw.choice(self._signed) if self._signed else header
        accounts = [who.log.account for who in self.people.values()]
        positions = [self.alice.log.position_at(1), self.bob.log.position, LogPosition(9, Hash(bytes(32)))]
        created, expires = draw.choice(
            (
                (now + SKEW_MS, now + SKEW_MS + 5),
                (now + SKEW_MS + 1, now + DAY_MS),
                (now - DAY_MS, now),
                (now - DAY_MS, now + 1),
                (now, now + LIFETIME_MS),
                (now, now + LIFETIME_MS + 1),
                (now, now),
                (2**32 - 1, 2**32 + 1),
            )
        )
        changes: dict[str, Any] = draw.choice(
            (
                {"id": before.id},
                {"seq": before.seq},
                {"id": before.id, "seq": before.seq},
                {"seq": draw.choice(NUMBERS)},
                {"id": bytes(16)},
                {"cls": draw.choice(tuple(MessageClass))},
                {"to": AgentRef(header.to.account, draw.choice(NAMES))},
                {"to": AgentRef(draw.choice(accounts), header.to.name)},
                {"to": AgentRef(AccountId(draw.randbytes(32)), "agent")},
                {"from_": AgentRef(header.from_.account, draw.choice(NAMES))},
                {"from_": AgentRef(draw.choice(accounts), header.from_.name)},
                {"log": draw.choice(positions)},
                {"to_log": draw.choice(positions)},
                {"created_at": Instant(created), "expires_at": Instant(expires)},
                {"suite": draw.choice((0, 2, 24))},
            )
        )
        return attrs.evolve(header, **changes)
