"""Every frame in every phase, on both sides: what has its turn is taken, anything else ends the session."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.calls import PutCard
from taskferry_protocol.cbor import encode
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frames import DeliverFrame, FrameType, GoawayFrame, encode_frame
from taskferry_protocol.sessions import (
    TURNS,
    Call,
    ClientSession,
    Deliver,
    Goaway,
    Phase,
    RelaySession,
    Send,
    SessionBroken,
    Side,
    Step,
)

from .frame_samples import SAMPLES
from .session_pair import START, Pair, join, mail, make_client, make_relay, meet, read

# spec/session.md sections 2 and 3, by hand: what each side may say in each phase.
_PARTING = {FrameType.GOAWAY}
_COMPANY = {FrameType.PING, FrameType.PONG, FrameType.GOAWAY}
MAY_SAY: dict[Phase, dict[Side, set[FrameType]]] = {
    Phase.GREETING: {Side.DAEMON: {FrameType.HELLO, *_PARTING}, Side.RELAY: _PARTING},
    Phase.CHALLENGING: {Side.DAEMON: _PARTING, Side.RELAY: {FrameType.CHALLENGE, *_PARTING}},
    Phase.PROVING: {Side.DAEMON: {FrameType.AUTH, *_PARTING}, Side.RELAY: _PARTING},
    Phase.ADMITTING: {Side.DAEMON: _PARTING, Side.RELAY: {FrameType.READY, *_PARTING}},
    Phase.OPEN: {
        Side.DAEMON: {FrameType.SEND, FrameType.ACK, FrameType.CALL, *_COMPANY},
        Side.RELAY: {FrameType.RESULT, FrameType.DELIVER, FrameType.REPLY, *_COMPANY},
    },
    Phase.OVER: {Side.DAEMON: set(), Side.RELAY: set()},
}
CLIENT_PHASES = [Phase.CHALLENGING, Phase.ADMITTING, Phase.OPEN, Phase.OVER]
RELAY_PHASES = [Phase.GREETING, Phase.PROVING, Phase.ADMITTING, Phase.OPEN, Phase.OVER]


def open_pair() -> Pair:
    """An open session with a batch, a delivery, a call and a ping under way in every direction."""
    pair = join(next_offset=1)
    pair.order(Send((encode(0),) * 3))
    pair.order(Call(PutCard(b"card")))
    pair.serve(Deliver((mail(10),)))
    pair.client.elapse(now=pair.client.deadline or START)
    pair.relay.elapse(now=pair.relay.deadline or START)
    return pair


def client_in(phase: Phase) -> ClientSession:
    """A daemon's end in this phase."""
    if phase is Phase.CHALLENGING:
        return make_client()
    if phase is Phase.ADMITTING:
        return meet().client
    client = open_pair().client
    if phase is Phase.OVER:
        client.submit(Goaway(RejectCode.SHUTTING_DOWN), now=START)
    return client


def relay_in(phase: Phase) -> RelaySession:
    """A relay's end in this phase."""
    relay = make_relay()
    if phase is Phase.GREETING:
        return relay
    if phase is Phase.PROVING:
        relay.receive(make_client().greeting, now=START)
        return relay
    if phase is Phase.ADMITTING:
        return meet().relay
    relay = open_pair().relay
    if phase is Phase.OVER:
        relay.submit(Goaway(RejectCode.SHUTTING_DOWN), now=START)
    return relay


def code_of(session: ClientSession | RelaySession, data: bytes) -> RejectCode | None:
    """The code that receiving these bytes ends in; None if they are taken."""
    try:
        session.receive(data, now=START)
    except SessionBroken as broken:
        return broken.code
    return None


def sample(kind: FrameType) -> bytes:
    """A frame of this kind that fits what is under way in `open_pair`."""
    if kind is FrameType.DELIVER:
        return encode_frame(DeliverFrame((mail(11), mail(12))))
    return encode_frame(SAMPLES[kind])


@pytest.mark.parametrize("kind", FrameType)
@pytest.mark.parametrize("phase", CLIENT_PHASES)
def test_a_daemon_takes_a_frame_only_in_its_turn(phase, kind):
    """A relay's frame out of turn, or a daemon's frame, is unexpected-frame."""
    client = client_in(phase)
    assert client.phase is phase
    expected = kind in MAY_SAY[phase][Side.RELAY]
    code = code_of(client, sample(kind))
    assert (code is not RejectCode.UNEXPECTED_FRAME) is expected
    if not expected or kind is FrameType.GOAWAY:
        assert client.phase is Phase.OVER


