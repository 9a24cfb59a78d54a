"""A peer that lies, replays or takes more than it was granted is found out and sent away."""

import attrs
import pytest

from taskferry_protocol.calls import PutCard
from taskferry_protocol.cbor import encode
from taskferry_protocol.crypto import Kind, SigningKey
from taskferry_protocol.errors import LocalProtocolError, RejectCode
from taskferry_protocol.frame_items import Notice, ParcelAccepted, Refusal, Window
from taskferry_protocol.frames import (
    AckFrame,
    AuthFrame,
    CallFrame,
    ChallengeFrame,
    DeliverFrame,
    Frame,
    PongFrame,
    ReadyFrame,
    ReplyFrame,
    ResultFrame,
    encode_frame,
    encode_send,
)
from taskferry_protocol.ids import DeviceId, Hash, sha256
from taskferry_protocol.limits import CALLS
from taskferry_protocol.sessions import (
    Ack,
    Admit,
    AuthRequested,
    Call,
    Deliver,
    Phase,
    RelaySession,
    Send,
    SendResult,
    SessionBroken,
)

from .session_pair import (
    GENERATION,
    HELLO,
    KEY,
    ORIGIN,
    OTHER_GENERATION,
    OTHER_KEY,
    POSITION,
    START,
    Pair,
    join,
    mail,
    make_client,
    make_relay,
    meet,
    resuming,
)


def told_relay(pair: Pair, frame: Frame | bytes) -> RejectCode:
    """The code that a frame of a hostile daemon ends the session with."""
    data = frame if isinstance(frame, bytes) else encode_frame(frame)
    with pytest.raises(SessionBroken) as caught:
        pair.relay.receive(data, now=pair.now)
    assert pair.relay.phase is Phase.OVER
    return caught.value.code


def told_client(pair: Pair, frame: Frame) -> RejectCode:
    """The code that a frame of a hostile relay ends the session with."""
    with pytest.raises(SessionBroken) as caught:
        pair.client.receive(encode_frame(frame), now=pair.now)
    assert pair.client.phase is Phase.OVER
    return caught.value.code


# --- Proofs -------------------------------------------------------------------------------------------------


def proof_of(relay: RelaySession, hello: bytes, key: SigningKey, kind: Kind = Kind.AUTH) -> bytes:
    """Say hello and sign what the relay answers."""
    (challenge,) = relay.receive(hello, now=START).frames
    return key.sign(kind, sha256(hello + challenge))


def admitted(relay: RelaySession, proof: bytes) -> RejectCode | None:
    """None if the proof is good, else the code that it ends in."""
    try:
        step = relay.receive(encode_frame(AuthFrame(proof, 0, ())), now=START)
    except SessionBroken as broken:
        return broken.code
    assert isinstance(step.events[0], AuthRequested)
    return None


def test_the_proof_is_over_hello_and_challenge_by_the_device_key():
    """Made by hand from the specification, a proof is good."""
    relay = make_relay()
    assert admitted(relay, proof_of(relay, encode_frame(HELLO), KEY)) is None


def test_a_proof_by_another_key_is_refused():
    """Naming somebody's device is not holding its key."""
    relay = make_relay()
    assert admitted(relay, proof_of(relay, encode_frame(HELLO), OTHER_KEY)) is RejectCode.BAD_PROOF


def test_a_signature_of_another_kind_is_no_proof():
    """What a device key signed for another use cannot be lifted into a session."""
    relay = make_relay()
    proof = proof_of(relay, encode_frame(HELLO), KEY, Kind.ENVELOPE)
    assert admitted(relay, proof) is RejectCode.BAD_PROOF


@pytest.mark.parametrize("proof", [b"", b"not COSE", bytes(10_000)])
def test_bytes_that_are_no_signature_are_no_proof(proof):
    """Whatever is wrong with a proof, the code says no more."""
    relay = make_relay()
    relay.receive(encode_frame(HELLO), now=START)
    assert admitted(relay, proof) is RejectCode.BAD_PROOF


