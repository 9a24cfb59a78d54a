"""No query of a SQLite store reads all of a table that grows."""

import re
from contextlib import asynccontextmanager

from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.records import (
    AgentPair,
    ApprovalQuery,
    ApprovalState,
    BreakerRecord,
    ConnectionQuery,
    ConnectionState,
    CountExchange,
    DropProposal,
    DropRuntimes,
    DropStopped,
    ExchangeRecord,
    Expire,
    Flow,
    ForgetExchanges,
    GateRecord,
    GateState,
    InboxState,
    LeaseRecord,
    Mark,
    MarkMessages,
    MessageQuery,
    NoteSeen,
    OfferAgain,
    Order,
    PeerWord,
    Place,
    ProposalRecord,
    PruneAudit,
    PruneEvents,
    PurgeAnswers,
    PurgeApprovals,
    PurgeLeases,
    PurgeProposals,
    PurgeSeen,
    PutBreaker,
    PutConnection,
    PutEvidence,
    PutGate,
    PutGrant,
    PutLeases,
    PutPeerWord,
    PutProposal,
    PutRule,
    RaiseFences,
    RecordSeen,
    ReviseSeen,
    RuleRecord,
    RuleUse,
    Rung,
    RuntimeId,
    SaveConnection,
    SeenKey,
    SetRung,
    ShowMessages,
    Sweep,
    TaskCursor,
    TaskQuery,
    UseInvite,
    UseRule,
)
from taskferry_protocol.records import EvidenceRecord as Evidence
from taskferry_protocol.records.forgetting import ForgetAccount, ForgetRequest, ForgetSealed, ForgetTraffic
from taskferry_stores.port import StoreConflict
from taskferry_stores.sqlite import open_daemon_store, open_relay_store

from .samples import (
    GENERATION,
    NOW,
    account,
    agent,
    append,
    connection,
    device,
    envelope,
    flow,
    grant,
    message,
    peer_connection,
    seen,
    sha,
    store,
)

FEW = {
    "local_agents",
    "tokens",
    "invites",
    "sqlite_sequence",
    "cursors",
    "standing_rules",
    "runtimes",
    "agents_seen",
}
"""Tables that an owner can count."""
KEYS = {"keys", "CONSTANT"}
"""What a query brings along."""


@asynccontextmanager
async def watched(opening):
    """A store, and what its queries scan, by the time that the block ends."""
    scans: set[tuple[str | None, str | None, str]] = set()
    async with opening as held:
        file = held._engine._file
        statements: set[str] = set()
        for connection in (file.writer, *file.readers):
            connection.set_trace_callback(statements.add)
        yield held, scans
        for connection in (file.writer, *file.readers):
            connection.set_trace_callback(None)
        for statement in statements:
            if not re.match(r"SELECT|WITH|UPDATE|DELETE", statement):
                continue
            names = dict(re.findall(r"(?:FROM|JOIN) (\w+) (?:AS )?(\w+)", statement))
            alias = {short: table for table, short in names.items()}
            for *_, detail in file.writer.execute(f"EXPLAIN QUERY PLAN {statement}"):
                found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail)
                if found and not re.fullmatch(r"\d+", found[1]):
                    scans.add((alias.get(found[1], found[1]), found[2], statement[:150]))


def unbounded(scans, *, allowed=frozenset()):
    """The scans of tables that grow, apart from those by an index that are allowed."""
    return {scan for scan in scans if scan[0] not in FEW | KEYS and scan[1] not in allowed}


async def test_relay_looks_up_and_does_not_scan(tmp_path):
    """Every batched read and every change of a relay finds its rows by an index."""
    names = [f"owner{n}" for n in range(5)]
    people = [account(name) for name in names]
    agents = [agent(f"{name}/x") for name in names]
    flows = [flow(f"{one}/x", f"{other}/x") for one in names for other in names if one != other]
    devices = [device(name) for name in names]
    one = connection("owner0/x", "owner1/x")
    async with watched(open_relay_store(tmp_path / "relay.db", generation=GENERATION)) as (relay, scans):
        await relay.commit([append(name) for name in names])
        changes = [envelope("owner0", n, "owner1/x", names) for n in range(1, 9)]
        await relay.commit([*changes, *changes])
        await relay.commit([envelope("owner0", 1, "owner1/x", names, text="other")])
        await relay.commit([PutEvidence(Evidence("equivocation", devices[0], b"1", b"2", NOW))])
        await relay.accounts(people)
        await relay.accounts_named(names)
        await relay.statements(people[0], 0, 10)
        await relay.statements_named(names[0], 0, 10)
        await relay.named_keys([(person, b"key") for person in people])
        await relay.cards(agents)
        await relay.connections([AgentPair.of(f.from_, f.to) for f in flows])
        await relay.connections_by_request([one.request, sha("x")])
        await relay.connections_of(account("alice"), None, 10)
        await relay.linked([(a, b) for a in people for b in people])
        await relay.contacts(flows)
        await relay.rates(flows)
        await relay.accepted([(device("owner0"), change.id) for change in changes])
        await relay.mailbox(device("owner1"), 2, 10, 1_000)
        await relay.usage(devices)
        await relay.shares(devices)
        await relay.settings(names)
        await relay.evidence(0, 10)
        await relay.commit([Expire(NOW, 10), Sweep(10), PurgeSeen(NOW, 10)])
    # The index of what is to be swept holds only that; `seen` is read from its oldest end.
    assert unbounded(scans, allowed={"devices_to_sweep"}) - of_seen(scans) == set()


