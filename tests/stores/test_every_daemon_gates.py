"""What every daemon store promises about gates, standing rules, questions and requests that are over."""

import attrs
import pytest

from taskferry_protocol.breakers import is_tripped
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AddTaskEvent,
    ApprovalQuery,
    ApprovalRecord,
    ApprovalScope,
    BreakerRecord,
    ConnectionQuery,
    Counted,
    DropProposal,
    ForgetTask,
    GateRecord,
    InboxState,
    Mark,
    MarkMessages,
    MessageQuery,
    Order,
    ProposalRecord,
    PurgeApprovals,
    PurgeProposals,
    PutBreaker,
    PutGate,
    PutProposal,
    PutQuarantine,
    PutRule,
    PutSetting,
    QuarantineRecord,
    RuleRecord,
    RuleUse,
    SaveApproval,
    SaveConnection,
    Saved,
    SaveTask,
    ShowMessages,
    TaskEventRecord,
    UseRule,
    WaitingCounts,
)
from taskferry_protocol.records import ApprovalState as Asked
from taskferry_protocol.records import ConnectionState as State
from taskferry_protocol.records import GateState as Gate
from taskferry_stores.port import ConflictKind
from taskferry_stores.sqlite import open_daemon_store

from .samples import DAY, NOW, account, agent, grant, message, peer_connection, refused, sha, store, task


def gate(text, mine="alice/helper", **more):
    """A task that waits."""
    return GateRecord(sha(text), agent(mine), agent("bob/coder"), Gate.WAITING, NOW, **more)


def question(text, **more):
    """A question of an agent."""
    fields = {
        "subject": sha("about"),
        "agent": "helper",
        "action": "shell",
        "what": "make",
        "why": "to build",
    }
    fields |= {"task": None, "state": Asked.ASKED, "asked_at": NOW, "expires_at": Instant(NOW + 60)}
    return ApprovalRecord(id=sha(text), **(fields | more))


def allowed(n):
    """What is allowed by one of several connections."""
    request = peer_connection("alice/helper", "bob/coder", n=n).request
    return grant(request, "alice/helper", 1)


RULE = RuleRecord(sha("rule"), account("bob"), "", "helper", 2, Instant(NOW + DAY), "{}", NOW)


async def test_gate_is_kept_and_listed_while_it_waits(daemon):
    """What waits is listed by agent, the first to come first, and leaves the list when it is decided."""
    first, second, other = gate("a"), gate("b"), gate("c", "alice/other")
    await daemon.commit([PutGate(first), PutGate(second), PutGate(other)])
    assert await daemon.gates([first.task, sha("none")]) == {first.task: first}
    assert await daemon.gates_waiting("helper", 10) == (first, second)
    assert await daemon.gates_waiting(None, 2) == (first, second)
    decided = attrs.evolve(first, state=Gate.RELEASED, decided_at=Instant(NOW + 5), by="owner")
    await daemon.commit([PutGate(decided)])
    assert await daemon.gates_waiting(None, 10) == (second, other)
    assert (await daemon.gates([first.task]))[first.task] == decided


async def test_task_is_forgotten_with_its_gate_and_its_messages_stay(daemon):
    """Rows, events and gate of one task go, in the commit that says so; it can begin anew in the same."""
    records = {name: message(name) for name in "ab"}
    one, other = (
        TaskEventRecord(sha(of), records[name].hash, "worker", records[name].device, NOW, NOW)
        for name, of in (("a", "t"), ("b", "u"))
    )
    await daemon.commit([*map(store, records.values()), AddTaskEvent(one), AddTaskEvent(other)])
    await daemon.commit([SaveTask(task("t")), SaveTask(task("u")), PutGate(gate("t")), PutGate(gate("u"))])
    await refused(daemon, ConflictKind.REVISION, ForgetTask(sha("t")), SaveTask(task("u")))
    assert len((await daemon.tasks([sha("t")]))[sha("t")]) == 1
    anew = attrs.evolve(task("t"), title="anew")
    await daemon.commit([ForgetTask(sha("t")), SaveTask(anew), ForgetTask(sha("x"))])
    ((row,),) = (await daemon.tasks([sha("t")])).values()
    assert (row.title, row.revision) == ("anew", 1)
    left = await daemon.task_events([sha("t"), sha("u")])
    assert {of: [held.hash for held in events] for of, events in left.items()} == {sha("u"): [other.hash]}
    assert set(await daemon.gates([sha("t"), sha("u")])) == {sha("u")}
    assert set(await daemon.messages([sha("a")])) == {sha("a")}


