"""Breakers: when two agents have talked long enough without a person having decided anything.

Two agents that thank each other all night cost real money. What comes in and trips a breaker is held for the
owner; what would go out is refused. Nothing in here concerns what is folded: a task's events count and are
held from the agent's eyes, never from the fold.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final

import attrs

from .ids import AgentRef, Hash, Instant, sha256
from .limits import (
    CAUSES,
    DAY_MS,
    HOPS,
    MINUTE_MS,
    PAIR_EVENTS,
    PAIR_EVENTS_A_DAY,
    PAIR_TALK,
    PAIR_TALK_A_DAY,
    SAME_WORDS,
    TASK_BUDGET,
)
from .messages import BlobPart, Body, FilePart, JsonPart, Part, TaskRequest, TextMessage, TextPart
from .records import BreakerRecord, ExchangeRecord

__all__ = [
    "DEFAULT_LIMITS",
    "LED_MS",
    "REFUSED_MOST_MS",
    "SAME_WORDS_MS",
    "WINDOW_MS",
    "BreakerLimits",
    "Exchanges",
    "Lead",
    "Trip",
    "Tripped",
    "after_decision",
    "is_refused",
    "is_tripped",
    "judge_incoming",
    "judge_outgoing",
    "led_by",
    "normal_text",
    "stop_id",
    "tripped_by",
    "words_of",
]

WINDOW_MS: Final = 10 * MINUTE_MS
"""The short window; the long one is a day."""
SAME_WORDS_MS: Final = 60 * MINUTE_MS
LED_MS: Final = 60 * MINUTE_MS
"""How long what came from a peer is taken to lead to what goes to it, where no agent says what did."""
REFUSED_MOST_MS: Final = 2 * DAY_MS
"""Further ahead than any refusal lasts: one that ends later was noted by a clock that was wrong."""


class Trip(StrEnum):
    """What trips a breaker."""

    HOPS = "hop-limit"
    """Too many messages led to each other."""
    PAIR = "pair-limit"
    """Too much passed between the two agents."""
    SAME_WORDS = "same-words"
    BUDGET = "task-budget"
    """More messages in a task than its budget."""
    HELD = "after-held"
    """Something before it from the same agent is held."""


@attrs.frozen
class BreakerLimits:
    """How much may pass; each at least 1, `hops` at most 16. See `limits` for the reasons.

    `talk` counts messages and new tasks, `events` what is said in tasks under way, both directions together,
    in ten minutes and in a day. `repeats` is how often the same may be said in an hour. `budget` is for tasks
    whose request sets none.
    """

    hops: int = HOPS
    talk: int = PAIR_TALK
    talk_a_day: int = PAIR_TALK_A_DAY
    events: int = PAIR_EVENTS
    events_a_day: int = PAIR_EVENTS_A_DAY
    repeats: int = SAME_WORDS
    budget: int = TASK_BUDGET


DEFAULT_LIMITS: Final = BreakerLimits()


@attrs.frozen
class Tripped:
    """A breaker trips. `until` is when it lets something through again by itself; None: a person decides."""

    trip: Trip
    until: Instant | None = None


class Exchanges:
    """What passed between two agents since a person last decided; no more of it than the limits ask for."""

    def __init__(self, limits: BreakerLimits, known: Iterable[ExchangeRecord] = ()) -> None:
        """`known` is what was counted before, oldest first."""
        self._limits = limits
        self._talk: deque[tuple[Instant, Hash | None]] = deque()
        self._talk_most = max(limits.talk, limits.talk_a_day)
        self._said: dict[Hash, deque[Instant]] = {}
        """When which words were said, of the talk that is kept."""
        self._events: deque[Instant] = deque(maxlen=max(limits.events, limits.events_a_day))
        for exchange in known:
            self.count(exchange)

    def count(self, exchange: ExchangeRecord) -> None:
        """One more thing has passed."""
        if not exchange.talk:
            self._events.append(exchange.at)
            return
        self._talk.append((exchange.at, exchange.words))
        if exchange.words is not None:
            self._said.setdefault(exchange.words, deque()).append(exchange.at)
        if len(self._talk) > self._talk_most:
            _, words = self._talk.popleft()
            if words is not None:
                times = self._said[words]
                times.popleft()
                if not times:
                    del self._said[words]

    def forget(self) -> None:
        """A person has decided."""
        self._talk.clear()
        self._said.clear()
        self._events.clear()

    def talk_from(self, now: Instant, more: Sequence[ExchangeRecord] = ()) -> Instant | None:
        """When the two may exchange one more message or new task; None: now.

        `more` is what passes in the commit that is being made, oldest first, and is not counted yet.
        """
        if len(self._talk) + len(more) < min(self._limits.talk, self._limits.talk_a_day):
            return None
        times = [one.at for one in more if one.talk]

        def back(number: int) -> Instant:
            return times[-number] if number <= len(times) else self._talk[len(times) - number][0]

        count = len(self._talk) + len(times)
        return _later(
            _room_from(back, count, self._limits.talk, WINDOW_MS, now),
            _room_from(back, count, self._limits.talk_a_day, DAY_MS, now),
        )

    def event_from(self, now: Instant, more: Sequence[ExchangeRecord] = ()) -> Instant | None:
        """When there may be one more event of a task; None: now."""
        times = [one.at for one in more if not one.talk]

        def back(number: int) -> Instant:
            return times[-number] if number <= len(times) else self._events[len(times) - number]

        count = len(self._events) + len(times)
        return _later(
            _room_from(back, count, self._limits.events, WINDOW_MS, now),
            _room_from(back, count, self._limits.events_a_day, DAY_MS, now),
        )

    def words_from(self, words: Hash, now: Instant, more: Sequence[ExchangeRecord] = ()) -> Instant | None:
        """When these words may be said once more; None: now."""
        said = self._said.get(words, ())
        times = [one.at for one in more if one.talk and one.words == words]

        def back(number: int) -> Instant:
            return times[-number] if number <= len(times) else said[len(times) - number]

        return _room_from(back, len(said) + len(times), self._limits.repeats, SAME_WORDS_MS, now)


def _room_from(
    back: Callable[[int], Instant], count: int, most: int, span: int, now: Instant
) -> Instant | None:
    """When fewer than `most` of `count` lie within `span`; `back(n)` is when the last but n-1 was counted."""
    if count < most:
        return None
    free = Instant(back(most) + span)
    # What lies further ahead was counted by a clock that was.
    return free if now < free <= now + 2 * span else None


def _later(one: Instant | None, other: Instant | None) -> Instant | None:
    return other if one is None else one if other is None else max(one, other)


def judge_incoming(
    exchanges: Exchanges,
    limits: BreakerLimits,
    now: Instant,
    *,
    hop: int,
    words: Hash | None,
    more: Sequence[ExchangeRecord] = (),
) -> Tripped | None:
    """Whether what a peer sent is to be held: talk where `words` is given, else an event of a task.

    Talk that has come as far as hops go is held, since nobody could answer it. Events are bounded by their
    task, whatever `hop` they claim. `more` is what passes in the same commit before it.
    """
    if words is not None and hop >= limits.hops:
        return Tripped(Trip.HOPS)
    return _judge(exchanges, now, words, more)


def judge_outgoing(
    exchanges: Exchanges,
    limits: BreakerLimits,
    now: Instant,
    *,
    hop: int,
    words: Hash | None,
    more: Sequence[ExchangeRecord] = (),
) -> Tripped | None:
    """Whether our agent is to be refused to send this now; the arguments are those of `judge_incoming`."""
    if words is not None and hop > limits.hops:
        return Tripped(Trip.HOPS)
    return _judge(exchanges, now, words, more)


def _judge(
    exchanges: Exchanges, now: Instant, words: Hash | None, more: Sequence[ExchangeRecord]
) -> Tripped | None:
    if words is None:
        free = exchanges.event_from(now, more)
        return Tripped(Trip.PAIR, free) if free is not None else None
    free = exchanges.talk_from(now, more)
    if free is not None:
        return Tripped(Trip.PAIR, free)
    free = exchanges.words_from(words, now, more)
    return Tripped(Trip.SAME_WORDS, free) if free is not None else None


# --- What is the same ---------------------------------------------------------------------------------------


_NO_WORD: Final = bytes(code for code in range(128) if not chr(code).isalnum())


def normal_text(text: str) -> str:
    """A text as it is compared: letters and digits alone, without case, width or accents."""
    if text.isascii():
        # Most talk is, and what is below comes to the same.
        return text.lower().encode().translate(None, _NO_WORD).decode()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(char for char in folded if char.isalnum())


def words_of(body: Body) -> Hash | None:
    """What a message or a new task says, in the form that is compared; None for anything else."""
    match body:
        case TextMessage(text=text, parts=parts):
            said = [text]
        case TaskRequest(title=title, brief=brief, requirements=requirements, parts=parts):
            said = [title, brief, *requirements]
        case _:
            return None
    pieces = [sha256(normal_text(text).encode()) for text in said]
    return sha256(body.type_name.encode() + b"".join((*pieces, *map(_digest, parts))))


def _digest(part: Part) -> Hash:
    match part:
        case TextPart(text=text):
            return sha256(normal_text(text).encode())
        case JsonPart(json=json):
            return sha256(json.encode())
        case FilePart(sha256=digest) | BlobPart(sha256=digest):
            return digest


# --- Hops ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Lead:
    """What led to something: how many messages, and up to 8 of them, the last one last."""

    hop: int = 0
    cause: tuple[Hash, ...] = ()


def led_by(leads: Iterable[tuple[Hash, Lead]]) -> Lead:
    """The lead of what these messages, each with its own lead, led to; without any, a beginning.

    `hop` may come out above what an envelope can say: then it is not to be sent.
    """
    known = tuple(leads)
    if not known:
        return Lead()
    cause: dict[Hash, None] = {}
    for hash, lead in known:
        cause |= dict.fromkeys((*lead.cause, hash))
    return Lead(1 + max(lead.hop for _, lead in known), tuple(cause)[-CAUSES:])


# --- Stops --------------------------------------------------------------------------------------------------


def is_tripped(breaker: BreakerRecord, now: Instant) -> bool:
    """Whether it is to be shown to the owner: something is or will be held, or our agent is refused."""
    return breaker.latched or breaker.held > 0 or is_refused(breaker, now)


def is_refused(breaker: BreakerRecord, now: Instant) -> bool:
    """Whether our agent is refused to send, as the owner was told. No clock that was ahead has it last."""
    until = breaker.refused_until
    return until is not None and now < until <= now + REFUSED_MOST_MS


def tripped_by(breaker: BreakerRecord, trip: Trip, now: Instant) -> BreakerRecord:
    """The breaker once this tripped it; why and since when stay as they are while it is tripped."""
    if is_tripped(breaker, now):
        return breaker
    return attrs.evolve(breaker, code=trip.value, tripped_at=now)


def after_decision(breaker: BreakerRecord, now: Instant) -> BreakerRecord:
    """The breaker once a person has decided: as new."""
    return BreakerRecord(breaker.mine, breaker.peer, looked_at=now)


def stop_id(mine: AgentRef, peer: AgentRef, tripped_at: Instant) -> Hash:
    """What a stop is called: another one each time, so that no old answer decides on a new stop."""
    names = b"".join(len(text).to_bytes(1) + text for text in (mine.name.encode(), peer.name.encode()))
    return sha256(mine.account + peer.account + names + tripped_at.to_bytes(8))