def of_seen(scans):
    """The scan of `seen` from its first row that stops at the first young one."""
    return {scan for scan in scans if scan[0] in {"seen", "s"} and "DELETE FROM seen" in scan[2]}


def of_settings(scans):
    """The handful of settings that the index of words has, read once by each connection."""
    return {scan for scan in scans if scan[2] == "SELECT k, v FROM 'main'.'search_config'"}


async def test_daemon_looks_up_and_does_not_scan(tmp_path):
    """Every batched read and every change of a daemon finds its rows by an index."""
    hashes = [sha(f"m{n}") for n in range(5)]
    waiting = frozenset({InboxState.UNREAD, InboxState.READ})
    bob = agent("bob/coder")
    async with watched(open_daemon_store(tmp_path / "daemon.db")) as (daemon, scans):
        await daemon.commit([store(message(f"m{n}")) for n in range(5)])
        await daemon.commit([MarkMessages("helper", tuple(hashes), mark, NOW) for mark in Mark])
        await daemon.commit([SetRung(hashes[0], "helper", Rung.FAILED, "", NOW), RecordSeen(seen("a"))])
        await daemon.commit([ReviseSeen(seen("a"))])
        for change in (PutGrant(grant(sha("r"), "bob/coder", 1)), UseInvite(b"i", sha("r"), NOW)):
            try:
                await daemon.commit([change])
            except StoreConflict:
                continue
        await daemon.accounts([account("alice"), account("bob")])
        await daemon.accounts_named(["alice", "bob"])
        await daemon.all_accounts(account("alice"), 10)
        await daemon.own_account()
        await daemon.connections(hashes)
        await daemon.connections_with([Flow(agent("alice/helper"), bob), Flow(bob, bob)])
        await daemon.messages(hashes)
        for query in (
            MessageQuery(agent="helper"),
            MessageQuery(agent="helper", inbox=waiting),
            MessageQuery(peer=bob),
            MessageQuery(conv=message("x").conv),
            MessageQuery(task=sha("t")),
        ):
            for order in Order:
                await daemon.message_page(query, Place(3), 10, order)
        await daemon.inbox_counts(["helper", "other"])
        await daemon.sealed(hashes)
        await daemon.outbox(hashes)
        await daemon.outbox_rungs(hashes)
        await daemon.outbox_due(NOW, 10, 1_000)
        await daemon.outbox_due(NOW, 10, 1_000, hashes)
        await daemon.answers("owner", [f"key {n}" for n in range(5)])
        await daemon.token(bytes(32))
        await daemon.outbox_expired(NOW, 10)
        await daemon.outbox_for([agent("bob/coder")], "message", NOW)
        await daemon.next_attempt()
        await daemon.sequences([bob, agent("alice/helper")])
        await daemon.tasks(hashes)
        cursor = TaskCursor(NOW, sha("t"), "worker")
        for asked in (TaskQuery(), TaskQuery(agent="helper"), TaskQuery(states=frozenset({"sent"}))):
            await daemon.task_page(asked, cursor, 10)
        await daemon.task_events(hashes)
        await daemon.tasks_overdue(NOW, 10)
        await daemon.next_deadline(Instant(0))
        await daemon.receipts_got(hashes)
        await daemon.quarantine(hashes)
        await daemon.seen([SeenKey(device("a"), seen("a").id, bob, n) for n in range(5)])
        await daemon.events(Place(0), 10, {"helper", "other"})
        await decisions(daemon, hashes)
        await programs(daemon, hashes)
        await stops(daemon, hashes)
        await daemon.commit([OfferAgain(NOW), PurgeSeen(NOW, 1), PurgeAnswers(NOW, 1)])
        await daemon.commit([PruneEvents(Instant(NOW), 10, 10)])
        await daemon.commit([ForgetSealed((sha("m0"), sha("none")))])
        await daemon.commit([ForgetTraffic(NOW, 10), PruneAudit(NOW, 1, 10)])
        await forgetting(daemon)
    # Each stops at its first row, or holds only what is open.
    few = {"tasks_deadline", "outbox_due", "gates_waiting", "breakers_tripped"}
    # Counted by its hashes, as many as the daemon bounds; no other scan of it is let pass.
    counted = {s for s in scans if s[:2] == ("quarantine", "sqlite_autoindex_quarantine_1")}
    assert {statement[:22] for *_, statement in counted} == {"SELECT (SELECT count(*"}
    assert unbounded(scans - counted, allowed=few) - of_feed(scans) - of_settings(scans) == set()