async def test_held_message_is_shown_as_new(daemon):
    """A message that was held is in no inbox, and comes after all others once it is shown, exactly once."""
    held = message("held", inbox=InboxState.HELD)
    await daemon.commit([store(held), store(message("later"))])
    waiting = MessageQuery(agent="helper", inbox=frozenset({InboxState.UNREAD, InboxState.READ}))
    before = await daemon.message_page(waiting, None, 10, Order.OLDEST_FIRST)
    assert [found.hash for found in before.items] == [sha("later")]
    assert (await daemon.inbox_counts(["helper"]))["helper"].unread == 1
    assert await daemon.commit([ShowMessages("other", (held.hash,))]) == (Counted(0),)
    assert await daemon.commit([ShowMessages("helper", (held.hash, sha("later"), sha("x")))]) == (Counted(1),)
    assert await daemon.commit([ShowMessages("helper", (held.hash,))]) == (Counted(0),)
    # A program that reads on from where it was finds it.
    after = await daemon.message_page(waiting, before.items[0].place, 10, Order.OLDEST_FIRST)
    (shown,) = after.items
    assert shown == attrs.evolve(held, inbox=InboxState.UNREAD, place=shown.place)
    await daemon.commit([MarkMessages("helper", (held.hash,), Mark.READ, NOW)])
    assert (await daemon.inbox_counts(["helper"]))["helper"].read == 1


async def test_what_is_shown_belongs_to_its_commit(daemon):
    """A commit that fails leaves a held message held, at its place."""
    held = message("held", inbox=InboxState.HELD)
    await daemon.commit([store(held)])
    before = (await daemon.messages([held.hash]))[held.hash]
    await refused(daemon, ConflictKind.UNKNOWN, ShowMessages("helper", (held.hash,)), _use("a", NOW))
    assert (await daemon.messages([held.hash]))[held.hash] == before


def _use(subject, at, use=RuleUse.TASK):
    return UseRule(RULE.id, use, sha(subject), Instant(at))


async def test_what_a_rule_did_by_a_clock_that_was_ahead_uses_up_no_later_day(daemon):
    """It would allow nothing more for years."""
    await daemon.commit([PutRule(RULE), _use("a", NOW + 400 * DAY), _use("b", NOW + 10)])
    assert await daemon.rule_uses([RULE.id], RuleUse.TASK, Instant(NOW - DAY)) == {RULE.id: 1}
    assert await daemon.rule_uses([RULE.id], RuleUse.TASK, Instant(NOW + 399 * DAY)) == {RULE.id: 1}


async def test_rule_counts_what_it_did(daemon):
    """Uses are counted by kind and day; the whole count stays when the rule is changed or removed."""
    await refused(daemon, ConflictKind.UNKNOWN, PutSetting("x", b"y"), _use("a", NOW))
    assert await daemon.settings(["x"]) == {}
    await daemon.commit([PutRule(RULE), _use("a", NOW), _use("b", NOW + 10)])
    await daemon.commit([_use("c", NOW + 10, RuleUse.CONNECTION)])
    assert await daemon.rule_uses([RULE.id], RuleUse.TASK, Instant(NOW - 1)) == {RULE.id: 2}
    assert await daemon.rule_uses([RULE.id, sha("x")], RuleUse.TASK, NOW) == {RULE.id: 1, sha("x"): 0}
    await daemon.commit([_use("d", NOW + DAY)])
    assert await daemon.rule_uses([RULE.id], RuleUse.TASK, Instant(NOW - 1)) == {RULE.id: 2}
    removed = attrs.evolve(RULE, removed_at=NOW, tasks_per_day=2**64 - 1, until=None, mine="")
    await daemon.commit([PutRule(removed)])
    assert await daemon.standing_rules() == (attrs.evolve(removed, used=4),)


async def test_question_is_saved_from_the_revision_that_was_read(daemon):
    """Nobody answers a question that somebody else has answered meanwhile; every field survives."""
    asked = question("q", task=sha("task"))
    assert await daemon.commit([SaveApproval(asked)]) == (Saved(1),)
    await refused(daemon, ConflictKind.REVISION, SaveApproval(asked))
    held = (await daemon.approvals([asked.id, sha("x")]))[asked.id]
    assert held == attrs.evolve(asked, revision=1, place=held.place)
    answered = attrs.evolve(
        held, state=Asked.APPROVED, scope=ApprovalScope.TASK, decided_at=NOW, by="owner", answer="Go",
        used_at=Instant(NOW + 1),
    )  # fmt: skip
    await daemon.commit([SaveApproval(answered)])
    await refused(daemon, ConflictKind.REVISION, SaveApproval(answered))
    assert await daemon.approvals([asked.id]) == {asked.id: attrs.evolve(answered, revision=2)}


