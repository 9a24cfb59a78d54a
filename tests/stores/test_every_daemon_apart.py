"""What every daemon store promises of a former agent: what it had is kept, and is not the next one's."""

import attrs
import pytest

from taskferry_protocol.former_names import former
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AppendEvent,
    ApprovalQuery,
    BreakerRecord,
    CardRecord,
    Direction,
    EventRecord,
    Flow,
    GateRecord,
    GateState,
    InboxState,
    LeaseRecord,
    Mark,
    MarkMessages,
    MessageQuery,
    NoteSeen,
    Order,
    OweReceipt,
    PeerWord,
    Place,
    PutBreaker,
    PutCard,
    PutGate,
    PutLeases,
    PutOutbox,
    PutPeerWord,
    RateRecord,
    ReceiptOwed,
    RecordRate,
    RecordSeen,
    RuntimeId,
    SaveApproval,
    SaveConnection,
    SaveTask,
    SeenKey,
    TaskQuery,
    UseSequence,
)
from taskferry_protocol.records.forgetting import SetApart
from taskferry_protocol.records.history import MessageFilter, TaskFilter

from .samples import NOW, agent, append, message, outbox, peer_connection, seen, sha, store, task
from .test_every_daemon_gates import question
from .test_every_daemon_search import asked, said

HELPER, OTHER, CODER = agent("alice/helper"), agent("alice/other"), agent("bob/coder")
GONE = former(HELPER, 1)
APART = SetApart(HELPER, 1)


async def page(daemon, **query):
    """The messages that a query finds."""
    found = await daemon.message_page(MessageQuery(**query), None, 10, Order.OLDEST_FIRST)
    return [one.hash for one in found.items]


async def test_messages_of_a_former_agent_are_found_under_its_own_name_alone(daemon):
    """By query, by search, in conversations and counts; those of the next agent under the name."""
    old, new = said("old", "the secret plan"), said("new", "the public plan")
    await daemon.commit([store(old)])
    await daemon.commit([APART, store(new)])
    for name, only in (("helper", new), ("helper~1", old)):
        assert await page(daemon, agent=name) == [only.hash]
        mine = frozenset({attrs.evolve(HELPER, name=name)})
        found = await daemon.messages_filtered(MessageFilter(asked("plan "), agents=mine), None, 10)
        assert [one.hash for one in found.items] == [only.hash]
        talks = await daemon.talks(tuple(mine), None, None, 10)
        assert [(talk.last.hash, talk.messages) for talk in talks.items] == [(only.hash, 1)]
    assert await page(daemon) == [old.hash, new.hash]
    counted = await daemon.counts(["helper"])
    assert counted.inbox["helper"].unread == 1
    ((kept,),) = (await daemon.messages([old.hash])).values()
    assert kept == attrs.evolve(old, mine=GONE, place=kept.place)


async def test_what_becomes_of_a_former_agents_message_is_noted_with_it(daemon):
    """By the name that its row has now; under the former name there is nothing to mark."""
    old = message("m", direction=Direction.IN, inbox=InboxState.UNREAD)
    await daemon.commit([store(old), APART])
    await daemon.commit([MarkMessages("helper", (old.hash,), Mark.READ, NOW)])
    ((kept,),) = (await daemon.messages([old.hash])).values()
    assert kept.inbox is InboxState.UNREAD
    await daemon.commit([MarkMessages("helper~1", (old.hash,), Mark.READ, NOW)])
    ((kept,),) = (await daemon.messages([old.hash])).values()
    assert kept.inbox is InboxState.READ


async def test_another_agents_talk_with_a_former_one_says_with_whom_it_was(daemon):
    """Both were the owner's."""
    talk = message("m", "alice/other", "alice/helper")
    await daemon.commit([store(talk), APART])
    assert await page(daemon, agent="other", peer=GONE) == [talk.hash]
    assert await page(daemon, agent="other", peer=HELPER) == []


async def test_tasks_gates_and_breakers_go_with_the_former_agent(daemon):
    """And are not found among those of the next."""
    old = task("t")
    gate = GateRecord(old.task, HELPER, CODER, GateState.DECLINED, NOW)
    stopped = BreakerRecord(HELPER, CODER, "rate", NOW)
    await daemon.commit([SaveTask(old), PutGate(gate), PutBreaker(stopped)])
    await daemon.commit([APART])
    assert (await daemon.task_page(TaskQuery(agent="helper"), None, 10)).items == ()
    query = TaskFilter(agents=frozenset({HELPER}))
    assert (await daemon.tasks_filtered(query, None, 10)).items == ()
    (row,) = (await daemon.task_page(TaskQuery(agent="helper~1"), None, 10)).items
    assert (row.task, row.mine, row.open) == (old.task, GONE, False)
    assert (await daemon.counts([])).open == ()
    assert (await daemon.gates([old.task]))[old.task].mine == GONE
    flows = (Flow(HELPER, CODER), Flow(GONE, CODER))
    assert list(await daemon.breakers(flows)) == [flows[1]]


