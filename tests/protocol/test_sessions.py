"""Two sessions joined in memory do what the specification says, and count what is under way."""

import attrs
import pytest

from taskferry_protocol.calls import FindAccount, GetPresence, PresenceFound, PutCard
from taskferry_protocol.cbor import encode
from taskferry_protocol.errors import LocalProtocolError, RejectCode
from taskferry_protocol.frame_items import Notice, ParcelAccepted, Refusal, Window
from taskferry_protocol.frames import FrameType, ReplyFrame, open_frame
from taskferry_protocol.ids import AccountId, AgentRef, Hash
from taskferry_protocol.limits import BATCH, CALLS, FRAME_BYTES, WINDOW_BYTES, WINDOW_ENTRIES
from taskferry_protocol.sessions import (
    Ack,
    Acked,
    AuthRequested,
    BatchSent,
    Call,
    CallReceived,
    CallSent,
    Deliver,
    Delivered,
    Goaway,
    LogExtension,
    ParcelsReceived,
    Phase,
    Ready,
    Reply,
    ReplyReceived,
    ResultReceived,
    Send,
    SendResult,
    SessionOver,
    WentAway,
)

from .session_pair import (
    GENERATION,
    HELLO,
    KEY,
    OTHER_GENERATION,
    OTHER_KEY,
    POSITION,
    START,
    Pair,
    join,
    mail,
    make_client,
    meet,
    read,
    resuming,
)

ASKER = AgentRef(AccountId(b"a" * 32), "coder")


def parcel(size: int = 100) -> bytes:
    """An encoded parcel of about this size."""
    return encode([bytes(size), []])


def ready_of(pair: Pair) -> Ready:
    """The event that the daemon's session opened with."""
    (event,) = [event for event in pair.client_events if isinstance(event, Ready)]
    return event


# --- Opening ------------------------------------------------------------------------------------------------


def test_the_relay_asks_its_application_once_the_device_is_proven():
    """The application hears who wants to come in, and with which statements."""
    pair = meet(make_client(log=LogExtension(2, (b"two", b"three"))))
    assert pair.relay_events == [AuthRequested(HELLO, 2, (b"two", b"three"))]
    assert pair.relay.phase is pair.client.phase is Phase.ADMITTING
    assert pair.relay.hello == HELLO


def test_an_admitted_device_gets_its_session():
    """Ready says where the mailbox stands, what log the relay holds and what its clock says."""
    pair = join(next_offset=5)
    assert pair.client_events == [Ready(GENERATION, 5, False, POSITION, START)]
    assert pair.relay.phase is pair.client.phase is Phase.OPEN


def test_a_device_that_is_turned_away_hears_why():
    """The application's refusal reaches the daemon with code, words and when to come again."""
    pair = meet()
    assert pair.serve(Goaway(RejectCode.DEVICE_GONE, "revoked", 60_000)) == [
        WentAway(RejectCode.DEVICE_GONE, "revoked", 60_000)
    ]
    assert pair.relay.phase is pair.client.phase is Phase.OVER


def test_a_session_refuses_to_begin_with_what_no_relay_takes():
    """Mistakes of our own surface where they are made."""
    with pytest.raises(LocalProtocolError):
        make_client(key=OTHER_KEY)
    with pytest.raises(LocalProtocolError):
        make_client(attrs.evolve(HELLO, nonce=b"short"))
    with pytest.raises(LocalProtocolError):
        make_client(attrs.evolve(HELLO, transport="memory"))
    with pytest.raises(LocalProtocolError):
        make_client(log=LogExtension(0, (b"s",) * 257))
    with pytest.raises(LocalProtocolError):
        make_client(log=LogExtension(0, (b"s" * 8192,) * 128))


# --- Cursors ------------------------------------------------------------------------------------------------


def test_a_mailbox_of_the_same_generation_continues():
    """The daemon hears nothing twice."""
    pair = join(resuming(41), next_offset=42)
    assert ready_of(pair).continued
    assert pair.serve(Deliver((mail(42),))) == [Delivered((mail(42),))]