@pytest.mark.parametrize("order", list(Order))
async def test_questions_are_listed_page_by_page(daemon, order):
    """By agent, by what they are about, by state; each once, in either order."""
    for n in range(5):
        await daemon.commit([SaveApproval(question(f"q{n}", state=[Asked.ASKED, Asked.DENIED][n % 2]))])
    await daemon.commit([SaveApproval(question("other", agent="other", subject=sha("else")))])
    names = [sha(f"q{n}") for n in range(5)]
    wanted = names if order is Order.OLDEST_FIRST else names[::-1]
    query = ApprovalQuery(agent="helper")
    first = await daemon.approval_page(query, None, 3, order)
    second = await daemon.approval_page(query, first.next, 3, order)
    assert [found.id for found in first.items + second.items] == wanted
    assert second.next is None

    async def count(query):
        return len((await daemon.approval_page(query, None, 10, order)).items)

    assert await count(ApprovalQuery(states=frozenset({Asked.DENIED}))) == 2
    assert await count(ApprovalQuery(states=frozenset({Asked.DENIED, Asked.ASKED}))) == 6
    assert await count(ApprovalQuery(subject=sha("else"))) == 1
    assert await count(ApprovalQuery("helper", sha("else"))) == 0


async def test_old_questions_are_forgotten(daemon):
    """At most so many at a time, and none whose time is not long over."""
    await daemon.commit([SaveApproval(question(f"q{n}", expires_at=Instant(NOW + n))) for n in range(4)])
    assert await daemon.commit([PurgeApprovals(Instant(NOW + 3), 2)]) == (Counted(2),)
    assert await daemon.commit([PurgeApprovals(Instant(NOW + 3), 2)]) == (Counted(1),)
    page = await daemon.approval_page(ApprovalQuery(), None, 10, Order.OLDEST_FIRST)
    assert [found.id for found in page.items] == [sha("q3")]


async def test_what_a_question_asks_to_send_is_kept_in_full_and_dropped(daemon):
    """Byte for byte; put again it is replaced, dropped it is gone, and dropping nothing is no error."""
    kept = ProposalRecord(sha("q"), bytes(range(256)) * 1_024, Instant(NOW + 60))
    assert await daemon.proposal(kept.approval) is None
    await daemon.commit([PutProposal(kept)])
    assert await daemon.proposal(kept.approval) == kept
    other = attrs.evolve(kept, content=b"", expires_at=Instant(NOW + 90))
    await daemon.commit([PutProposal(other)])
    assert await daemon.proposal(kept.approval) == other
    await daemon.commit([DropProposal(kept.approval), DropProposal(sha("x"))])
    assert await daemon.proposal(kept.approval) is None


async def test_proposals_are_forgotten_as_soon_as_their_time_is_over(daemon):
    """At most so many at a time; one whose time is not over stays."""
    rows = [ProposalRecord(sha(f"q{n}"), b"content", Instant(NOW + n)) for n in range(4)]
    await daemon.commit([PutProposal(row) for row in rows])
    assert await daemon.commit([PurgeProposals(Instant(NOW + 3), 2)]) == (Counted(2),)
    assert await daemon.commit([PurgeProposals(Instant(NOW + 3), 2)]) == (Counted(1),)
    assert await daemon.proposal(sha("q3")) == rows[3]


async def test_requests_whose_time_is_over_are_found(daemon):
    """Those that wait, of either side; not what was answered, nor what still has time."""
    records = [
        peer_connection("alice/helper", "bob/coder", n=n, state=state, expires_at=Instant(NOW + at))
        for n, (state, at) in enumerate(
            [(State.REQUESTED_IN, 5), (State.REQUESTED_OUT, 3), (State.ACCEPTED, 1), (State.REQUESTED_IN, 9)]
        )
    ]
    for record in records:
        await daemon.commit([SaveConnection(record)])
    found = await daemon.requests_over(Instant(NOW + 5), 10)
    assert [record.request for record in found] == [records[1].request, records[0].request]
    over = attrs.evolve(found[0], state=State.EXPIRED, again_at=Instant(NOW + 7))
    await daemon.commit([SaveConnection(over)])
    assert [record.request for record in await daemon.requests_over(Instant(NOW + 5), 10)] == [
        records[0].request
    ]
    held = (await daemon.connections([over.request]))[over.request]
    assert held == attrs.evolve(over, revision=2)


async def test_what_waits_is_counted_without_what_is_over(daemon):
    """Questions and requests only while they have time; requests of ours and what is decided never."""
    assert await daemon.waiting_counts(NOW) == WaitingCounts()
    await daemon.commit([SaveApproval(question(f"q{n}", expires_at=Instant(NOW + n))) for n in range(3)])
    await daemon.commit([SaveApproval(question("no", state=Asked.DENIED, expires_at=Instant(NOW + 9)))])
    states = (State.REQUESTED_IN, State.REQUESTED_IN, State.REQUESTED_OUT, State.ACCEPTED)
    for n, state in enumerate(states):
        record = peer_connection("alice/helper", "bob/coder", n=n, state=state, expires_at=Instant(NOW + n))
        await daemon.commit([SaveConnection(record)])
    await daemon.commit([PutGate(gate("a")), PutGate(attrs.evolve(gate("b"), state=Gate.DECLINED))])
    assert await daemon.waiting_counts(NOW) == WaitingCounts(questions=2, requests=1, tasks=1)
    assert await daemon.waiting_counts(Instant(NOW - 1)) == WaitingCounts(questions=3, requests=2, tasks=1)


