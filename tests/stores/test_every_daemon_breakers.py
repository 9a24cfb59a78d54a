"""What every daemon store promises about exchanges, breakers and what they stop."""

import attrs

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    BreakerRecord,
    Counted,
    CountExchange,
    DropStopped,
    ExchangeRecord,
    Flow,
    ForgetExchanges,
    GateState,
    InboxState,
    Mark,
    MarkMessages,
    PutBreaker,
    PutGate,
    PutSetting,
    RuleUse,
    ShowMessages,
    UseRule,
)
from taskferry_protocol.records import GateRecord as Gate
from taskferry_stores.port import ConflictKind
from taskferry_stores.sqlite import open_daemon_store

from .samples import DAY, NOW, flow, message, refused, sha, store

PAIR = flow("alice/helper", "bob/coder")
STOPPED = InboxState.STOPPED


def exchange(text, at=0, pair=PAIR, **more):
    """Talk that came."""
    fields = {"inbound": True, "talk": True, "words": sha("words")}
    return ExchangeRecord(pair.from_, pair.to, sha(text), Instant(NOW + at), **(fields | more))


def breaker(pair=PAIR, **more):
    """A breaker that tripped."""
    tripped = BreakerRecord(pair.from_, pair.to, "pair-limit", NOW, 2, 900, latched=True)
    return attrs.evolve(tripped, **more)


async def test_exchanges_are_listed_by_pair_and_the_newest_are_kept_to(daemon):
    """The newest come back, oldest first, and nothing of another pair."""
    event = exchange("c", 20, inbound=False, talk=False, words=None)
    other = exchange("x", 5, flow("alice/helper", "carol/coder"))
    every = [exchange("a"), exchange("b", 10), event]
    await daemon.commit([CountExchange(one) for one in (*every, other)])
    assert await daemon.exchanges(PAIR, Instant(NOW - 1), 10) == tuple(every)
    assert await daemon.exchanges(PAIR, NOW, 10) == tuple(every[1:])
    assert await daemon.exchanges(PAIR, Instant(NOW - 1), 2) == tuple(every[1:])
    assert await daemon.exchanges(Flow(PAIR.to, PAIR.from_), Instant(0), 10) == ()
    assert await daemon.exchanges(flow("alice/helper", "nobody/x"), Instant(0), 10) == ()


async def test_exchanges_of_a_clock_that_was_ahead_are_forgotten(daemon):
    """They would stand before all that passes for years; those of some hours ahead stay."""
    ahead = [exchange("a", 400 * DAY), exchange("b", DAY - 1)]
    await daemon.commit([CountExchange(one) for one in ahead])
    await daemon.commit([CountExchange(exchange("c"))])
    assert [one.hash for one in await daemon.exchanges(PAIR, Instant(0), 10)] == [sha("c"), sha("b")]


async def test_exchanges_of_yesterday_are_forgotten(daemon):
    """What is counted drops what is more than a day older, of that pair alone."""
    other = flow("alice/helper", "carol/coder")
    await daemon.commit([CountExchange(exchange("a")), CountExchange(exchange("x", 0, other))])
    await daemon.commit([CountExchange(exchange("b", DAY - 1))])
    assert len(await daemon.exchanges(PAIR, Instant(0), 10)) == 2
    await daemon.commit([CountExchange(exchange("c", DAY))])
    assert [one.hash for one in await daemon.exchanges(PAIR, Instant(0), 10)] == [sha("b"), sha("c")]
    assert len(await daemon.exchanges(other, Instant(0), 10)) == 1


async def test_exchanges_are_forgotten_when_a_person_decides(daemon):
    """All of one pair go, and only in a commit that succeeds."""
    other = flow("alice/helper", "carol/coder")
    await daemon.commit([CountExchange(exchange("a")), CountExchange(exchange("x", 0, other))])
    forget = ForgetExchanges(PAIR.from_, PAIR.to)
    await refused(daemon, ConflictKind.UNKNOWN, forget, UseRule(sha("r"), RuleUse.TASK, sha("s"), NOW))
    assert len(await daemon.exchanges(PAIR, Instant(0), 10)) == 1
    assert await daemon.commit([forget, forget]) == (Counted(1), Counted(0))
    assert await daemon.exchanges(PAIR, Instant(0), 10) == ()
    assert len(await daemon.exchanges(other, Instant(0), 10)) == 1