def test_a_mailbox_of_another_generation_starts_over():
    """After a restore the offsets of before mean nothing."""
    pair = join(resuming(41), generation=OTHER_GENERATION, next_offset=0)
    assert not ready_of(pair).continued
    assert pair.serve(Deliver((mail(0),))) == [Delivered((mail(0),))]


# --- Parcels ------------------------------------------------------------------------------------------------


def test_parcels_come_as_decoded_values_and_go_back_as_outcomes():
    """The relay judges each alone; the daemon gets one outcome for each."""
    pair = join()
    parcels = (parcel(3), encode("no parcel"))
    size = 4 + sum(map(len, parcels))
    assert pair.order(Send(parcels)) == [ParcelsReceived(0, ([bytes(3), []], "no parcel"), size)]
    assert pair.client_events[-1] == BatchSent(0, 2)
    outcomes = (ParcelAccepted(7), Refusal(RejectCode.WRONG_TYPE))
    assert pair.serve(SendResult(0, outcomes)) == [ResultReceived(0, outcomes)]


def test_batches_are_numbered_and_answered_in_any_order():
    """A later batch may be answered first."""
    pair = join()
    for batch in range(3):
        pair.order(Send((parcel(),)))
        assert pair.client_events[-1] == BatchSent(batch, 1)
    for batch in (2, 0, 1):
        assert pair.serve(SendResult(batch, (ParcelAccepted(1),))) == [
            ResultReceived(batch, (ParcelAccepted(1),))
        ]


def test_the_daemon_never_sends_past_the_relays_window():
    """`fitting` says how many parcels may go; more is refused here and nothing changes."""
    pair = join(relay_window=Window(10, 10_000))
    parcels = [parcel()] * 20
    assert pair.client.sendable == Window(10, 10_000)
    assert pair.client.fitting(parcels) == 10
    with pytest.raises(LocalProtocolError):
        pair.order(Send(tuple(parcels[:11])))
    pair.order(Send(tuple(parcels[:10])))
    assert pair.client.sendable.entries == 0
    assert pair.client.fitting(parcels) == 0
    with pytest.raises(LocalProtocolError):
        pair.order(Send((parcel(),)))
    pair.serve(SendResult(0, (ParcelAccepted(1),) * 10))
    assert pair.client.sendable == Window(10, 10_000)


def test_bytes_count_as_well_as_entries():
    """A window of bytes is kept even where few parcels fill it."""
    pair = join(relay_window=Window(100, 2_000))
    fitting = pair.client.fitting([parcel(900)] * 5)
    assert fitting == 2
    pair.order(Send((parcel(900),) * fitting))
    assert pair.client.fitting([parcel(900)]) == 0


def test_one_parcel_is_always_allowed():
    """A window smaller than a parcel does not stop the mail for good."""
    pair = join(relay_window=Window(1, 1))
    assert pair.client.fitting([parcel(5_000)] * 3) == 1
    assert len(pair.order(Send((parcel(5_000),)))) == 1
    assert pair.client.fitting([parcel(1)]) == 0


def test_a_batch_fits_into_one_frame():
    """Neither 256 parcels nor a mebibyte are exceeded, however large the window."""
    pair = join()
    assert pair.client.fitting([parcel(10)] * 1_000) == BATCH
    large = [parcel(250_000)] * 10
    assert pair.client.fitting(large) == 4
    step = pair.client.submit(Send(tuple(large[:4])), now=START)
    assert len(step.frames[0]) <= FRAME_BYTES


def test_a_parcel_that_no_frame_holds_is_our_own_mistake():
    """It would wait for ever, so it is refused aloud."""
    with pytest.raises(LocalProtocolError):
        join().client.fitting([bytes(FRAME_BYTES)])


@pytest.mark.parametrize("count", [0, 257])
def test_a_batch_has_1_to_256_parcels(count):
    """Fewer and more are refused before anything is written."""
    with pytest.raises(LocalProtocolError):
        join().order(Send((encode(0),) * count))


