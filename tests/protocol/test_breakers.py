"""Breakers: windows, the same words, hops and what leads to what, as functions of what has passed."""

import hypothesis.strategies as st
from hypothesis import given

from taskferry_protocol.breakers import (
    SAME_WORDS_MS,
    WINDOW_MS,
    BreakerLimits,
    Exchanges,
    Lead,
    Trip,
    after_decision,
    is_tripped,
    judge_incoming,
    judge_outgoing,
    led_by,
    normal_text,
    stop_id,
    tripped_by,
    words_of,
)
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, sha256
from taskferry_protocol.limits import CAUSES, DAY_MS, HOPS
from taskferry_protocol.messages import FilePart, JsonPart, TaskProgress, TaskRequest, TextMessage, TextPart
from taskferry_protocol.records import BreakerRecord, ExchangeRecord

from .owners import NOW

MINE = AgentRef(AccountId(bytes(32)), "writer")
PEER = AgentRef(AccountId(b"p" * 32), "requester")
FEW = BreakerLimits(hops=4, talk=3, talk_a_day=5, events=4, events_a_day=6, repeats=2, budget=10)


def exchange(at, words="", *, talk=True, inbound=True):
    """Something that passed `at` milliseconds after now."""
    said = sha256((words or str(at)).encode()) if talk else None
    return ExchangeRecord(MINE, PEER, sha256(str(at).encode()), Instant(NOW + at), inbound, talk, said)


def incoming(log, limits, at, **more):
    """The verdict on what came."""
    return judge_incoming(log, limits, at, **more)


def outgoing(log, limits, at, **more):
    """The verdict on what is to go."""
    return judge_outgoing(log, limits, at, **more)


def trip(judged):
    """What tripped, None for nothing."""
    return None if judged is None else judged.trip


WORDS = sha256(b"something else")


def test_what_was_counted_by_a_clock_that_was_ahead_stops_nothing():
    """It tripped for as long as the clock was ahead by; within a window that much longer it still counts."""
    ahead = [exchange(400 * DAY_MS, "same") for _ in range(FEW.talk_a_day)]
    log = Exchanges(FEW, ahead)
    assert incoming(log, FEW, NOW, hop=0, words=ahead[0].words) is None
    assert log.event_from(NOW) is None
    soon = Exchanges(FEW, [exchange(WINDOW_MS) for _ in range(FEW.talk)])
    assert trip(incoming(soon, FEW, NOW, hop=0, words=WORDS)) is Trip.PAIR
    refused = BreakerRecord(MINE, PEER, "pair-limit", NOW, refused_until=Instant(NOW + 400 * DAY_MS))
    assert not is_tripped(refused, NOW)


def test_what_is_over_the_window_is_held_and_refused_until_there_is_room():
    """The fourth message trips it in both directions; it goes on when the first is ten minutes old."""
    log = Exchanges(FEW, [exchange(0), exchange(10, inbound=False), exchange(20)])
    judged = outgoing(log, FEW, Instant(NOW + 30), hop=0, words=WORDS)
    assert (judged.trip, judged.until) == (Trip.PAIR, NOW + WINDOW_MS)
    assert incoming(log, FEW, Instant(NOW + 30), hop=0, words=WORDS) == judged
    assert outgoing(log, FEW, Instant(judged.until - 1), hop=0, words=WORDS) is not None
    assert outgoing(log, FEW, judged.until, hop=0, words=WORDS) is None


def test_slow_talk_trips_by_the_day():
    """Messages an hour apart never fill the short window; the sixth in a day is too many."""
    hour = DAY_MS // 24
    log = Exchanges(FEW, [exchange(n * hour) for n in range(5)])
    judged = incoming(log, FEW, Instant(NOW + 5 * hour), hop=0, words=WORDS)
    assert (judged.trip, judged.until) == (Trip.PAIR, NOW + DAY_MS)


