"""The owner's decisions as SQL: gates, standing rules, questions, requests that are over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import TypeAlias, assert_never

from taskferry_protocol.breakers import REFUSED_MOST_MS
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalScope,
    ApprovalState,
    Counted,
    DaemonResult,
    Done,
    DropProposal,
    ForgetTask,
    GateChange,
    GateRecord,
    GateState,
    Order,
    Page,
    Place,
    ProposalRecord,
    PurgeApprovals,
    PurgeProposals,
    PutGate,
    PutProposal,
    PutRule,
    RuleRecord,
    RuleUse,
    SaveApproval,
    Saved,
    ShowMessages,
    UseRule,
    WaitingCounts,
)

from ..rules import horizon, require_revision, unknown
from . import history_rows
from .rows import agent_ref, page_of, select_in, singles, to_signed, to_unsigned

Connection = sqlite3.Connection
Number: TypeAlias = Callable[[AgentRef], int]

# --- Reads --------------------------------------------------------------------------------------------------

_COUNTS = (
    "SELECT (SELECT count(*) FROM approvals WHERE state = 'asked' AND expires_at > ?1),"
    # Both words of the index over what is unanswered, so that it is used.
    " (SELECT count(*) FROM connections WHERE state IN ('requested_in', 'requested_out')"
    " AND expires_at > ?1 AND state = 'requested_in'),"
    " (SELECT count(*) FROM gates WHERE state = 'waiting'),"
    " (SELECT count(*) FROM breakers WHERE code <> ''"
    " AND (latched OR held > 0 OR (refused_until > ?1 AND refused_until <= ?1 + ?2))),"
    " (SELECT count(*) FROM quarantine)"
)


def waiting_counts(connection: Connection, now: Instant) -> WaitingCounts:
    """What waits, counted."""
    return WaitingCounts(*connection.execute(_COUNTS, (now, REFUSED_MOST_MS)).fetchone())


_HELD = (
    "SELECT count(*) FROM connections c JOIN agents p ON p.n = c.peer WHERE c.expires_at > ?1"
    " AND (?2 IS NULL OR p.account = ?2) AND "
)
_UNANSWERED = (
    "c.state IN ('requested_in', 'requested_out') AND c.state = 'requested_in'",
    "c.withdrawn",
)


def requests_held(connection: Connection, account: AccountId | None, now: Instant) -> int:
    """How many requests have time left and are not answered."""
    counts = [connection.execute(_HELD + which, (now, account)).fetchone()[0] for which in _UNANSWERED]
    return sum(map(int, counts))


_GATES = (
    "SELECT t.n, t.task, a.account, a.name, b.account, b.name, t.state, t.at, t.decided_at, t.decided_by,"
    " t.why"
    " FROM gates t JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer WHERE"
)


def _gate(row: sqlite3.Row) -> GateRecord:
    _, task, account, name, peer, peer_name, state, at, decided_at, by, why = row
    mine, other = agent_ref(account, name), agent_ref(peer, peer_name)
    return GateRecord(Hash(task), mine, other, GateState(state), Instant(at), decided_at, by, why)


def gates(connection: Connection, tasks: Collection[Hash]) -> dict[Hash, GateRecord]:
    """How tasks stand at their gates."""
    found = [_gate(row) for row in select_in(connection, f"{_GATES} t.task", singles(tasks))]
    return {gate.task: gate for gate in found}


def gates_waiting(connection: Connection, agent: str | None, limit: int) -> tuple[GateRecord, ...]:
    """Tasks that wait for the owner."""
    one = "" if agent is None else "AND a.name = ?"
    rows = connection.execute(
        f"{_GATES} t.state = 'waiting' {one} ORDER BY t.n LIMIT ?",
        (*([] if agent is None else [agent]), limit),
    )
    return tuple([_gate(row) for row in rows])


def standing_rules(connection: Connection) -> tuple[RuleRecord, ...]:
    """All rules."""
    rows = connection.execute(
        "SELECT id, account, peer, mine, tasks_per_day, until, terms, created_at, removed_at, used"
        " FROM standing_rules ORDER BY created_at, id"
    )
    return tuple(
        [
            RuleRecord(
                Hash(id), AccountId(account), peer, mine, to_unsigned(per_day), until, terms, created_at,
                removed_at, used,
            )
            for id, account, peer, mine, per_day, until, terms, created_at, removed_at, used in rows
        ]
    )  # fmt: skip


def rule_uses(
    connection: Connection, rules: Collection[Hash], use: RuleUse, since: Instant
) -> dict[Hash, int]:
    """How often rules did something lately."""
    query = "SELECT count(*) FROM rule_uses WHERE rule = ? AND use = ? AND at > ? AND at <= ?"
    last = horizon(since)
    return {rule: connection.execute(query, (rule, use, since, last)).fetchone()[0] for rule in set(rules)}


_APPROVALS = (
    "SELECT n, id, subject, agent, action, what, why, task, state, asked_at, expires_at, scope, decided_at,"
    " decided_by, answer, used_at, revision FROM approvals WHERE"
)


def _approval(row: sqlite3.Row) -> ApprovalRecord:
    (n, id, subject, agent, action, what, why, task, state, asked_at, expires_at, scope, *rest) = row
    decided_at, by, answer, used_at, revision = rest
    return ApprovalRecord(
        id=Hash(id),
        subject=Hash(subject),
        agent=agent,
        action=action,
        what=what,
        why=why,
        task=task,
        state=ApprovalState(state),
        asked_at=Instant(asked_at),
        expires_at=Instant(expires_at),
        scope=ApprovalScope(scope),
        decided_at=decided_at,
        by=by,
        answer=answer,
        used_at=used_at,
        revision=revision,
        place=Place(n),
    )


def approvals(connection: Connection, ids: Collection[Hash]) -> dict[Hash, ApprovalRecord]:
    """Questions by id."""
    found = [_approval(row) for row in select_in(connection, f"{_APPROVALS} id", singles(ids))]
    return {approval.id: approval for approval in found}


def approval_page(
    connection: Connection, query: ApprovalQuery, after: Place | None, limit: int, order: Order
) -> Page[ApprovalRecord]:
    """Questions by place."""
    asked: list[tuple[str, object]] = []
    if query.subject is not None:
        asked.append(("subject = ?", query.subject))
    if query.agent is not None:
        asked.append(("agent = ?", query.agent))
    newest = order is Order.NEWEST_FIRST
    if after is not None:
        asked.append(("n < ?" if newest else "n > ?", after))
    states = sorted(query.states)
    among = f"state IN ({', '.join('?' * len(states))})" if states else ""
    where = " AND ".join([*(text for text, _ in asked), *([among] if among else [])]) or "true"
    rows = connection.execute(
        f"{_APPROVALS} {where} ORDER BY n {'DESC' if newest else 'ASC'} LIMIT ?",
        (*(value for _, value in asked), *states, limit + 1),
    ).fetchall()
    return page_of([(Place(row[0]), _approval(row)) for row in rows], limit)


def proposal(connection: Connection, approval: Hash) -> ProposalRecord | None:
    """What a question asks to send."""
    row = connection.execute(
        "SELECT content, expires_at FROM proposals WHERE approval = ?", (approval,)
    ).fetchone()
    return ProposalRecord(approval, row[0], Instant(row[1])) if row is not None else None


# --- Writes -------------------------------------------------------------------------------------------------


def apply(connection: Connection, change: GateChange, number: Number) -> DaemonResult:
    """Make one change; `number` gives an agent's own."""
    match change:
        case PutGate():
            _put_gate(connection, change.gate, number)
        case ForgetTask():
            for table in ("gates", "tasks", "task_events"):
                connection.execute(f"DELETE FROM {table} WHERE task = ?", (change.task,))  # noqa: S608
        case ShowMessages():
            return Counted(sum(_show(connection, change.agent, hash) for hash in change.hashes))
        case PutRule():
            _put_rule(connection, change.rule)
        case UseRule():
            _use_rule(connection, change)
        case SaveApproval():
            return _save_approval(connection, change.approval)
        case PurgeApprovals():
            gone = connection.execute(
                "DELETE FROM approvals WHERE n IN (SELECT n FROM approvals WHERE expires_at < ? LIMIT ?)",
                (change.before, change.limit),
            )
            return Counted(gone.rowcount)
        case PutProposal():
            kept = change.proposal
            connection.execute(
                "INSERT OR REPLACE INTO proposals (approval, content, expires_at) VALUES (?, ?, ?)",
                (kept.approval, kept.content, kept.expires_at),
            )
        case DropProposal():
            connection.execute("DELETE FROM proposals WHERE approval = ?", (change.approval,))
        case PurgeProposals():
            gone = connection.execute(
                "DELETE FROM proposals WHERE n IN (SELECT n FROM proposals WHERE expires_at < ? LIMIT ?)",
                (change.before, change.limit),
            )
            return Counted(gone.rowcount)
        case _:
            assert_never(change)
    return Done()