@pytest.mark.parametrize("outcomes", [(), (ParcelAccepted(1),) * 2])
def test_the_relay_answers_each_parcel_once(outcomes):
    """A result with another number of outcomes is our own mistake, and the batch stays open."""
    pair = join()
    pair.order(Send((parcel(),)))
    with pytest.raises(LocalProtocolError):
        pair.serve(SendResult(0, outcomes))
    with pytest.raises(LocalProtocolError):
        pair.serve(SendResult(1, (ParcelAccepted(1),)))
    assert len(pair.serve(SendResult(0, (ParcelAccepted(1),)))) == 1


# --- Deliveries ---------------------------------------------------------------------------------------------


def test_entries_are_delivered_and_acknowledged():
    """An acknowledgement tells the relay what is committed, and frees the window."""
    pair = join(attrs.evolve(HELLO, window=Window(4, 10_000)))
    notice = Notice(9, Hash(b"h" * 32), RejectCode.EXPIRED)
    assert pair.serve(Deliver((mail(3), notice))) == [Delivered((mail(3), notice))]
    assert pair.relay.deliverable.entries == 2
    assert pair.order(Ack(9)) == [Acked(9)]
    assert pair.relay.deliverable == Window(4, 10_000)


def test_a_frame_counts_until_its_last_offset_is_acknowledged():
    """A part of a delivery that is committed is told to the application, and frees nothing yet."""
    pair = join(attrs.evolve(HELLO, window=Window(4, 10_000)))
    pair.serve(Deliver((mail(1), mail(2))))
    pair.serve(Deliver((mail(5), mail(6))))
    assert pair.order(Ack(1)) == [Acked(1)]
    assert pair.relay.deliverable.entries == 0
    assert pair.order(Ack(5)) == [Acked(5)]
    assert pair.relay.deliverable.entries == 2


def test_the_relay_never_delivers_past_the_daemons_window():
    """`fitting` says how many entries may go; more is refused here and nothing changes."""
    pair = join(attrs.evolve(HELLO, window=Window(3, 10_000)))
    entries = [mail(offset) for offset in range(10)]
    assert pair.relay.fitting(entries) == 3
    with pytest.raises(LocalProtocolError):
        pair.serve(Deliver(entries[:4]))
    pair.serve(Deliver(entries[:3]))
    assert pair.relay.fitting(entries[3:]) == 0
    pair.order(Ack(2))
    assert pair.relay.fitting(entries[3:]) == 3


def test_a_daemon_cannot_grant_more_than_the_relay_lets_be_under_way():
    """A window without end would make the relay remember without end."""
    pair = join(attrs.evolve(HELLO, window=Window(2**63, 2**63)))
    assert pair.relay.deliverable == Window(WINDOW_ENTRIES, WINDOW_BYTES)


@pytest.mark.parametrize("offsets", [(4,), (6, 6), (7, 6), ()])
def test_the_relay_delivers_in_rising_order(offsets):
    """Offsets that fall, repeat or lie below what was promised are our own mistake."""
    pair = join(next_offset=5)
    with pytest.raises(LocalProtocolError):
        pair.serve(Deliver(tuple(mail(offset) for offset in offsets)))
    assert len(pair.serve(Deliver((mail(5),)))) == 1


@pytest.mark.parametrize("offset", [4, 7])
def test_the_daemon_acknowledges_what_it_got_and_no_more(offset):
    """Neither what never came nor what was acknowledged already."""
    pair = join(next_offset=5)
    pair.serve(Deliver((mail(5), mail(6))))
    with pytest.raises(LocalProtocolError):
        pair.order(Ack(offset))
    assert pair.order(Ack(6)) == [Acked(6)]


# --- Calls --------------------------------------------------------------------------------------------------