def test_an_unacceptable_device_key_is_no_proof():
    """The identity point signs everything, so it proves nothing."""
    hello = encode_frame(attrs.evolve(HELLO, device=DeviceId(b"\x01" + bytes(31))))
    relay = make_relay()
    assert admitted(relay, proof_of(relay, hello, KEY)) is RejectCode.BAD_PROOF


def test_a_damaged_proof_is_refused():
    """One bit of the signature is enough."""
    relay = make_relay()
    proof = bytearray(proof_of(relay, encode_frame(HELLO), KEY))
    proof[-1] ^= 1
    assert admitted(relay, bytes(proof)) is RejectCode.BAD_PROOF


def test_a_proof_is_good_for_one_challenge():
    """Who recorded a session cannot play it again."""
    recorded = proof_of(make_relay(), encode_frame(HELLO), KEY)
    relay = make_relay(nonce=b"d" * 32)
    relay.receive(encode_frame(HELLO), now=START)
    assert admitted(relay, recorded) is RejectCode.BAD_PROOF


def test_a_lifted_hello_does_not_help_who_lifted_it():
    """Another's hello needs another's key, whatever challenge is answered."""
    relay = make_relay()
    relay.receive(encode_frame(HELLO), now=START)
    assert admitted(relay, OTHER_KEY.sign(Kind.AUTH, sha256(b"anything"))) is RejectCode.BAD_PROOF


@pytest.mark.parametrize(
    "forged",
    [
        attrs.evolve(HELLO, offered=("websocket",)),
        attrs.evolve(HELLO, window=Window(1, 1)),
        attrs.evolve(HELLO, cursor=resuming(9).cursor),
        attrs.evolve(HELLO, agent="another"),
    ],
)
def test_a_hello_changed_on_its_way_does_not_bear_the_proof(forged):
    """Nobody in between shortens the list of transports, nor anything else, unnoticed."""
    client, relay = make_client(), make_relay()
    (challenge,) = relay.receive(encode_frame(forged), now=START).frames
    (auth,) = client.receive(challenge, now=START).frames
    with pytest.raises(SessionBroken) as caught:
        relay.receive(auth, now=START)
    assert caught.value.code is RejectCode.BAD_PROOF


def test_a_session_led_through_another_relay_is_refused():
    """A daemon that dialled elsewhere signed that, so its proof is of no use here."""
    hello = attrs.evolve(HELLO, origin="wss://evil.example:443")
    with pytest.raises(SessionBroken) as caught:
        meet(make_client(hello))
    assert caught.value.code is RejectCode.WRONG_ORIGIN
    assert meet(make_client(hello), make_relay(origins=(ORIGIN, hello.origin))).relay_events


def test_a_session_of_another_transport_is_refused():
    """A hello made for WebSocket is not good for long-poll."""
    with pytest.raises(SessionBroken) as caught:
        meet(relay=make_relay(transport="longpoll"))
    assert caught.value.code is RejectCode.BAD_PROOF


def test_a_challenge_of_another_version_is_refused():
    """The daemon speaks version 1 and says so."""
    with pytest.raises(SessionBroken) as caught:
        make_client().receive(encode([2, {"v": 2, "nonce": bytes(32)}]), now=START)
    assert caught.value.code is RejectCode.UNKNOWN_VERSION


@pytest.mark.parametrize("command", [Admit(POSITION, b"short", 0), Admit(POSITION, GENERATION, -1)])
def test_an_admission_that_no_daemon_takes_is_our_own_mistake(command):
    """The relay finds it out before its peer does, and may still do better."""
    pair = meet()
    with pytest.raises(LocalProtocolError):
        pair.serve(command)
    assert len(pair.serve(Admit(POSITION, GENERATION, 0))) == 1