def test_events_and_talk_are_counted_apart():
    """Tasks under way do not use up what may be said beside them, nor the other way about."""
    log = Exchanges(FEW, [exchange(n, talk=False) for n in range(4)])
    assert trip(outgoing(log, FEW, Instant(NOW + 9), hop=0, words=None)) is Trip.PAIR
    assert outgoing(log, FEW, Instant(NOW + 9), hop=0, words=WORDS) is None
    log = Exchanges(FEW, [exchange(n) for n in range(3)])
    assert trip(outgoing(log, FEW, Instant(NOW + 9), hop=0, words=WORDS)) is Trip.PAIR
    assert outgoing(log, FEW, Instant(NOW + 9), hop=0, words=None) is None


def test_same_words_trip_whoever_says_them():
    """The third `thanks` between two within the hour is one too many, whichever side said the others."""
    limits = BreakerLimits(repeats=2)
    log = Exchanges(limits, [exchange(0, "thanks"), exchange(1, "thanks", inbound=False), exchange(2, "hm")])
    judged = incoming(log, limits, Instant(NOW + 9), hop=0, words=sha256(b"thanks"))
    assert (judged.trip, judged.until) == (Trip.SAME_WORDS, NOW + SAME_WORDS_MS)
    assert incoming(log, limits, Instant(NOW + 9), hop=0, words=sha256(b"hm")) is None
    later = Instant(NOW + SAME_WORDS_MS)
    assert incoming(log, limits, later, hop=0, words=sha256(b"thanks")) is None


def test_hops_end_with_the_receiver_and_concern_talk_alone():
    """What has come as far as hops go is held, what would go further is refused; events have their budget."""
    log = Exchanges(FEW)
    assert incoming(log, FEW, NOW, hop=3, words=WORDS) is None
    assert trip(incoming(log, FEW, NOW, hop=4, words=WORDS)) is Trip.HOPS
    assert outgoing(log, FEW, NOW, hop=4, words=WORDS) is None
    assert trip(outgoing(log, FEW, NOW, hop=5, words=WORDS)) is Trip.HOPS
    assert incoming(log, FEW, NOW, hop=HOPS, words=None) is None


def test_a_person_makes_all_things_new():
    """After a decision nothing counts that passed before."""
    log = Exchanges(FEW, [exchange(0, "thanks") for _ in range(3)])
    log.forget()
    assert incoming(log, FEW, NOW, hop=0, words=sha256(b"thanks")) is None


@given(
    st.lists(st.tuples(st.integers(0, 3 * DAY_MS), st.booleans()), max_size=60), st.integers(0, 3 * DAY_MS)
)
def test_window_is_what_counting_gives(steps, at):
    """However many pass at whatever times, the verdict is that of counting them all."""
    times = sorted(time for time, _ in steps)
    log = Exchanges(FEW, [exchange(time, str(n)) for n, time in enumerate(times)])
    now = Instant(NOW + max([at, *times]))
    lately = sum(NOW + time > now - WINDOW_MS for time in times)
    today = sum(NOW + time > now - DAY_MS for time in times)
    expected = Trip.PAIR if lately >= FEW.talk or today >= FEW.talk_a_day else None
    judged = incoming(log, FEW, now, hop=0, words=WORDS)
    assert trip(judged) is expected
    if judged is not None:
        assert incoming(log, FEW, judged.until, hop=0, words=WORDS) is None
        assert incoming(log, FEW, Instant(judged.until - 1), hop=0, words=WORDS) is not None