async def test_quarantined_items_are_counted(daemon):
    """Each item once."""
    item = QuarantineRecord(sha("q"), "bad-value", "no", b"envelope", b"", NOW)
    await daemon.commit([PutQuarantine(item), PutQuarantine(item)])
    assert await daemon.waiting_counts(NOW) == WaitingCounts(quarantined=1)


@pytest.mark.parametrize("refused_for", [None, 0, 1, 2 * DAY, 2 * DAY + 1])
@pytest.mark.parametrize(("held", "latched"), [(0, False), (1, False), (0, True)])
async def test_stops_are_counted_as_the_protocol_tells_them(daemon, held, latched, refused_for):
    """What is held or latched, and refusals whose time is not over nor further ahead than any lasts."""
    until = None if refused_for is None else Instant(NOW + refused_for)
    mine, peer = agent("alice/helper"), agent("bob/coder")
    tripped = BreakerRecord(mine, peer, "pair-limit", NOW, held, held, latched=latched, refused_until=until)
    await daemon.commit([PutBreaker(tripped), PutBreaker(BreakerRecord(mine, agent("bob/x"), looked_at=NOW))])
    assert await daemon.waiting_counts(NOW) == WaitingCounts(stops=int(is_tripped(tripped, NOW)))


async def test_requests_of_one_account_are_counted_whatever_agents_ask(daemon):
    """Those that wait and have time, of that account alone."""
    bob, carol = agent("bob/coder").account, agent("carol/coder").account
    asked = [("bob/coder", 1), ("bob/tester", 2), ("bob/tester", 0), ("carol/coder", 1)]
    for n, (peer, at) in enumerate(asked):
        await daemon.commit(
            [
                SaveConnection(
                    peer_connection(
                        "alice/helper", peer, n=n, state=State.REQUESTED_IN, expires_at=Instant(NOW + at)
                    )
                )
            ]
        )
    await daemon.commit([SaveConnection(peer_connection("alice/helper", "carol/coder", n=9))])
    assert [await daemon.requests_held(one, NOW) for one in (bob, carol)] == [2, 1]


@pytest.mark.parametrize("order", list(Order))
async def test_connections_are_listed_page_by_page(daemon, order):
    """By agent, by state, with their grants; each once, in either order."""
    states = [State.REQUESTED_IN, State.ACCEPTED]
    records = [
        peer_connection("alice/helper", "bob/coder", n=n, state=states[n % 2], grants=(allowed(n),))
        for n in range(5)
    ]
    other = peer_connection("alice/other", "bob/coder", state=State.ACCEPTED)
    for record in (*records, other):
        await daemon.commit([SaveConnection(record)])
    wanted = records if order is Order.OLDEST_FIRST else records[::-1]
    query = ConnectionQuery("helper")
    first = await daemon.connection_page(query, None, 3, order)
    second = await daemon.connection_page(query, first.next, 3, order)
    assert [found.request for found in first.items + second.items] == [one.request for one in wanted]
    assert [found.grants for found in first.items] == [one.grants for one in wanted[:3]]
    assert second.next is None

    async def count(query):
        return len((await daemon.connection_page(query, None, 10, order)).items)

    assert await count(ConnectionQuery()) == 6
    assert await count(ConnectionQuery(states=frozenset({State.ACCEPTED}))) == 3
    assert await count(ConnectionQuery("helper", frozenset({State.ACCEPTED, State.ENDED}))) == 2
    assert await count(ConnectionQuery("nobody")) == 0


async def test_decisions_outlive_the_process(tmp_path):
    """What waits, what was decided ahead and what was asked is there after the file was opened again."""
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        await daemon.commit([PutGate(gate("a")), PutRule(RULE), _use("a", NOW), SaveApproval(question("q"))])
        await daemon.commit([PutProposal(ProposalRecord(sha("q"), b"content", NOW))])
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        assert await daemon.gates_waiting(None, 10) == (gate("a"),)
        assert await daemon.standing_rules() == (attrs.evolve(RULE, used=1),)
        assert await daemon.rule_uses([RULE.id], RuleUse.TASK, Instant(NOW - 1)) == {RULE.id: 1}
        assert list(await daemon.approvals([sha("q")])) == [sha("q")]
        assert await daemon.proposal(sha("q")) == ProposalRecord(sha("q"), b"content", NOW)
