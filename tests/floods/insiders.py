"""Attacks by whoever has an account: everything that can be proved is."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import trio

from taskferry_apps import system
from taskferry_apps.relay_client import RelayClient
from taskferry_protocol.calls import GetAccount
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.frames import CallFrame, encode_frame
from taskferry_protocol.ids import AccountId, AgentRef
from tests.floods.cast import Cast, session
from tests.floods.wire import Target, Tell, why
from tests.relay.people import Person, seal

__all__ = ["insiders"]

_BATCH = 32
#: A send that takes so long is one that the relay does not read.
_HELD_BACK_S = 5.0


async def _again(
    target: Target, who: Person, tell: Tell, do: Callable[[RelayClient], Awaitable[None]]
) -> None:
    """Do something in a session, and in another once that has ended."""
    while True:
        try:
            async with session(target.url, who, from_address="203.0.113.200") as client:
                await do(client)
        except* Exception as failed:  # noqa: BLE001 - whatever ends an attack is an outcome
            tell(why(failed))
        await trio.sleep(1)


def _note(tell: Tell, outcomes: tuple[object, ...]) -> None:
    for outcome in outcomes:
        tell(outcome.code.value if isinstance(outcome, Refusal) else "accepted")


async def insiders(target: Target, tells: Callable[[str], Tell]) -> None:
    """All of them at once: each has a device of its own, since a device has one session."""
    cast = Cast.at(target.began)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sender, target, cast, tells)
        nursery.start_soon(_deaf_session, target, cast.sink, cast.mallory, tells("deaf session"))
        nursery.start_soon(_storm_of_calls, target, cast.pit, tells("calls"))


async def _sender(target: Target, cast: Cast, tells: Callable[[str], Tell]) -> None:
    """Beyond what the recipient grants, what the relay allows, and to agents that never were."""
    mallory = cast.mallory
    limited, flooding, unknown = tells("sender at its rate"), tells("colluders"), tells("unknown recipients")

    async def send(client: RelayClient) -> None:
        while True:
            now = system.now()
            parcels = [seal(mallory, cast.sink, "again", now).parcel for _ in range(_BATCH)]
            _note(limited, await client.send(parcels))
            parcels = [seal(mallory, cast.pit, "x" * 900, now).parcel for _ in range(4 * _BATCH)]
            _note(flooding, await client.send(parcels))
            parcels = []
            for _ in range(_BATCH):
                nobody = AgentRef(AccountId(mallory.entropy(32)), "agent")
                parcels.append(seal(mallory, cast.sink, "who", now, to=nobody).parcel)
            _note(unknown, await client.send(parcels))

    await _again(target, mallory, limited, send)


async def _deaf_session(target: Target, who: Person, long: Person, tell: Tell) -> None:
    """Asks for the largest pages there are, and reads none of the answers."""
    request = GetAccount(long.log.account, 0)
    while True:
        deaf = trio.Event()
        try:
            async with session(target.url, who, from_address="203.0.113.201", deaf=deaf) as client:
                deaf.set()
                for number in itertools.count(client._session._call_count):
                    data = encode_frame(CallFrame(number, request.method, request.to_cbor()))
                    with trio.move_on_after(_HELD_BACK_S) as scope:
                        await client._transport.send(data)
                    if scope.cancelled_caught:
                        tell("held back")
                        break
                    tell("asked")
                await client.wait_ended()
                tell("ended")
        except* Exception as failed:  # noqa: BLE001 - whatever ends an attack is an outcome
            tell(why(failed))
        await trio.sleep(1)


async def _storm_of_calls(target: Target, who: Person, tell: Tell) -> None:
    """Looks up accounts that nobody has, another each time."""

    async def ask(client: RelayClient) -> None:
        while True:
            try:
                await client.call(GetAccount(AccountId(who.entropy(32)), 0))
            except Exception as refused:
                refusal = getattr(refused, "refusal", None)
                if refusal is None:
                    raise
                tell(refusal.code.value)

    await _again(target, who, tell, ask)
