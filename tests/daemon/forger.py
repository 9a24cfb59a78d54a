"""Somebody with all of a peer's keys, and a relay's place: hands a daemon whatever it likes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.arrival import Arrival
from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.message_arrivals import take_message
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.phrase import seed_of
from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.crypto import Kind, SigningKey
from taskferry_protocol.frame_items import Mail
from taskferry_protocol.ids import AccountId, AgentRef, ConversationId, Instant, LogPosition
from taskferry_protocol.links import TaskLink
from taskferry_protocol.messages import Body, Content, TextMessage
from taskferry_protocol.records import Generation, Offset, RelayCursor
from taskferry_protocol.sealing import Address, Sealed, seal_envelope, wrap_for

from .worlds import OWNER, Clock, Machine, World, a_world, connect, set_up, texts

OTHER = Generation(b"o" * 16)


@attrs.define
class Forger:
    """Holds all of alice's keys, and hands bob whatever it likes, as a relay that lies could."""

    alice: Core
    bob: Core
    clock: Clock
    shown: Sequence[bytes] = ()
    """What the relay shows as alice's log."""
    inbound: Inbound = attrs.field(init=False)
    recovery: SigningKey = attrs.field(factory=lambda: SigningKey.from_seed(system.entropy(32)))
    """Alice's recovery key, where it is known."""
    sequence: int = 1_000
    offset: int = 0

    def __attrs_post_init__(self) -> None:
        """Begin with a daemon that has asked for nothing yet."""
        self.inbound = Inbound(self.bob, self.fetch)

    async def fetch(self, account: AccountId, start: int) -> Sequence[bytes]:
        """What the relay shows as alice's log."""
        await trio.lowlevel.checkpoint()
        return self.shown[start:]

    async def seal(
        self,
        body: Body,
        *,
        sequence: int | None = None,
        link: TaskLink | None = None,
        from_: str = "requester",
        to: str = "writer",
        id_at: Instant | None = None,
        seed: bytes | None = None,
        hop: int = 0,
        conv: bytes = bytes(16),
        to_log: LogPosition | None = None,
    ) -> Sealed:
        """An envelope from alice to bob's writer."""
        self.sequence += 1
        own, peer = await self.alice.own_log(), await self.bob.own_log()
        entropy = system.entropy if seed is None else (lambda count: (seed * 64)[:count])
        return seal_envelope(
            Content(body, ConversationId(conv), hop, link=link),
            Address(
                AgentRef(own.account, from_),
                AgentRef(peer.account, to),
                sequence or self.sequence,
                own.position,
                to_log or peer.position,
            ),
            created_at=id_at or self.clock.now(),
            expires_at=Instant(self.clock.now() + 3_600_000),
            device_key=self.alice.keys.device.signing,
            entropy=entropy,
        )

    async def hand_over(self, raw: bytes, sealed: bytes) -> None:
        """Deliver bytes to bob."""
        self.offset += 1
        at = RelayCursor("somewhere", OTHER, Offset(self.offset))
        await self.inbound.take(Mail(self.offset, raw, sealed), at)

    async def deliver(self, sealed: Sealed) -> None:
        """Deliver an envelope to bob, wrapped as it should be."""
        (wrap,) = wrap_for(sealed.key, [self.bob.keys.device.encryption.public], system.entropy)
        await self.hand_over(sealed.envelope.raw, wrap.sealed)

    def forge(self, sealed: Sealed, **changes: object) -> bytes:
        """The envelope with another header or payload, signed by alice's device all the same."""
        h = decode(sealed.envelope.h)
        assert isinstance(h, dict)
        payload = encode([encode({**h, **changes}), sealed.envelope.ct])
        return self.alice.keys.device.signing.sign(Kind.ENVELOPE, payload)


@asynccontextmanager
async def forging() -> AsyncIterator[tuple[Forger, Daemon]]:
    """Connected owners, and the forger between them; bob's daemon is not running meanwhile."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            recovery = await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await connect(a, b, "requester", "@bob/writer")
        forger = await forger_between(world, alice, bob)
        forger.recovery = SigningKey.from_seed(seed_of(recovery))
        yield forger, await world.open_daemon(bob)


async def forger_between(world: World, alice: Machine, bob: Machine) -> Forger:
    """A forger on what two machines hold, handing to the second what the first could sign."""
    cores = []
    for machine in (alice, bob):
        core = Core(
            machine.store,
            machine.vault,
            now=world.clock.now,
            entropy=system.entropy,
            jitter=system.jitter,
        )
        await core.load()
        cores.append(core)

    return Forger(cores[0], cores[1], world.clock)


async def codes(daemon: Daemon) -> list[str]:
    """Why what is in quarantine is there."""
    return [item.code for item in await daemon.quarantine(OWNER, "", 50)]


async def still_arrives(forger: Forger, bob: Daemon) -> None:
    """The next good message comes through."""
    await forger.deliver(await forger.seal(TextMessage("still here")))
    assert "still here" in await texts(bob)


def break_on_poison(patch: pytest.MonkeyPatch) -> None:
    """From now on a message that says `poison` meets a fault of this program."""

    async def breaking(arrival: Arrival, body: TextMessage) -> None:
        if body.text == "poison":
            raise ZeroDivisionError("a fault of this program")
        await take_message(arrival, body)

    patch.setattr("taskferry_apps.daemon.effects.take_message", breaking)