def _put_gate(connection: Connection, gate: GateRecord, number: Number) -> None:
    connection.execute(
        "INSERT INTO gates (task, mine, peer, state, at, decided_at, decided_by, why)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (task) DO UPDATE SET mine = excluded.mine, peer = excluded.peer,"
        " state = excluded.state, at = excluded.at, decided_at = excluded.decided_at,"
        " decided_by = excluded.decided_by, why = excluded.why",
        (
            *(gate.task, number(gate.mine), number(gate.peer), gate.state, gate.at),
            *(gate.decided_at, gate.by, gate.why),
        ),
    )


def _show(connection: Connection, agent: str, hash: Hash) -> int:
    """1 if it was held or stopped. Its row is made anew, since only an insertion gives the next number."""
    columns = (
        "hash, direction, mine, peer, device, id, seq, cls, type, conv, created_at, expires_at, stored_at,"
        " task, reply, rung, code, relayed_at, delivered_at, offered_at, read_at, processed_at, told"
    )
    row = connection.execute(
        f"DELETE FROM messages WHERE hash = ? AND mine IN (SELECT n FROM agents WHERE name = ?)"  # noqa: S608
        f" AND direction = 'in' AND inbox IN ('held', 'stopped') RETURNING n, {columns}",
        (hash, agent),
    ).fetchone()
    if row is None:
        return 0
    old, *values = row
    places = ", ".join("?" * len(values))
    (new,) = connection.execute(
        f"INSERT INTO messages ({columns}, inbox) VALUES ({places}, 'unread') RETURNING n",  # noqa: S608
        values,
    ).fetchone()
    history_rows.move(connection, old, new)
    return 1


