"""One device's session goes on over another transport: WebSocket, long-poll, WebSocket, on a real relay."""

from __future__ import annotations

import trio

from taskferry_apps import system
from taskferry_apps.relay_client import RelayClient
from taskferry_protocol.frame_items import Cursor, Mail

from .conftest import codes, mails
from .people import Person, connect, person, read_text, seal
from .process import RelayProcess, running

WAYS = (False, True, False)
"""Whether by long-poll, of the device's sessions one after another."""
AT_ONCE = 12


async def _pass_on(relay: RelayProcess, sender: Person, recipient: Person, texts: list[str]) -> None:
    """Send these texts, over a transport of the sender's own."""
    async with relay.open(sender) as client:
        parcels = [seal(sender, recipient, text, system.now()).parcel for text in texts]
        assert set(codes(await client.send(parcels))) == {"accepted"}


async def _take(client: RelayClient, count: int) -> list[Mail]:
    """So many entries, of which the last is acknowledged; what came beyond them is forgotten again."""
    found: list[Mail] = []
    with trio.fail_after(20):
        while len(found) < count:
            found += mails(list(await client.deliveries()))
    await client.ack(found[count - 1].offset)
    return found[:count]


async def test_a_session_goes_on_over_the_other_transport(tmp_path):
    """With its cursor: what was taken does not come again, what was not comes, in order."""
    alice, bob = person("alice", 1, system.now()), person("bob", 2, system.now())
    sent: list[str] = []
    taken: list[str] = []
    offsets: list[int] = []
    cursor: Cursor | None = None
    async with running(tmp_path) as relay:
        async with relay.open(bob), relay.open(alice) as client:
            await client.call(connect(alice, bob, system.now()))
        for turn, longpoll in enumerate(WAYS):
            more = [f"{turn}-{number}" for number in range(AT_ONCE)]
            sent += more
            await _pass_on(relay, alice, bob, more[: AT_ONCE // 2])
            async with relay.open(bob, cursor=cursor, longpoll=longpoll) as client:
                assert client.transport_kind == ("longpoll" if longpoll else "websocket")
                assert client.ready.continued is (cursor is not None)
                # The rest comes while this session is open; some of it is left to the next one.
                await _pass_on(relay, alice, bob, more[AT_ONCE // 2 :])
                left = 0 if turn == len(WAYS) - 1 else 3
                entries = await _take(client, len(sent) - len(taken) - left)
                taken += [read_text(bob, entry) for entry in entries]
                offsets += [entry.offset for entry in entries]
                cursor = Cursor(client.ready.generation, offsets[-1])
        async with relay.open(bob, cursor=cursor, longpoll=True) as client:
            with trio.move_on_after(0.5) as waited:
                await client.deliveries()
            assert waited.cancelled_caught
    assert taken == sent
    assert offsets == sorted(set(offsets))


async def test_what_was_taken_and_not_acknowledged_comes_again_over_the_other_transport(tmp_path):
    """A device that lost its connection before it had committed anything begins where it was."""
    alice, bob = person("alice", 1, system.now()), person("bob", 2, system.now())
    async with running(tmp_path) as relay:
        async with relay.open(bob), relay.open(alice) as client:
            await client.call(connect(alice, bob, system.now()))
        await _pass_on(relay, alice, bob, ["one", "two"])
        seen = []
        for longpoll in WAYS:
            async with relay.open(bob, longpoll=longpoll) as client:
                found: list[Mail] = []
                with trio.fail_after(20):
                    while len(found) < 2:
                        found += mails(list(await client.deliveries()))
                seen.append([(entry.offset, read_text(bob, entry)) for entry in found])
    assert seen[0] == seen[1] == seen[2]
    assert [text for _, text in seen[0]] == ["one", "two"]
