"""What the breakers do here: they hold what comes, refuse what would go, and let a person's word count.

A breaker never touches what is folded or receipted: what it holds is kept in full, and its sender is told the
truth, `delivered`. It decides what an agent is shown and woken for.
"""

from __future__ import annotations

import math
from typing import Final, NoReturn

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.breakers import (
    BreakerLimits,
    Lead,
    Trip,
    Tripped,
    after_decision,
    is_refused,
    is_tripped,
    judge_incoming,
    judge_outgoing,
    tripped_by,
    words_of,
)
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.links import EventType
from taskferry_protocol.messages import Body, Content
from taskferry_protocol.records import (
    BreakerRecord,
    CountExchange,
    ExchangeRecord,
    ForgetExchanges,
    InboxState,
    MessageQuery,
    Order,
    PutBreaker,
)
from taskferry_protocol.task_actions import ENDING

from .arrival import Arrival
from .bounds import BOUNDS
from .core import Core
from .draft import Draft
from .names import handle_of
from .pairs import Pair
from .port import DaemonRefusal
from .taskbook import Held

__all__ = [
    "HELD_BYTES",
    "HELD_ITEMS",
    "WORDS",
    "budget_of",
    "count_sent",
    "count_shown",
    "count_words",
    "gate_reason",
    "permit_event",
    "permit_talk",
    "person_decided",
    "screen_event",
    "screen_talk",
    "tripped_breakers",
]

HELD_ITEMS: Final = BOUNDS.held_items
HELD_BYTES: Final = BOUNDS.held_bytes

#: How many are listed at once: pairs are connections of the owner's.
_MOST: Final = 500

WORDS: Final = {
    Trip.HOPS: "too many messages led to each other",
    Trip.PAIR: "too much passed between the two agents without a person",
    Trip.SAME_WORDS: "the same was said over and over",
    Trip.BUDGET: "a task went over its budget of messages",
    Trip.HELD: "something before it is held",
}
"""What tripped a breaker, in words."""


# --- What comes ---------------------------------------------------------------------------------------------


async def screen_talk(arrival: Arrival) -> InboxState:
    """Where a peer's message goes: before our agent, or to the owner first.

    Raises RemoteProtocolError(too-many) where no more of this peer's is held.
    """
    draft, mine, peer = arrival.draft, arrival.mine, arrival.peer
    words = words_of(arrival.content.body)
    pair, tripped = await _look(arrival, words)
    if tripped is None:
        _count(draft, mine, peer, arrival.hash, words, inbound=True)
        return InboxState.UNREAD
    if not _has_room(pair.breaker, arrival):
        raise RemoteProtocolError(
            RejectCode.TOO_MANY, "more of this agent's is held for the owner than is kept"
        )
    await _hold(arrival, pair.breaker, tripped)
    return InboxState.STOPPED


async def gate_reason(arrival: Arrival) -> str:
    """Why a breaker sends a peer's new task to the gate, as a code; "" if none does.

    The breaker stays tripped, so that what comes later does not overtake it.
    """
    pair, tripped = await _look(arrival, words_of(arrival.content.body))
    if tripped is None:
        return ""
    if not pair.breaker.latched:
        tripped_now = tripped_by(pair.breaker, tripped.trip, arrival.draft.now)
        await _put(arrival.draft, pair.breaker, attrs.evolve(tripped_now, latched=True))
    return tripped.trip.value


def count_shown(arrival: Arrival) -> None:
    """Count a new task that is put before our agent at once."""
    _count(
        arrival.draft, arrival.mine, arrival.peer, arrival.hash, words_of(arrival.content.body), inbound=True
    )


async def screen_event(arrival: Arrival, held: Held, after: Held) -> InboxState:
    """Where an event goes that was folded into a task which our agent sees; `held` is the task without it.

    One that ends the task passes, unless something of that task is held.
    """
    draft, mine, peer = arrival.draft, arrival.mine, arrival.peer
    ends = after.view.is_final and not held.view.is_final
    words = words_of(arrival.content.body)
    pair, tripped = await _look(arrival, words)
    budget = budget_of(after, pair.limits)
    over = budget is not None and after.view.spent > budget
    if over and tripped is None:
        tripped = Tripped(Trip.BUDGET)
    if tripped is None:
        _count(draft, mine, peer, arrival.hash, words, inbound=True)
        return InboxState.UNREAD
    if ends and not await _is_any_stopped(draft.core, mine, held.task):
        return InboxState.UNREAD
    if not _has_room(pair.breaker, arrival):
        return InboxState.QUIET
    await _hold(arrival, pair.breaker, tripped)
    return InboxState.STOPPED


def budget_of(held: Held, limits: BreakerLimits) -> int | None:
    """How many messages a task may have, by its request or else by these limits; None without a request."""
    terms = held.view.terms
    if terms is None:
        return None
    return limits.budget if terms.budget is None else terms.budget


async def _look(arrival: Arrival, words: Hash | None) -> tuple[Pair, Tripped | None]:
    draft = arrival.draft
    pair = await draft.core.pairs.of(arrival.mine, arrival.peer, draft.now)
    if pair.breaker.latched:
        return pair, Tripped(Trip.HELD)
    hop, more = arrival.content.hop, draft.passed(arrival.mine, arrival.peer)
    return pair, judge_incoming(pair.exchanges, pair.limits, draft.now, hop=hop, words=words, more=more)


def _size(arrival: Arrival) -> int:
    return len(arrival.decision.envelope.raw)


def _has_room(breaker: BreakerRecord, arrival: Arrival) -> bool:
    return breaker.held < HELD_ITEMS and breaker.size + _size(arrival) <= HELD_BYTES


