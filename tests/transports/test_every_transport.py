"""What every transport promises. A new adapter is one more entry in `KINDS`; nothing here changes for it."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_transports.port import FrameTooLarge, Liveness

from .pairs import MAX_FRAME

#: On a busy machine what is honest may take as long.
PATIENCE = 15
#: By a clock that leaps, and that no busy machine moves on.
IN_TIME = 5


async def test_frames_arrive_whole_and_in_order(pair):
    """A hundred frames sent one after another come out the same, both ways at once."""
    frames = [bytes([n]) * (n * 7 + 1) for n in range(100)]

    async def push(end):
        for frame in frames:
            await end.send(frame)

    async def pull(end):
        assert [await end.receive() for _ in frames] == frames

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for end in (pair.near, pair.far):
                nursery.start_soon(push, end)
                nursery.start_soon(pull, end)


@pytest.mark.parametrize("size", [1, 125, 126, 255, 256, 32_768, MAX_FRAME])
async def test_frames_of_every_size_cross(pair, size):
    """One byte, the sizes around the length encodings, and the largest allowed."""
    frame = bytes(n % 251 for n in range(size))
    with trio.fail_after(PATIENCE):
        await pair.near.send(frame)
        assert await pair.far.receive() == frame
        await pair.far.send(frame)
        assert await pair.near.receive() == frame


@pytest.mark.parametrize("seed", range(4))
async def test_random_frames_cross_unchanged(pair, seed):
    """Random sizes and bytes, from a seed, cross in random bursts without a change."""
    source = random.Random(seed)
    frames = [source.randbytes(min(MAX_FRAME, int(source.expovariate(1 / 3000)) + 1)) for _ in range(60)]
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_all, pair.near, frames)
            assert [await pair.far.receive() for _ in frames] == frames


async def test_frames_sent_together_arrive_one_by_one(pair):
    """What goes out in one call comes in frame by frame, between what was sent before and after."""
    frames = [bytes([n]) * (n * 37 + 1) for n in range(40)]

    async def push(end):
        await end.send(b"first")
        await end.send(*frames)
        await end.send(b"last")

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for end in (pair.near, pair.far):
                nursery.start_soon(push, end)
            for end in (pair.far, pair.near):
                assert [await end.receive() for _ in range(42)] == [b"first", *frames, b"last"]


async def test_of_frames_sent_together_none_goes_where_one_may_not(pair):
    """An empty or an oversized one among them is refused before any of them is sent."""
    with trio.fail_after(PATIENCE):
        for bad, error in ((b"", ValueError), (bytes(MAX_FRAME + 1), FrameTooLarge)):
            with pytest.raises(error):
                await pair.near.send(b"lost", bad)
        await pair.near.send(b"still here")
        assert await pair.far.receive() == b"still here"


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_what_has_arrived_can_be_taken_without_waiting(pair, direction):
    """Taken with or without waiting, frames come in order, each once; then there is none, and the end."""
    sender, reader = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    frames = [bytes([n]) * (n + 1) for n in range(30)]
    taken: list[bytes] = []
    with trio.fail_after(PATIENCE):
        assert reader.receive_nowait() is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(sender.send, *frames))
            while len(taken) < len(frames):
                taken.append(await reader.receive())
                while (frame := reader.receive_nowait()) is not None:
                    taken.append(frame)
        assert taken == frames
        await sender.send_eof()
        with pytest.raises(trio.EndOfChannel):
            await reader.receive()
        assert reader.receive_nowait() is None
        await reader.aclose()
        assert reader.receive_nowait() is None


async def test_oversized_frame_is_refused_locally(pair):
    """A frame over the limit fails before anything is sent, and the transport goes on."""
    with trio.fail_after(PATIENCE):
        for end in (pair.near, pair.far):
            with pytest.raises(FrameTooLarge):
                await end.send(bytes(MAX_FRAME + 1))
        await pair.near.send(b"still here")
        assert await pair.far.receive() == b"still here"


async def test_empty_frame_is_refused_locally(pair):
    """An empty frame means the end on some wires, so nobody may send one as a frame."""
    for end in (pair.near, pair.far):
        with pytest.raises(ValueError, match="empty"):
            await end.send(b"")


async def stalled(sent: Callable[[], int]) -> None:
    """Wait until no more is sent."""
    before = -1
    while before != sent():
        before = sent()
        with trio.move_on_after(0.4):
            await trio.sleep_forever()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_reader_that_does_not_read_blocks_the_sender(pair, direction):
    """Back-pressure reaches the sender before much is buffered, and reading sets it free again."""
    sender, reader = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    sent = 0

    async def push():
        nonlocal sent
        while sent < 2000:
            await sender.send(bytes(MAX_FRAME))
            sent += 1

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            await stalled(lambda: sent)
            # Kernel buffers of the two hops take several megabytes; eighty would mean that nothing blocks.
            assert sent * MAX_FRAME < 25_000_000
            for _ in range(sent):
                assert len(await reader.receive()) == MAX_FRAME
            stalled_at = sent
            while sent == stalled_at:
                await reader.receive()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_half_close_ends_one_direction_only(pair, direction):
    """After `send_eof` the peer gets all frames, then the end, and can still answer."""
    ours, theirs = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    with trio.fail_after(PATIENCE):
        for n in range(10):
            await ours.send(bytes([n + 1]))
        await ours.send_eof()
        for n in range(10):
            assert await theirs.receive() == bytes([n + 1])
        for _ in range(2):
            with pytest.raises(trio.EndOfChannel):
                await theirs.receive()
        await theirs.send(b"answer")
        assert await ours.receive() == b"answer"
        with pytest.raises(trio.ClosedResourceError):
            await ours.send(b"more")
        await theirs.send_eof()
        with pytest.raises(trio.EndOfChannel):
            await ours.receive()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_close_delivers_what_was_sent_and_then_ends(pair, direction):
    """A polite close lets the peer read everything, then says the end; sending to us then breaks."""
    closer, other = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    with trio.fail_after(PATIENCE):
        for n in range(12):
            await closer.send(bytes([n + 1]) * 1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(closer.aclose)
            for n in range(12):
                assert await other.receive() == bytes([n + 1]) * 1000
            with pytest.raises(trio.EndOfChannel):
                await other.receive()
        with pytest.raises(trio.BrokenResourceError):
            await _send_for_ever(other, b"too late")


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_after_our_close_everything_is_closed(pair, direction):
    """Closing twice is fine; every other call says that it was us."""
    end = getattr(pair, direction)
    with trio.fail_after(PATIENCE):
        await end.aclose()
        await end.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await end.send(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await end.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await end.receive()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_after_our_close_nothing_more_is_taken_of_a_peer_that_had_finished(pair, direction):
    """Whoever closed wants nothing more, although the other side had ended before with something in hand."""
    end, other = getattr(pair, direction), pair.far if direction == "near" else pair.near
    with trio.fail_after(PATIENCE):
        await other.send(b"one", b"two")
        await other.send_eof()
        assert await end.receive() == b"one"
        await wait_all_tasks_blocked(0.3)
        await end.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await end.receive()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_close_ends_a_call_under_way(pair, direction):
    """A task that waits for a frame is told when another task closes the transport."""
    end = getattr(pair, direction)

    async def wait():
        with pytest.raises(trio.ClosedResourceError):
            await end.receive()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await _until_waiting()
            await end.aclose()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_two_receivers_are_told_that_they_are_two(pair, direction):
    """The second task that receives is refused, and the first one loses nothing by it."""
    end, other = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    got: list[bytes] = []

    async def wait():
        got.append(await end.receive())

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await _until_waiting()
            with pytest.raises(trio.BusyResourceError):
                await end.receive()
            await other.send(b"for the first")
    assert got == [b"for the first"]


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_two_senders_are_told_that_they_are_two(pair, direction):
    """While one send waits for room, another task's send is refused."""
    end = getattr(pair, direction)
    sent = 0

    async def push():
        nonlocal sent
        while True:
            await end.send(bytes(MAX_FRAME))
            sent += 1

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            await stalled(lambda: sent)
            with pytest.raises(trio.BusyResourceError):
                await end.send(b"second")
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_cancelled_receive_loses_nothing(pair, direction):
    """Receiving with tiny deadlines while frames arrive yields every frame once, in order."""
    end, other = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    frames = [bytes([n % 256]) * 50 for n in range(200)]
    source = random.Random(direction)
    got: list[bytes] = []

    async def push():
        for frame in frames:
            await other.send(frame)
            for _ in range(source.randrange(3)):
                await trio.lowlevel.checkpoint()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            while len(got) < len(frames):
                with trio.move_on_after(source.choice([0, 0.0001, 0.001])):
                    got.append(await end.receive())
    assert got == frames