def test_a_call_is_answered_in_the_type_that_it_asks_for():
    """The daemon gets its own question back beside the answer."""
    pair = join()
    question = GetPresence((ASKER,))
    assert pair.order(Call(question)) == [CallReceived(0, question)]
    assert pair.client_events[-1] == CallSent(0)
    answer = PresenceFound((True,))
    assert pair.serve(Reply(0, answer)) == [ReplyReceived(0, question, answer)]


def test_a_refused_call_says_why():
    """A refusal takes the answer's place, and leaves the session alone."""
    pair = join()
    question = FindAccount("nobody")
    pair.order(Call(question))
    refusal = Refusal(RejectCode.UNKNOWN_ACCOUNT)
    assert pair.serve(Reply(0, refusal)) == [ReplyReceived(0, question, refusal)]
    assert pair.client.phase is Phase.OPEN


def test_a_call_that_cannot_be_read_is_refused_and_the_session_goes_on():
    """An older relay refuses a newer daemon's method, and no more than that."""
    pair = join()
    for number, (method, code) in enumerate(
        [("weather.get", RejectCode.UNKNOWN_METHOD), ("card.put", RejectCode.MISSING_FIELD)]
    ):
        step = pair.relay.receive(encode([9, number, method, {}]), now=START)
        assert step.events == ()
        reply = read(step.frames[0])
        assert isinstance(reply, ReplyFrame)
        assert isinstance(reply.outcome, Refusal)
        assert reply.outcome.code is code
    assert pair.relay.phase is Phase.OPEN


def test_no_more_calls_are_placed_than_may_be_open():
    """The seventeenth question waits for an answer to one of the others."""
    pair = join()
    for _ in range(CALLS):
        pair.order(Call(PutCard(b"card")))
    assert pair.client.callable_now == 0
    with pytest.raises(LocalProtocolError):
        pair.order(Call(PutCard(b"card")))
    pair.serve(Reply(3, Refusal(RejectCode.BAD_COSE)))
    assert pair.client.callable_now == 1


def test_the_relay_answers_each_call_once():
    """An answer to no question is our own mistake."""
    pair = join()
    pair.order(Call(PutCard(b"card")))
    pair.serve(Reply(0, Refusal(RejectCode.BAD_COSE)))
    with pytest.raises(LocalProtocolError):
        pair.serve(Reply(0, Refusal(RejectCode.BAD_COSE)))


# --- The end ------------------------------------------------------------------------------------------------


def test_a_daemon_that_goes_says_so():
    """The relay's application hears that the session is over."""
    pair = join()
    assert pair.order(Goaway(RejectCode.SHUTTING_DOWN)) == [WentAway(RejectCode.SHUTTING_DOWN, "", None)]
    assert pair.client.phase is pair.relay.phase is Phase.OVER


def test_nothing_can_be_done_after_the_end():
    """Commands raise, time does nothing, and there is nothing to wait for."""
    pair = join()
    pair.order(Goaway(RejectCode.REPLACED))
    for command in (Send((parcel(),)), Ack(0), Call(PutCard(b"")), Goaway(RejectCode.INTERNAL)):
        with pytest.raises(SessionOver):
            pair.client.submit(command, now=START)
    for order in (Deliver((mail(1),)), SendResult(0, ()), Reply(0, Refusal(RejectCode.INTERNAL))):
        with pytest.raises(SessionOver):
            pair.relay.submit(order, now=START)
    for end in (pair.client, pair.relay):
        assert end.deadline is None
        assert end.elapse(now=START).frames == ()
    assert pair.client.sendable.entries == pair.relay.deliverable.entries == 0
    assert pair.client.fitting([parcel()]) == pair.relay.fitting([mail(1)]) == 0
    assert pair.client.callable_now == 0


def test_nothing_can_be_sent_before_the_session_is_open():
    """What needs a window has none yet."""
    client = make_client()
    with pytest.raises(LocalProtocolError):
        client.submit(Send((parcel(),)), now=START)
    assert client.fitting([parcel()]) == client.callable_now == 0
    assert open_frame(client.greeting)[0] is FrameType.HELLO
    assert client.phase is Phase.CHALLENGING
    assert HELLO.device == KEY.public