async def test_what_was_read_last_is_told(daemon):
    """Only talk that came from that peer, counts, is not too old and was read by our agent."""
    every = [exchange("a"), exchange("b", 10), exchange("c", 20), exchange("d", 30, talk=False, words=None)]
    sent = exchange("e", 40, inbound=False)
    await daemon.commit([store(message(text)) for text in "abcde"])
    await daemon.commit([CountExchange(one) for one in (*every, sent)])
    assert await daemon.last_read(PAIR, Instant(0)) is None
    await daemon.commit([MarkMessages("helper", tuple(map(sha, "abde")), Mark.READ, NOW)])
    assert await daemon.last_read(PAIR, Instant(0)) == every[1]
    assert await daemon.last_read(PAIR, Instant(NOW + 10)) is None
    assert await daemon.last_read(flow("alice/helper", "carol/coder"), Instant(0)) is None
    assert await daemon.last_read(Flow(PAIR.to, PAIR.from_), Instant(0)) is None


async def test_breakers_are_kept_by_pair_and_listed_while_they_are_tripped(daemon):
    """The first to trip comes first; one that a person decided on is kept, and not listed."""
    other = flow("alice/helper", "carol/coder")
    first, second = breaker(), breaker(other, tripped_at=Instant(NOW - 5), refused_until=Instant(NOW + 9))
    await daemon.commit([PutBreaker(first), PutBreaker(second)])
    assert await daemon.breakers([PAIR, flow("alice/helper", "x/y")]) == {PAIR: first}
    assert await daemon.breakers_tripped(10) == (second, first)
    assert await daemon.breakers_tripped(1) == (second,)
    decided = BreakerRecord(PAIR.from_, PAIR.to, looked_at=NOW)
    await daemon.commit([PutBreaker(decided)])
    assert await daemon.breakers([PAIR, other]) == {PAIR: decided, other: second}
    assert await daemon.breakers_tripped(10) == (second,)


async def test_stopped_messages_are_shown_in_the_order_that_is_asked(daemon):
    """They are listed oldest first, are in no inbox, and are shown once, as new."""
    await daemon.commit([store(message(text, inbox=STOPPED)) for text in ("one", "two", "three")])
    await daemon.commit([store(message("other", peer="carol/coder", inbox=STOPPED))])
    stopped = await daemon.stopped(PAIR, 10)
    assert [one.hash for one in stopped] == [sha("one"), sha("two"), sha("three")]
    assert len(await daemon.stopped(PAIR, 2)) == 2
    assert (await daemon.inbox_counts(["helper"]))["helper"].unread == 0
    await daemon.commit([MarkMessages("helper", (sha("one"),), Mark.PROCESSED, NOW)])
    assert len(await daemon.stopped(PAIR, 10)) == 3, "nobody processes what was not shown"
    shown = tuple(one.hash for one in reversed(stopped))
    assert await daemon.commit([ShowMessages("helper", shown)]) == (Counted(3),)
    places = [(await daemon.messages([hash]))[hash][0].place for hash in shown]
    assert places == sorted(places)
    assert await daemon.stopped(PAIR, 10) == ()
    assert (await daemon.inbox_counts(["helper"]))["helper"].unread == 3


async def test_stopped_messages_that_are_dropped_stay_as_history(daemon):
    """They are dropped once, and nothing that is not stopped is."""
    await daemon.commit([store(message("held", inbox=STOPPED)), store(message("shown"))])
    drop = DropStopped("helper", (sha("held"), sha("shown"), sha("none")))
    assert await daemon.commit([DropStopped("other", drop.hashes), drop, drop]) == (
        Counted(0),
        Counted(1),
        Counted(0),
    )
    assert (await daemon.messages([sha("held")]))[sha("held")][0].inbox is InboxState.DROPPED
    assert (await daemon.messages([sha("shown")]))[sha("shown")][0].inbox is InboxState.UNREAD


async def test_gate_says_which_breaker_sent_a_task_there(daemon):
    """The reason is kept with the gate."""
    gate = Gate(sha("t"), PAIR.from_, PAIR.to, GateState.WAITING, NOW, why="pair-limit")
    await daemon.commit([PutGate(gate), PutSetting("x", b"y")])
    assert await daemon.gates_waiting(None, 10) == (gate,)
    decided = attrs.evolve(gate, state=GateState.RELEASED, why="")
    await daemon.commit([PutGate(decided)])
    assert (await daemon.gates([gate.task]))[gate.task] == decided


async def test_breakers_outlive_the_process(tmp_path):
    """What passed, how breakers stand and what is stopped is there when the file is opened again."""
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        await daemon.commit([CountExchange(exchange("a")), PutBreaker(breaker())])
        await daemon.commit([store(message("held", inbox=STOPPED))])
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        assert await daemon.exchanges(PAIR, Instant(0), 10) == (exchange("a"),)
        assert await daemon.breakers_tripped(10) == (breaker(),)
        assert [one.hash for one in await daemon.stopped(PAIR, 10)] == [sha("held")]