@given(st.lists(st.integers(0, DAY_MS), max_size=80))
def test_a_loop_that_waits_as_it_is_told_stays_within_the_day(gaps):
    """Whoever always sends as soon as they may has sent no more than the day's number in any day."""
    log, now, sent = Exchanges(FEW), Instant(NOW), []
    for n, gap in enumerate(gaps):
        judged = outgoing(log, FEW, now, hop=0, words=sha256(str(n).encode()))
        now = judged.until if judged is not None else now
        log.count(exchange(now - NOW, str(n)))
        sent.append(now)
        now = Instant(now + gap // 100)
    for at in sent:
        assert sum(at - DAY_MS < other <= at for other in sent) <= FEW.talk_a_day
        assert sum(at - WINDOW_MS < other <= at for other in sent) <= FEW.talk


@given(st.text(max_size=60), st.text(alphabet=" \t\n.,!?-_*\u200b\u00ad'\"…", max_size=6), st.integers(0, 60))
def test_case_space_and_punctuation_make_no_other_words(text, noise, place):
    """A loop is not hidden by a comma, a capital letter or a character that nobody sees."""
    varied = text[:place] + noise + text[place:]
    assert normal_text(varied) == normal_text(text)
    assert words_of(TextMessage(varied, ())) == words_of(TextMessage(text, ()))
    assert normal_text("Thank You") == normal_text("THANK you!!") == normal_text("ｔｈａｎｋ ｙｏｕ")


def test_what_is_attached_belongs_to_the_words():
    """Fifty files for the same review are fifty tasks; the same file again is the same."""
    tasks = {
        words_of(TaskRequest("Review", "", (FilePart.of("a", "text/plain", b"%d" % n),))) for n in range(50)
    }
    assert len(tasks) == 50
    one = TextMessage("see", (JsonPart('{"n":1}'), TextPart("Well,  done")))
    assert words_of(one) == words_of(TextMessage("SEE!", (JsonPart('{"n":1}'), TextPart("well done."))))
    assert words_of(one) != words_of(TextMessage("see", (JsonPart('{"n":2}'), TextPart("well done"))))
    assert words_of(TextMessage("👍👍", ())) == words_of(TextMessage("👍", ())), (
        "all that says nothing is one"
    )
    assert words_of(TextMessage("x", ())) != words_of(TaskRequest("x", ""))
    assert words_of(TaskProgress("working", None)) is None


HASHES = st.binary(min_size=32, max_size=32).map(Hash)
LEADS = st.tuples(HASHES, st.builds(Lead, st.integers(0, HOPS), st.lists(HASHES, max_size=CAUSES).map(tuple)))


@given(st.lists(LEADS, max_size=4))
def test_what_is_led_to_counts_one_more_than_all_that_led_to_it(leads):
    """No choice of what is named makes the count smaller, and the last named stands last."""
    lead = led_by(leads)
    if not leads:
        assert lead == Lead()
        return
    assert lead.hop == 1 + max(one.hop for _, one in leads)
    assert len(lead.cause) <= CAUSES
    assert len(set(lead.cause)) == len(lead.cause)
    if all(leads[-1][0] not in one.cause for _, one in leads) and leads[-1][0] not in dict(leads[:-1]):
        assert lead.cause[-1] == leads[-1][0]


def test_two_that_only_answer_each_other_end_at_the_limit():
    """Whatever they say, the seventeenth message is not sent and the last one is held."""
    lead, sent, held = Lead(), 0, False
    limits, log = BreakerLimits(), Exchanges(BreakerLimits())
    while outgoing(log, limits, NOW, hop=lead.hop, words=WORDS) is None:
        sent += 1
        held = incoming(log, limits, NOW, hop=lead.hop, words=WORDS) is not None
        lead = led_by([(sha256(str(sent).encode()), lead)])
    assert (sent, held) == (HOPS + 1, True)


def test_a_stop_keeps_its_reason_and_its_name_until_a_person_decides():
    """What trips later changes neither; after a decision the next stop has another name."""
    fresh = BreakerRecord(MINE, PEER)
    assert not is_tripped(fresh, NOW)
    refused = tripped_by(BreakerRecord(MINE, PEER, refused_until=Instant(NOW + 5)), Trip.PAIR, NOW)
    assert is_tripped(refused, NOW)
    assert not is_tripped(refused, Instant(NOW + 5))
    stopped = BreakerRecord(MINE, PEER, "pair-limit", NOW, held=1, latched=True)
    assert tripped_by(stopped, Trip.SAME_WORDS, Instant(NOW + 1)) == stopped
    decided = after_decision(stopped, Instant(NOW + 2))
    assert not is_tripped(decided, NOW)
    assert decided.looked_at == NOW + 2
    again = tripped_by(decided, Trip.HOPS, Instant(NOW + 3))
    assert again.code == "hop-limit"
    names = {stop_id(MINE, PEER, NOW), stop_id(PEER, MINE, NOW), stop_id(MINE, PEER, Instant(NOW + 3))}
    assert len(names) == 3