def test_a_relay_cannot_begin_with_a_short_nonce():
    """A challenge that a daemon would refuse is our own mistake."""
    with pytest.raises(LocalProtocolError):
        make_relay(nonce=b"short")


# --- A hostile relay ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("next_offset", [0, 41])
def test_a_mailbox_does_not_run_backwards(next_offset):
    """In the same generation, what was acknowledged does not come again."""
    pair = meet(make_client(resuming(41)))
    ready = ReadyFrame(GENERATION, next_offset, POSITION, Window(), START)
    assert told_client(pair, ready) is RejectCode.BAD_VALUE


def test_another_generation_may_begin_anywhere():
    """A cursor of another generation binds nobody."""
    pair = meet(make_client(resuming(41)))
    ready = ReadyFrame(OTHER_GENERATION, 0, POSITION, Window(), START)
    assert len(pair.client.receive(encode_frame(ready), now=START).events) == 1


@pytest.mark.parametrize("offsets", [(4,), (5, 5), (6, 5)])
def test_offsets_that_do_not_rise_are_found_out(offsets):
    """A delivery repeats nothing and goes back nowhere."""
    frame = DeliverFrame(tuple(mail(offset) for offset in offsets))
    assert told_client(join(next_offset=5), frame) is RejectCode.BAD_VALUE


def test_offsets_rise_from_frame_to_frame():
    """A frame that repeats the last entry of the one before is found out."""
    pair = join()
    pair.serve(Deliver((mail(5),)))
    assert told_client(pair, DeliverFrame((mail(5),))) is RejectCode.BAD_VALUE


@pytest.mark.parametrize(
    ("before", "entries"),
    [
        ((), tuple(mail(offset) for offset in range(4))),
        ((mail(0), mail(1)), (mail(2), mail(3))),
        ((mail(0),), (mail(2, 3_000),)),
        ((), (mail(0, 3_000), Notice(1, Hash(b"h" * 32), RejectCode.EXPIRED))),
    ],
)
def test_a_delivery_past_the_daemons_window_is_found_out(before, entries):
    """Entries and bytes both count, what is not yet acknowledged included."""
    pair = join(attrs.evolve(HELLO, window=Window(3, 2_000)))
    if before:
        pair.serve(Deliver(before))
    assert told_client(pair, DeliverFrame(entries)) is RejectCode.WINDOW_EXCEEDED


def test_an_acknowledgement_frees_the_daemons_window():
    """The same delivery is within the window once the one before is committed."""
    pair = join(attrs.evolve(HELLO, window=Window(3, 2_000)))
    pair.serve(Deliver((mail(0), mail(1))))
    pair.order(Ack(1))
    assert pair.serve(Deliver((mail(2), mail(3))))


def test_a_result_for_no_batch_is_found_out():
    """Neither a batch that was never sent nor one that was answered."""
    pair = join()
    pair.order(Send((encode(0),)))
    pair.serve(SendResult(0, (ParcelAccepted(1),)))
    assert told_client(pair, ResultFrame(0, (ParcelAccepted(1),))) is RejectCode.UNKNOWN_BATCH
    assert told_client(join(), ResultFrame(0, (ParcelAccepted(1),))) is RejectCode.UNKNOWN_BATCH


@pytest.mark.parametrize("count", [1, 3])
def test_a_result_has_an_outcome_for_each_parcel(count):
    """With fewer or more nobody knows which is whose."""
    pair = join()
    pair.order(Send((encode(0), encode(0))))
    assert told_client(pair, ResultFrame(0, (ParcelAccepted(1),) * count)) is RejectCode.BAD_VALUE


def test_a_reply_to_no_call_is_found_out():
    """Nobody asked."""
    assert told_client(join(), ReplyFrame(0, Refusal(RejectCode.EXPIRED))) is RejectCode.BAD_VALUE