@pytest.mark.parametrize("kind", FrameType)
@pytest.mark.parametrize("phase", RELAY_PHASES)
def test_a_relay_takes_a_frame_only_in_its_turn(phase, kind):
    """A daemon's frame out of turn, or a relay's frame, is unexpected-frame."""
    relay = relay_in(phase)
    assert relay.phase is phase
    expected = kind in MAY_SAY[phase][Side.DAEMON]
    code = code_of(relay, sample(kind))
    assert (code is not RejectCode.UNEXPECTED_FRAME) is expected
    if not expected or kind is FrameType.GOAWAY:
        assert relay.phase is Phase.OVER


def test_the_table_of_turns_is_the_specifications():
    """The machine's table has the cells of the one written by hand, and no others."""
    assert {phase: {side: set(TURNS[phase][side]) for side in Side} for phase in Phase} == MAY_SAY


@pytest.mark.parametrize("kind", [kind for kind in FrameType if kind is not FrameType.GOAWAY])
def test_a_broken_session_owes_a_goaway_with_the_code(kind):
    """Whoever breaks a rule is told which, once."""
    relay = relay_in(Phase.ADMITTING)
    with pytest.raises(SessionBroken) as caught:
        relay.receive(sample(kind), now=START)
    assert caught.value.reply is not None
    goaway = read(caught.value.reply)
    assert isinstance(goaway, GoawayFrame)
    assert goaway.code is RejectCode.UNEXPECTED_FRAME
    with pytest.raises(SessionBroken) as again:
        relay.receive(sample(kind), now=START)
    assert again.value.reply is None


def test_a_frame_out_of_turn_is_refused_before_its_fields_are_read():
    """The turn comes first, so a stranger's nonsense costs nothing more."""
    assert code_of(make_relay(), encode([5, "nonsense"])) is RejectCode.UNEXPECTED_FRAME
    assert code_of(make_relay(), encode([1, "nonsense"])) is RejectCode.WRONG_TYPE


# --- Anything at all ----------------------------------------------------------------------------------------

_MAKERS = [(client_in, phase) for phase in CLIENT_PHASES] + [(relay_in, phase) for phase in RELAY_PHASES]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 20) | st.binary(max_size=33) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
_FRAMES = (
    st.binary(max_size=64)
    | st.builds(lambda number, fields: encode([number, *fields]), st.integers(0, 14), st.lists(_VALUES))
    | st.sampled_from(FrameType).map(sample)
)


@given(st.sampled_from(_MAKERS), st.lists(_FRAMES, min_size=1, max_size=6))
def test_any_bytes_give_a_step_or_an_error_of_the_peer(maker, frames):
    """In any phase, whatever arrives, nothing but a Step or RemoteProtocolError comes out."""
    make, phase = maker
    session = make(phase)
    for data in frames:
        try:
            step = session.receive(data, now=START)
        except RemoteProtocolError:
            assert session.phase is Phase.OVER
        else:
            assert isinstance(step, Step)
            for frame in step.frames:
                read(frame)


@given(st.data())
def test_a_damaged_frame_gives_a_step_or_an_error_of_the_peer(data):
    """A valid frame with a few bytes changed, cut or added is no way past the checks."""
    make, phase = data.draw(st.sampled_from(_MAKERS))
    frame = bytearray(sample(data.draw(st.sampled_from(FrameType))))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    session = make(phase)
    try:
        session.receive(bytes(frame[: data.draw(st.integers(1, len(frame)))]), now=START)
    except RemoteProtocolError:
        assert session.phase is Phase.OVER


def test_samples_are_taken_when_it_is_their_turn():
    """The matrix above is about turns: its frames have no other fault in an open session."""
    for kind in MAY_SAY[Phase.OPEN][Side.RELAY] - {FrameType.RESULT, FrameType.REPLY}:
        assert code_of(client_in(Phase.OPEN), sample(kind)) is None, kind
    for kind in MAY_SAY[Phase.OPEN][Side.DAEMON] - {FrameType.SEND, FrameType.CALL}:
        assert code_of(relay_in(Phase.OPEN), sample(kind)) is None, kind