async def test_cancelled_send_never_leaves_half_a_frame(pair, leaping_clock):
    """After sends cancelled by back-pressure the peer reads whole frames only, then perhaps a broken link."""
    with trio.fail_after(20):
        for attempt in range(2):
            with trio.move_on_after(0.4), contextlib.suppress(trio.BrokenResourceError):
                await _send_for_ever(pair.near, bytes([attempt + 1]) * MAX_FRAME)
        got: list[bytes] = []
        with trio.move_on_after(0.6), contextlib.suppress(trio.BrokenResourceError):
            await _receive_for_ever(pair.far, got)
        assert len(got) > 3
        assert all(frame == frame[:1] * MAX_FRAME for frame in got)


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_peer_that_vanishes_breaks_both_calls(quick_pair, direction, leaping_clock):
    """A killed connection ends a waiting receive, and later sends, with `BrokenResourceError`.

    To long-poll a lost connection is no lost link: a server that is gone is noticed by its silence only.
    """
    pair = quick_pair
    end, other = (pair.near, pair.far) if direction == "near" else (pair.far, pair.near)
    with trio.fail_after(IN_TIME):
        await other.send(b"last words")
        assert await end.receive() == b"last words"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_broken, end)
            await _until_waiting()
            await pair.vanish()
        with pytest.raises(trio.BrokenResourceError):
            await _send_for_ever(end, b"anybody?")