async def _is_any_stopped(core: Core, mine: AgentRef, task: Hash) -> bool:
    query = MessageQuery(agent=mine.name, task=task, inbox=frozenset({InboxState.STOPPED}))
    return bool((await core.store.message_page(query, None, 1, Order.OLDEST_FIRST)).items)


async def _hold(arrival: Arrival, breaker: BreakerRecord, tripped: Tripped) -> None:
    now = arrival.draft.now
    # A task over its budget is a matter of that task: nothing else waits for it.
    latched = breaker.latched or tripped.trip is not Trip.BUDGET
    after = attrs.evolve(
        tripped_by(breaker, tripped.trip, now),
        latched=latched,
        held=breaker.held + 1,
        size=breaker.size + _size(arrival),
    )
    await _put(arrival.draft, breaker, after)


async def _put(draft: Draft, before: BreakerRecord, after: BreakerRecord) -> None:
    """Store it, and tell the owner."""
    peer, mine = await handle_of(draft.core, after.peer), after.mine.name
    draft.add(PutBreaker(after))
    draft.tell("breaker", "", (), code=after.code, mine=mine, peer=peer, held=after.held)
    if after.tripped_at != before.tripped_at:
        draft.audit(AuditKind.BREAKER, peer, code=after.code, mine=mine)


# --- What goes ----------------------------------------------------------------------------------------------


async def permit_talk(draft: Draft, mine: AgentRef, peer: AgentRef, lead: Lead, body: Body) -> Hash | None:
    """What it says, in the form that is compared, if our agent may send it now. Raises DaemonRefusal.

    Codes: hop-limit, same-words, pair-limit. The owner is shown what was refused.
    """
    pair = await draft.core.pairs.of(mine, peer, draft.now)
    words = words_of(body)
    more = draft.passed(mine, peer)
    tripped = judge_outgoing(pair.exchanges, pair.limits, draft.now, hop=lead.hop, words=words, more=more)
    if tripped is not None:
        await _refuse(draft.core, pair.breaker, tripped)
    return words


async def permit_event(draft: Draft, mine: AgentRef, peer: AgentRef, kind: EventType) -> None:
    """Nothing if our agent may say this in a task now; what ends one always may. Raises DaemonRefusal."""
    if kind in ENDING:
        return
    pair = await draft.core.pairs.of(mine, peer, draft.now)
    more = draft.passed(mine, peer)
    tripped = judge_outgoing(pair.exchanges, pair.limits, draft.now, hop=0, words=None, more=more)
    if tripped is not None:
        await _refuse(draft.core, pair.breaker, tripped)


def count_sent(draft: Draft, mine: AgentRef, peer: AgentRef, hash: Hash, content: Content) -> None:
    """Count what our agent sends, in the commit that does."""
    count_words(draft, mine, peer, hash, words_of(content.body))


def count_words(draft: Draft, mine: AgentRef, peer: AgentRef, hash: Hash, words: Hash | None) -> None:
    """The same of what `permit_talk` allowed, by the words that it gave."""
    _count(draft, mine, peer, hash, words, inbound=False)


def _count(
    draft: Draft, mine: AgentRef, peer: AgentRef, hash: Hash, words: Hash | None, *, inbound: bool
) -> None:
    exchange = ExchangeRecord(mine, peer, hash, draft.now, inbound, words is not None, words)
    draft.add(CountExchange(exchange))


async def _refuse(core: Core, breaker: BreakerRecord, tripped: Tripped) -> NoReturn:
    """Tell the owner, unless that is told already, and refuse."""
    draft = Draft(core)
    until = tripped.until or Instant(draft.now + DAY_MS)
    if not is_refused(breaker, draft.now):
        tripped_now = tripped_by(breaker, tripped.trip, draft.now)
        await _put(draft, breaker, attrs.evolve(tripped_now, refused_until=until))
        await draft.commit()
    peer = await handle_of(core, breaker.peer)
    text = f"Nothing more goes to {peer} now: {WORDS[tripped.trip]}."
    if tripped.until is None:
        raise DaemonRefusal(tripped.trip.value, text, "A person has to look: taskferry approvals", status=409)
    wait = max(1, math.ceil((tripped.until - draft.now) / 1_000))
    minutes = max(1, math.ceil((tripped.until - draft.now) / MINUTE_MS))
    raise DaemonRefusal(
        tripped.trip.value,
        text,
        f"It goes on by itself in {minutes} min, or once the owner has looked: taskferry approvals",
        status=429,
        detail={"retry_after": wait},
    )


# --- What is stopped ----------------------------------------------------------------------------------------


async def tripped_breakers(core: Core) -> tuple[BreakerRecord, ...]:
    """The breakers that are tripped now, the first to trip first."""
    now = core.now()
    return tuple(breaker for breaker in await core.store.breakers_tripped(_MOST) if is_tripped(breaker, now))


# --- A person -----------------------------------------------------------------------------------------------


async def person_decided(draft: Draft, mine: AgentRef, peer: AgentRef) -> None:
    """The owner has decided about something between the two: counts and hops begin anew.

    What is held stays so until it is decided on itself.
    """
    pair = await draft.core.pairs.of(mine, peer, draft.now)
    breaker = pair.breaker
    if breaker.held or breaker.latched:
        draft.add(PutBreaker(attrs.evolve(breaker, looked_at=draft.now, refused_until=None)))
    else:
        draft.add(PutBreaker(after_decision(breaker, draft.now)))
    draft.add(ForgetExchanges(mine, peer))