def _put_rule(connection: Connection, rule: RuleRecord) -> None:
    connection.execute(
        "INSERT INTO standing_rules (id, account, peer, mine, tasks_per_day, until, terms, created_at,"
        " removed_at, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET"
        " account = excluded.account, peer = excluded.peer, mine = excluded.mine,"
        " tasks_per_day = excluded.tasks_per_day, until = excluded.until, terms = excluded.terms,"
        " created_at = excluded.created_at, removed_at = excluded.removed_at",
        (
            *(rule.id, rule.account, rule.peer, rule.mine, to_signed(rule.tasks_per_day), rule.until),
            *(rule.grant, rule.created_at, rule.removed_at),
        ),
    )


def _use_rule(connection: Connection, change: UseRule) -> None:
    done = connection.execute("UPDATE standing_rules SET used = used + 1 WHERE id = ?", (change.rule,))
    if done.rowcount == 0:
        raise unknown("rule", change.rule)
    connection.execute("DELETE FROM rule_uses WHERE rule = ? AND at <= ?", (change.rule, change.at - DAY_MS))
    connection.execute(
        "INSERT INTO rule_uses (rule, use, subject, at) VALUES (?, ?, ?, ?)",
        (change.rule, change.use, change.subject, change.at),
    )


def _save_approval(connection: Connection, approval: ApprovalRecord) -> Saved:
    row = connection.execute("SELECT revision FROM approvals WHERE id = ?", (approval.id,)).fetchone()
    require_revision(row[0] if row else 0, approval.revision, "approval")
    columns = (
        "subject, agent, action, what, why, task, state, asked_at, expires_at, scope, decided_at, decided_by,"
        " answer, used_at, revision"
    )
    places = ", ".join("?" * 15)
    values = (
        *(approval.subject, approval.agent, approval.action, approval.what, approval.why, approval.task),
        *(approval.state, approval.asked_at, approval.expires_at, approval.scope, approval.decided_at),
        *(approval.by, approval.answer, approval.used_at, approval.revision + 1),
    )
    if row is None:
        query = f"INSERT INTO approvals ({columns}, id) VALUES ({places}, ?)"  # noqa: S608
    else:
        query = f"UPDATE approvals SET ({columns}) = ({places}) WHERE id = ?"  # noqa: S608
    connection.execute(query, (*values, approval.id))
    return Saved(approval.revision + 1)