def test_a_reply_of_another_shape_is_found_out():
    """An answer that cannot be read is the relay's fault, not the caller's."""
    pair = join()
    pair.order(Call(PutCard(b"card")))
    assert told_client(pair, ReplyFrame(0, {"more": 1})) is RejectCode.UNKNOWN_FIELD


@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_pong_to_no_ping_is_found_out(number):
    """Both sides count their own pings."""
    assert told_client(join(), PongFrame(number)) is RejectCode.BAD_VALUE
    assert told_relay(join(), PongFrame(number)) is RejectCode.BAD_VALUE


# --- A hostile daemon ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 3, 2**64 - 1])
def test_an_acknowledgement_of_what_was_not_delivered_is_found_out(offset):
    """Nobody empties a mailbox unread."""
    assert told_relay(join(), AckFrame(offset)) is RejectCode.BAD_VALUE


def test_an_acknowledgement_beyond_the_last_entry_is_found_out():
    """Only up to what was delivered in this session."""
    pair = join(next_offset=3)
    pair.serve(Deliver((mail(3), mail(8))))
    assert told_relay(pair, AckFrame(9)) is RejectCode.BAD_VALUE


def test_an_acknowledgement_that_says_nothing_new_has_no_effect():
    """Cumulative acknowledgements may repeat themselves."""
    pair = join(next_offset=3)
    pair.serve(Deliver((mail(3), mail(8))))
    pair.order(Ack(8))
    for offset in (0, 2, 3, 8):
        assert pair.relay.receive(encode_frame(AckFrame(offset)), now=START).events == ()


@pytest.mark.parametrize(
    ("before", "sizes"), [(0, [1, 1, 1, 1]), (2, [1, 1]), (1, [3_000]), (0, [1_500, 1_500])]
)
def test_parcels_past_the_relays_window_are_found_out(before, sizes):
    """Entries and bytes both count, what has no result yet included."""
    pair = join(relay_window=Window(3, 2_000))
    if before:
        pair.order(Send((encode(0),) * before))
    frame = encode_send(1 if before else 0, [encode(bytes(size)) for size in sizes])
    assert told_relay(pair, frame) is RejectCode.WINDOW_EXCEEDED


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_are_numbered_without_gaps(batch):
    """A batch out of its number would make answers ambiguous."""
    assert told_relay(join(), encode_send(batch, [encode(0)])) is RejectCode.BAD_VALUE


def test_a_batch_is_numbered_once():
    """The same number again is refused, answered or not."""
    pair = join()
    pair.order(Send((encode(0),)))
    assert told_relay(pair, encode_send(0, [encode(0)])) is RejectCode.BAD_VALUE


def test_calls_are_numbered_without_gaps():
    """As batches are."""
    assert told_relay(join(), CallFrame(1, "card.put", {"card": b""})) is RejectCode.BAD_VALUE


def test_a_seventeenth_open_call_ends_the_session():
    """The relay remembers sixteen questions and no more."""
    pair = join()
    for _ in range(CALLS):
        pair.order(Call(PutCard(b"card")))
    assert told_relay(pair, CallFrame(CALLS, "card.put", {"card": b""})) is RejectCode.TOO_MANY_CALLS


def test_a_transport_that_was_not_offered_cannot_be_in_use():
    """A hello that contradicts itself is not answered with a challenge."""
    with pytest.raises(SessionBroken) as caught:
        make_relay().receive(encode_frame(attrs.evolve(HELLO, transport="memory")), now=START)
    assert caught.value.code is RejectCode.BAD_VALUE


def test_a_daemon_answers_one_challenge():
    """A relay cannot have one session sign for another."""
    client = make_client()
    client.receive(encode_frame(ChallengeFrame(b"c" * 32)), now=START)
    with pytest.raises(SessionBroken) as caught:
        client.receive(encode_frame(ChallengeFrame(b"d" * 32)), now=START)
    assert caught.value.code is RejectCode.UNEXPECTED_FRAME