@pytest.mark.parametrize("direction", ["near", "far"])
async def test_frozen_peer_is_noticed(quick_pair, direction, leaping_clock):
    """A peer that keeps its connection but answers nothing is noticed by its silence."""
    end = getattr(quick_pair, direction)
    with trio.fail_after(IN_TIME):
        await quick_pair.near.send(b"hello")
        assert await quick_pair.far.receive() == b"hello"
        quick_pair.freeze()
        await _expect_broken(end)


async def test_idle_pair_stays_connected(quick_pair, leaping_clock):
    """Pings alone keep a link alive for many silent intervals."""
    with trio.fail_after(IN_TIME):
        with trio.move_on_after(1.5):
            await quick_pair.near.receive()
        await quick_pair.near.send(b"still there")
        assert await quick_pair.far.receive() == b"still there"


async def test_slow_handler_is_no_silent_peer(quick_pair, leaping_clock):
    """While our own reader is stuck, the peer's silence is not counted against it."""
    frames = [bytes([n]) * MAX_FRAME for n in range(40)]
    with trio.fail_after(IN_TIME):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_all, quick_pair.near, frames)
            with trio.move_on_after(1.5):
                await trio.sleep_forever()
            assert [await quick_pair.far.receive() for _ in frames] == frames


def test_defaults_notice_a_frozen_peer_within_thirty_seconds():
    """The intervals that are used when nobody chooses others add up to less than the promise."""
    assert Liveness().worst_case <= 30
    assert math.isclose(Liveness().worst_case, 22.5)


async def _send_all(end, frames):
    for frame in frames:
        await end.send(frame)


async def _expect_broken(end):
    with pytest.raises(trio.BrokenResourceError):
        await _receive_for_ever(end, [])


async def _receive_for_ever(end, into):
    while True:
        into.append(await end.receive())


async def _send_for_ever(end, frame):
    while True:
        await end.send(frame)


async def _until_waiting():
    await wait_all_tasks_blocked(0.02)
