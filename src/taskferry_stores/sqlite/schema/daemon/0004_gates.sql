-- What the owner decides: tasks that wait, standing rules, questions of agents, when a request may come again.

ALTER TABLE connections ADD COLUMN again_at INTEGER;

CREATE INDEX connections_unanswered ON connections (expires_at)
    WHERE state IN ('requested_in', 'requested_out');

CREATE TABLE gates (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    task BLOB NOT NULL UNIQUE,
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT NOT NULL
) STRICT;

CREATE INDEX gates_waiting ON gates (n) WHERE state = 'waiting';

CREATE TABLE standing_rules (
    id BLOB PRIMARY KEY,
    account BLOB NOT NULL,
    peer TEXT NOT NULL,
    mine TEXT NOT NULL,
    tasks_per_day INTEGER NOT NULL,
    until INTEGER,
    terms TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER,
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last day's only.
CREATE TABLE rule_uses (
    n INTEGER PRIMARY KEY,
    rule BLOB NOT NULL REFERENCES standing_rules (id),
    use TEXT NOT NULL,
    subject BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX rule_uses_of ON rule_uses (rule, use, at);
CREATE INDEX rule_uses_by_age ON rule_uses (rule, at);

CREATE TABLE approvals (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    subject BLOB NOT NULL,
    agent TEXT NOT NULL,
    action TEXT NOT NULL,
    what TEXT NOT NULL,
    why TEXT NOT NULL,
    task BLOB,
    state TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    scope TEXT NOT NULL,
    decided_at INTEGER,
    decided_by TEXT NOT NULL,
    answer TEXT NOT NULL,
    used_at INTEGER,
    revision INTEGER NOT NULL
) STRICT;

CREATE INDEX approvals_of ON approvals (agent, n);
CREATE INDEX approvals_about ON approvals (subject, n);
CREATE INDEX approvals_in_state ON approvals (state, n);
CREATE INDEX approvals_expiry ON approvals (expires_at);
