"""What a daemon forgets of strangers and of former agents, as SQL."""

from __future__ import annotations

import sqlite3
from typing import Final, assert_never

from taskferry_protocol.ids import AccountId, Hash
from taskferry_protocol.records import Counted, Done, PruneAudit, PurgeSeen
from taskferry_protocol.records.forgetting import (
    ForgetAccount,
    ForgetAccused,
    ForgetAnswers,
    ForgetChange,
    ForgetRequest,
    ForgetTraffic,
    SetApart,
)

from . import audit, history_rows
from .apart import set_apart
from .history_rows import SPANS_MS

Connection = sqlite3.Connection

#: How many messages of a peer are looked at for those of a request: a stranger has said nothing else.
_LOOKED_AT: Final = 256
_REQUEST: Final = (
    "SELECT n, mine, peer, updated_at FROM connections"
    " WHERE request = ? AND accept_raw = x'' AND (state = 'expired' OR withdrawn)"
)
_SAID: Final = (
    "SELECT m.n, m.hash FROM messages m WHERE m.peer = ?1"
    " AND m.n < coalesce((SELECT n FROM messages WHERE peer = ?1 ORDER BY n LIMIT 1 OFFSET ?2), m.n + 1)"
    " AND m.mine = ?3 AND m.direction = 'in' AND m.cls = 'connection' AND m.stored_at <= ?4"
    " AND m.stored_at < coalesce((SELECT min(created_at) FROM connections WHERE mine = ?3 AND peer = ?1),"
    "  m.stored_at + 1)"
)
#: What keeps an account: whatever else there is of its agents came with messages.
_IS_KEPT: Final = (
    "SELECT EXISTS (SELECT 1 FROM agents a JOIN messages m ON m.peer = a.n WHERE a.account = ?1)"
    " OR EXISTS (SELECT 1 FROM agents a JOIN tasks t ON t.peer = a.n WHERE a.account = ?1)"
    " OR EXISTS (SELECT 1 FROM agents a JOIN connections c ON c.peer = a.n WHERE a.account = ?1)"
    " OR EXISTS (SELECT 1 FROM agents a JOIN outbox o ON o.target = a.n"
    "  WHERE a.account = ?1 AND o.state = 'waiting')"
    " OR EXISTS (SELECT 1 FROM standing_rules WHERE account = ?1)"
)
_IS_HELD: Final = "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ? AND held <> '')"
_IS_ACCUSED: Final = "SELECT EXISTS (SELECT 1 FROM evidence WHERE subject = ?)"
_COUNTED: Final = (
    "DELETE FROM traffic WHERE (span, at, mine) IN (SELECT span, at, mine FROM traffic"
    " WHERE span = ? AND at < ? ORDER BY at LIMIT ?)"
)

#: An envelope goes that nothing else is left of.
_SEALED: Final = (
    "DELETE FROM sealed WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE hash = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM task_events WHERE hash = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE hash = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM receipts_got WHERE receipt = ?1)"
)


def purge_seen(connection: Connection, change: PurgeSeen) -> int:
    """Forget what was seen long ago, and the envelopes that nothing else is left of; how many were seen."""
    query = "SELECT n, hash FROM seen WHERE at < ? ORDER BY at LIMIT ?"
    old = connection.execute(query, (change.before, change.limit)).fetchall()
    connection.executemany("DELETE FROM seen WHERE n = ?", [(n,) for n, _ in old])
    connection.executemany(_SEALED, [(hash,) for _, hash in old])
    return len(old)


def apply(connection: Connection, change: ForgetChange) -> Counted | Done:
    """Make one change."""
    match change:
        case ForgetRequest():
            return Counted(_forget_request(connection, change.request))
        case ForgetAccount():
            return Counted(
                0 if _is_accused(connection, change) else _forget_account(connection, change.account)
            )
        case ForgetAccused():
            gone = _forget_account(connection, change.account)
            subjects = [(subject,) for subject in (change.account, *change.devices)] if gone else []
            connection.executemany("DELETE FROM evidence WHERE subject = ?", subjects)
            return Counted(gone)
        case ForgetAnswers():
            query = "DELETE FROM answers WHERE scope = ?"
            return Counted(sum(connection.execute(query, (scope,)).rowcount for scope in set(change.scopes)))
        case SetApart():
            set_apart(connection, change)
            return Done()
        case ForgetTraffic():
            bounds = (change.before, change.limit)
            return Counted(sum(connection.execute(_COUNTED, (span, *bounds)).rowcount for span in SPANS_MS))
        case PruneAudit():
            return Counted(audit.prune(connection, change))
        case _:
            assert_never(change)


def _forget_request(connection: Connection, request: Hash) -> int:
    execute = connection.execute
    row = execute(_REQUEST, (request,)).fetchone()
    if row is None:
        return 0
    n, mine, peer, upto = row
    execute("DELETE FROM grants WHERE connection = ?", (n,))
    execute("DELETE FROM connections WHERE n = ?", (n,))
    for message, hash in execute(_SAID, (peer, _LOOKED_AT, mine, upto)).fetchall():
        history_rows.forget(connection, message)
        execute("DELETE FROM messages WHERE n = ?", (message,))
        execute(
            "DELETE FROM sealed WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE hash = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM task_events WHERE hash = ?1)",
            (hash,),
        )
    return 1


def _is_accused(connection: Connection, change: ForgetAccount) -> bool:
    asked = [(_IS_HELD, change.account), *((_IS_ACCUSED, one) for one in (change.account, *change.devices))]
    return any(connection.execute(query, (subject,)).fetchone()[0] for query, subject in asked)


def _forget_account(connection: Connection, account: AccountId) -> int:
    execute = connection.execute
    row = execute("SELECT n FROM accounts WHERE id = ? AND trust = 'unverified'", (account,)).fetchone()
    if row is None or execute(_IS_KEPT, (account,)).fetchone()[0]:
        return 0
    execute("DELETE FROM statements WHERE account = ?", row)
    execute("DELETE FROM names WHERE account = ?", row)
    execute("DELETE FROM accounts WHERE n = ?", row)
    execute("DELETE FROM cards WHERE agent IN (SELECT n FROM agents WHERE account = ?)", (account,))
    execute("DELETE FROM rates WHERE from_agent IN (SELECT n FROM agents WHERE account = ?)", (account,))
    return 1