async def test_no_task_with_a_former_agent_is_open_to_another_of_the_owners(daemon):
    """Both were the owner's, and nobody answers any more."""
    other = task("t", mine=OTHER, peer=HELPER)
    await daemon.commit([SaveTask(other)])
    assert [one.count for one in (await daemon.counts([])).open] == [1]
    await daemon.commit([APART])
    assert (await daemon.counts([])).open == ()
    ((row,),) = (await daemon.tasks([other.task])).values()
    assert (row.peer, row.open) == (GONE, False)


async def test_the_feed_and_what_a_former_agent_asked_are_its_own(daemon):
    """Lines that come later are the next one's."""
    line = EventRecord("message", "helper", (), "{}", NOW)
    asked_before = SaveApproval(question("q", agent="helper"))
    await daemon.commit([AppendEvent(line), asked_before, APART, AppendEvent(line)])
    lines = [len((await daemon.events(Place(0), 10, {name})).items) for name in ("helper", "helper~1")]
    assert lines == [1, 1]
    for name, count in (("helper", 0), ("helper~1", 1)):
        found = await daemon.approval_page(ApprovalQuery(agent=name), None, 10, Order.OLDEST_FIRST)
        assert len(found.items) == count


async def test_what_binds_whoever_has_the_name_stays_with_it(daemon):
    """Connections and blocks, rates, numbers, cards, the word of peers, and what waits to be sent to it."""
    record = peer_connection("alice/helper", "bob/coder")
    flow = Flow(CODER, HELPER)
    word = PeerWord(HELPER, CODER, True, None, NOW)
    await daemon.commit([append("alice"), append("bob")])
    await daemon.commit(
        [
            SaveConnection(record),
            RecordRate(flow, RateRecord(1, NOW)),
            UseSequence(HELPER, 1),
            PutCard(CardRecord(HELPER, 3, public=True, raw=b"card")),
            PutPeerWord(word),
            PutOutbox(outbox("o", to="alice/helper")),
            APART,
        ]
    )
    (kept,) = (await daemon.connections_of("helper", 0, 10)).items
    assert kept.mine == HELPER
    assert {grant.grantor for grant in kept.grants} == {grant.grantor for grant in record.grants}
    assert list(await daemon.rates([flow])) == [flow]
    assert await daemon.sequences([HELPER]) == {HELPER: 1}
    assert (await daemon.cards([HELPER]))[HELPER].version == 3
    assert await daemon.peer_words([Flow(HELPER, CODER)]) == {Flow(HELPER, CODER): word}
    assert (await daemon.outbox([sha("o")]))[sha("o")].to == HELPER
    await daemon.commit([UseSequence(HELPER, 2)])


async def test_what_a_former_agent_held_and_owed_is_forgotten(daemon):
    """Its leases, its receipts, and when somebody acted as it."""
    owed = ReceiptOwed(sha("m"), HELPER, CODER, "applied", "", NOW)
    lease = LeaseRecord(sha("m"), "helper", RuntimeId(b"r" * 16), 1, NOW)
    await daemon.commit([OweReceipt(owed), PutLeases((lease,)), NoteSeen("helper", NOW)])
    assert await daemon.agents_seen() == {"helper": NOW}
    await daemon.commit([APART])
    assert await daemon.receipts_owed(10) == ()
    assert await daemon.leases("helper", [sha("m")]) == {}
    assert await daemon.agents_seen() == {}


async def test_an_envelope_that_a_former_agent_was_sent_is_known_when_it_comes_again(daemon):
    """It is no news to the next one."""
    before = seen("s", to=HELPER)
    await daemon.commit([RecordSeen(before), APART])
    key = SeenKey(before.device, before.id, HELPER, before.seq)
    found = (await daemon.seen([key]))[key]
    assert found.by_id == attrs.evolve(before, to=GONE)
    assert found.by_seq is None


async def test_each_former_agent_of_a_name_is_another(daemon):
    """However many there were, and whichever number is asked for."""
    old, new = message("old"), message("new")
    await daemon.commit([store(old), APART, store(new)])
    await daemon.commit([APART])
    assert await page(daemon, agent="helper") == []
    assert [await page(daemon, agent=f"helper~{n}") for n in (1, 2)] == [[old.hash], [new.hash]]


@pytest.mark.parametrize("known", [True, False])
async def test_nothing_is_set_apart_in_a_commit_that_fails(daemon, known):
    """Also what was written under the name in that very commit."""
    old = message("old")
    if known:
        await daemon.commit([store(old)])
    with pytest.raises(Exception, match="number used"):
        await daemon.commit([APART, store(message("new")), UseSequence(HELPER, 7)])
    await daemon.commit([store(message("later", stored_at=Instant(NOW + 1)))])
    assert len(await page(daemon, agent="helper")) == 1 + known
    assert await page(daemon, agent="helper~1") == []