async def forgetting(daemon):
    """What is changed as strangers are forgotten."""
    record = peer_connection("alice/helper", "carol/coder", state=ConnectionState.EXPIRED)
    await daemon.commit([append("carol"), SaveConnection(record), store(message("m9", cls="connection"))])
    await daemon.commit([ForgetRequest(record.request), ForgetAccount(account("carol"), (device("carol"),))])


async def decisions(daemon, hashes):
    """What is read and changed about the owner's decisions."""
    gate = GateRecord(sha("g"), agent("alice/helper"), agent("bob/coder"), GateState.WAITING, NOW)
    rule = RuleRecord(sha("rule"), account("bob"), "", "", 1, None, "{}", NOW)
    await daemon.commit([PutGate(gate), PutGate(gate), ShowMessages("helper", tuple(hashes)), PutRule(rule)])
    await daemon.commit([UseRule(rule.id, RuleUse.TASK, sha("g"), NOW)])
    await daemon.gates(hashes)
    await daemon.gates_waiting(None, 10)
    await daemon.gates_waiting("helper", 10)
    await daemon.standing_rules()
    await daemon.rule_uses([rule.id], RuleUse.TASK, NOW)
    await daemon.requests_over(NOW, 10)
    await daemon.waiting_counts(NOW)
    await daemon.requests_held(AccountId(bytes(32)), NOW)
    await daemon.requests_held(None, NOW)
    for order in Order:
        await daemon.connection_page(ConnectionQuery("helper"), Place(3), 10, order)
    await daemon.approvals(hashes)
    asked = frozenset({ApprovalState.ASKED})
    for query in (
        ApprovalQuery(),
        ApprovalQuery(agent="helper", states=asked),
        ApprovalQuery(agent="helper", subject=sha("s")),
        ApprovalQuery(states=asked),
    ):
        for order in Order:
            await daemon.approval_page(query, Place(3), 10, order)
            if query != ApprovalQuery():  # all of them are read from an end, by their numbers
                await daemon.approval_page(query, None, 10, order)
    await daemon.commit([PutProposal(ProposalRecord(sha("q"), b"", NOW)), DropProposal(sha("q"))])
    await daemon.proposal(sha("q"))
    await daemon.commit([PurgeApprovals(NOW, 10), PurgeProposals(NOW, 10)])


async def programs(daemon, hashes):
    """What is read and changed about the programs that act as agents."""
    me, mine, peer = RuntimeId(b"r" * 16), agent("alice/helper"), agent("bob/coder")
    await daemon.commit([PutLeases(tuple(LeaseRecord(hash, "helper", me, 1, NOW) for hash in hashes))])
    await daemon.commit([RaiseFences(me, NOW), NoteSeen("helper", NOW), DropRuntimes((me,))])
    await daemon.commit([PutPeerWord(PeerWord(mine, peer, True, None, NOW))])
    await daemon.runtimes("helper")
    await daemon.runtime(me)
    await daemon.leases("helper", hashes)
    for order in Order:
        await daemon.waiting("helper", 10, order=order)
        await daemon.waiting("helper", 10, Place(3), order)
    await daemon.unread("helper", hashes)
    await daemon.agents_seen()
    await daemon.peer_words([Flow(mine, peer)])
    await daemon.commit([PurgeLeases(NOW, 1)])


async def stops(daemon, hashes):
    """What is read and changed about breakers."""
    mine, peer = agent("alice/helper"), agent("bob/coder")
    exchange = ExchangeRecord(mine, peer, hashes[0], NOW, inbound=True, talk=True, words=sha("w"))
    await daemon.commit([CountExchange(exchange), PutBreaker(BreakerRecord(mine, peer, "x", NOW))])
    await daemon.exchanges(Flow(mine, peer), NOW, 10)
    await daemon.last_read(Flow(mine, peer), NOW)
    await daemon.breakers([Flow(mine, peer), Flow(peer, mine)])
    await daemon.breakers_tripped(10)
    await daemon.stopped(Flow(mine, peer), 10)
    await daemon.commit([DropStopped("helper", tuple(hashes)), ForgetExchanges(mine, peer)])


def of_feed(scans):
    """The scan of the feed from its oldest line that stops at the first young one."""
    return {scan for scan in scans if scan[0] == "events" and "DELETE FROM events" in scan[2]}


async def test_asking_whom_an_account_is_linked_with_goes_through_its_connections_once(tmp_path):
    """However many are asked about, strangers too: an account with many keeps no reader from others' mail."""
    async with open_relay_store(tmp_path / "relay.db", generation=GENERATION) as relay:
        await relay.commit([PutConnection(connection(f"me/a{n % 7}", f"o{n}/b")) for n in range(600)])
        asked = [(account("me"), account(f"o{n}")) for n in range(0, 1_200, 25)]
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        for reader in relay._engine._file.readers:
            reader.set_progress_handler(count, 100)
        assert await relay.linked(asked[:1]) == {asked[0]}
        for_one, steps = steps, 0
        assert await relay.linked(asked) == set(asked[:24])
        assert steps <= 4 * for_one
