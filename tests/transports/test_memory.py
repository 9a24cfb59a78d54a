"""What only the memory transport has: its hooks, and its network."""

from __future__ import annotations

import pytest
import trio

from taskferry_transports.memory import MemoryNetwork, memory_pair
from taskferry_transports.port import Unreachable


async def test_cut_keeps_what_was_delivered():
    """Frames that are in the peer's buffer stay readable; then the link is broken."""
    pair = memory_pair()
    await pair.left.send(b"a")
    pair.cut()
    assert await pair.right.receive() == b"a"
    with pytest.raises(trio.BrokenResourceError):
        await pair.right.receive()


async def test_cut_can_lose_the_tail():
    """The last frames vanish, the earlier ones do not, and the order stays."""
    pair = memory_pair()
    for frame in (b"a", b"b", b"c"):
        await pair.left.send(frame)
    pair.cut_losing_tail(2)
    assert await pair.right.receive() == b"a"
    with pytest.raises(trio.BrokenResourceError):
        await pair.right.receive()


async def test_network_hands_each_dial_to_the_handler():
    """A dialled transport arrives with its information; without a server the dial is refused."""
    network = MemoryNetwork(headers={"origin": "test"})
    with pytest.raises(Unreachable):
        await network.dial()

    async def echo(transport, info):
        assert info.headers == {"origin": "test"}
        await transport.send(await transport.receive())

    async with trio.open_nursery() as nursery:
        await nursery.start(network.serve, echo)
        transport = await network.dial()
        await transport.send(b"hello")
        assert await transport.receive() == b"hello"
        with pytest.raises(trio.EndOfChannel):
            await transport.receive()
        nursery.cancel_scope.cancel()
    assert len(network.pairs) == 1
