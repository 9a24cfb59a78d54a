"""Keep-alive and timeouts, by moving `now` and nothing else."""

import pytest

from taskferry_protocol.calls import PutCard
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frames import GoawayFrame, PingFrame, PongFrame, encode_frame
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DEAD_AFTER_MS, HANDSHAKE_MS, PING_AFTER_MS
from taskferry_protocol.sessions import Admit, Call, Phase, SessionOver, Step, TimedOut

from .session_pair import GENERATION, POSITION, START, join, make_client, make_relay, meet, read


def later(ms: int) -> Instant:
    """So long after the session began."""
    return Instant(START + ms)


@pytest.mark.parametrize("side", ["client", "relay"])
def test_an_opening_that_drags_on_is_given_up(side):
    """Ten seconds from the beginning, whatever was said meanwhile, and not a moment sooner."""
    pair = meet()
    end = getattr(pair, side)
    assert end.deadline == later(HANDSHAKE_MS)
    assert end.elapse(now=later(HANDSHAKE_MS - 1)) == Step()
    step = end.elapse(now=later(HANDSHAKE_MS))
    assert step.events == (TimedOut(),)
    assert read(step.frames[0]) == GoawayFrame(RejectCode.TIMEOUT)
    assert end.phase is Phase.OVER


@pytest.mark.parametrize("make", [make_client, make_relay])
def test_a_peer_that_never_speaks_is_given_up(make):
    """Silence from the first moment on has the same deadline."""
    end = make()
    assert end.deadline == later(HANDSHAKE_MS)
    assert end.elapse(now=later(HANDSHAKE_MS)).events == (TimedOut(),)


def test_an_admission_that_comes_too_late_is_refused_to_the_application():
    """It learns that the session is over instead of admitting nobody."""
    pair = meet()
    pair.relay.elapse(now=later(HANDSHAKE_MS))
    with pytest.raises(SessionOver):
        pair.serve(Admit(POSITION, GENERATION, 0))


def test_a_silent_peer_is_asked_and_answers():
    """After ten seconds a ping goes out, and its pong keeps the session alive for as long again."""
    pair = join()
    for _ in range(5):
        pair.wait(PING_AFTER_MS)
        assert len(pair.to_relay) == len(pair.to_client) == 1
        assert isinstance(read(pair.to_relay[0]), PingFrame)
        pair.settle()
        assert pair.client.deadline == pair.relay.deadline == pair.now + PING_AFTER_MS
    assert pair.client.phase is pair.relay.phase is Phase.OPEN


def test_one_ping_is_asked_in_one_silence():
    """The next thing to happen after a ping is an answer or the end."""
    pair = join()
    assert len(pair.client.elapse(now=later(PING_AFTER_MS)).frames) == 1
    assert pair.client.deadline == later(DEAD_AFTER_MS)
    assert pair.client.elapse(now=later(DEAD_AFTER_MS - 1)) == Step()


def test_a_dead_peer_is_given_up():
    """After twenty-five silent seconds the session is over, and says so in case somebody hears it."""
    pair = join()
    pair.wait(PING_AFTER_MS)
    step = pair.relay.elapse(now=later(DEAD_AFTER_MS))
    assert step.events == (TimedOut(),)
    assert read(step.frames[0]) == GoawayFrame(RejectCode.TIMEOUT)
    assert pair.relay.phase is Phase.OVER


def test_a_runner_that_overslept_ends_a_dead_session_at_once():
    """After a machine's sleep no ping is waited for."""
    assert join().client.elapse(now=later(3_600_000)).events == (TimedOut(),)


def test_anything_received_counts_as_a_sign_of_life():
    """A peer that talks is not asked whether it is there."""
    pair = join()
    pair.now = later(PING_AFTER_MS - 1)
    pair.order(Call(PutCard(b"card")))
    assert pair.relay.deadline == pair.now + PING_AFTER_MS
    assert pair.client.deadline == later(PING_AFTER_MS)


def test_a_pong_that_comes_late_is_still_an_answer():
    """Two pings may be under way; their pongs come in their order."""
    pair = join()
    first = pair.client.elapse(now=later(PING_AFTER_MS)).frames[0]
    relays = pair.relay.elapse(now=later(PING_AFTER_MS)).frames[0]
    pair.client.receive(relays, now=later(PING_AFTER_MS))
    second = pair.client.elapse(now=later(2 * PING_AFTER_MS)).frames[0]
    for ping in (first, second):
        (pong,) = pair.relay.receive(ping, now=later(2 * PING_AFTER_MS)).frames
        assert pair.client.receive(pong, now=later(2 * PING_AFTER_MS)) == Step()


def test_a_clock_that_is_set_back_does_not_keep_a_dead_peer_alive():
    """Time is measured from the earlier reading."""
    pair = join()
    back = Instant(START - 3_600_000)
    assert pair.client.elapse(now=back) == Step()
    assert pair.client.deadline == back + PING_AFTER_MS


def test_a_ping_is_answered_with_its_number():
    """Whatever number the other side counts with."""
    (pong,) = join().relay.receive(encode_frame(PingFrame(2**64 - 1)), now=START).frames
    assert read(pong) == PongFrame(2**64 - 1)
