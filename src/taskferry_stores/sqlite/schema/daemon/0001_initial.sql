-- A daemon's truth. Agents, ours and peers', have small numbers that stand for their account and name.
-- Unsigned integers from outside are kept as signed ones of the same 64 bits.

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    length INTEGER NOT NULL,
    head BLOB NOT NULL,
    held TEXT NOT NULL,
    trust TEXT NOT NULL DEFAULT 'unverified',
    pinned_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX accounts_own ON accounts (trust) WHERE trust = 'own';

CREATE TABLE statements (
    account INTEGER NOT NULL REFERENCES accounts (n),
    seq INTEGER NOT NULL,
    raw BLOB NOT NULL,
    PRIMARY KEY (account, seq)
) STRICT, WITHOUT ROWID;

-- A name belongs to its first account for ever, so rows are only ever added.
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (n)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    n INTEGER PRIMARY KEY,
    account BLOB NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE INDEX agents_named ON agents (name);

CREATE TABLE cards (
    agent INTEGER PRIMARY KEY REFERENCES agents (n),
    version INTEGER NOT NULL,
    public INTEGER NOT NULL,
    raw BLOB NOT NULL
) STRICT;

CREATE TABLE local_agents (
    name TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connections (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    request BLOB NOT NULL UNIQUE,
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    state TEXT NOT NULL,
    request_raw BLOB NOT NULL,
    accept_raw BLOB NOT NULL,
    end_raw BLOB NOT NULL,
    end_kind TEXT NOT NULL,
    note TEXT NOT NULL,
    invite BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE INDEX connections_between ON connections (mine, peer);

CREATE TABLE grants (
    n INTEGER PRIMARY KEY,
    connection INTEGER NOT NULL REFERENCES connections (n),
    grantor INTEGER NOT NULL REFERENCES agents (n),
    version INTEGER NOT NULL,
    raw BLOB NOT NULL,
    terms BLOB NOT NULL
) STRICT;

CREATE INDEX grants_of ON grants (connection);

CREATE TABLE rates (
    from_agent INTEGER NOT NULL REFERENCES agents (n),
    to_agent INTEGER NOT NULL REFERENCES agents (n),
    tokens_milli INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (from_agent, to_agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject BLOB NOT NULL,
    first BLOB NOT NULL,
    second BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX evidence_of ON evidence (subject);

-- An envelope, the K that opens it and what it opens to: of every message, and of receipts that prove delivery.
CREATE TABLE sealed (
    n INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    envelope BLOB NOT NULL,
    key BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;

-- A message from the point of view of one of our agents (`mine`). The bytes stand in `sealed`.
CREATE TABLE messages (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL REFERENCES sealed (hash),
    direction TEXT NOT NULL,
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    device BLOB NOT NULL,
    id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    cls TEXT NOT NULL,
    type TEXT NOT NULL,
    conv BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    task BLOB,
    reply BLOB,
    inbox TEXT NOT NULL,
    rung TEXT,
    code TEXT NOT NULL,
    relayed_at INTEGER,
    delivered_at INTEGER,
    offered_at INTEGER,
    read_at INTEGER,
    processed_at INTEGER,
    UNIQUE (hash, mine)
) STRICT;

-- What an inbox shows: small, whatever the history has grown to.
CREATE INDEX messages_waiting ON messages (mine, n, inbox)
    WHERE direction = 'in' AND inbox IN ('unread', 'read');
CREATE INDEX messages_of ON messages (mine, n);
CREATE INDEX messages_with ON messages (peer, n);
CREATE INDEX messages_in_conversation ON messages (conv, n);
CREATE INDEX messages_in_task ON messages (task, n) WHERE task IS NOT NULL;

CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    target INTEGER NOT NULL REFERENCES agents (n),
    seq INTEGER NOT NULL,
    cls TEXT NOT NULL,
    parcel BLOB NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE INDEX outbox_in_order ON outbox (state, n);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX outbox_held_up ON outbox (target, n) WHERE state = 'waiting';
CREATE INDEX outbox_expiry ON outbox (expires_at);

CREATE TABLE sequences (
    target INTEGER PRIMARY KEY REFERENCES agents (n),
    seq INTEGER NOT NULL
) STRICT;

CREATE TABLE tasks (
    n INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    role TEXT NOT NULL,
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    conv BLOB NOT NULL,
    title TEXT NOT NULL,
    home BLOB NOT NULL,
    state TEXT NOT NULL,
    open INTEGER NOT NULL,
    snapshot BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deadline INTEGER,
    revision INTEGER NOT NULL,
    UNIQUE (task, role)
) STRICT;

CREATE INDEX tasks_updated ON tasks (updated_at, task, role);
CREATE INDEX tasks_of ON tasks (mine, updated_at, task, role);
CREATE INDEX tasks_in_state ON tasks (state, updated_at);
CREATE INDEX tasks_deadline ON tasks (deadline, task, role) WHERE open AND deadline IS NOT NULL;

CREATE TABLE task_events (
    n INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    hash BLOB NOT NULL REFERENCES sealed (hash),
    side TEXT NOT NULL,
    device BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    UNIQUE (task, hash)
) STRICT;

CREATE TABLE receipts_owed (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL,
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    outcome TEXT NOT NULL,
    code TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (hash, mine, outcome)
) STRICT;

CREATE TABLE receipts_got (
    n INTEGER PRIMARY KEY,
    hash BLOB NOT NULL,
    device BLOB NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT NOT NULL,
    receipt BLOB NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (hash, device, outcome)
) STRICT;

CREATE TABLE quarantine (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    envelope BLOB NOT NULL,
    sealed BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    device BLOB,
    mine INTEGER REFERENCES agents (n),
    peer INTEGER REFERENCES agents (n),
    cls TEXT NOT NULL,
    key BLOB NOT NULL
) STRICT;

CREATE TABLE seen (
    n INTEGER PRIMARY KEY,
    device BLOB NOT NULL,
    id BLOB NOT NULL,
    target INTEGER NOT NULL REFERENCES agents (n),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (device, id),
    UNIQUE (device, target, seq)
) STRICT;

CREATE INDEX seen_at ON seen (at);

CREATE TABLE cursors (
    relay TEXT PRIMARY KEY,
    generation BLOB NOT NULL,
    offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `agents` is a JSON list of names.
CREATE TABLE tokens (
    digest BLOB PRIMARY KEY,
    label TEXT NOT NULL,
    scope TEXT NOT NULL,
    agents TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
    n INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    response BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (scope, key)
) STRICT;

CREATE INDEX answers_expiry ON answers (expires_at);

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    agent TEXT NOT NULL,
    raw BLOB NOT NULL,
    secret BLOB NOT NULL,
    uses INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used INTEGER NOT NULL,
    revoked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invite_uses (
    invite BLOB NOT NULL REFERENCES invites (id),
    request BLOB NOT NULL,
    PRIMARY KEY (invite, request)
) STRICT, WITHOUT ROWID;

-- `refs` are hashes of 32 bytes, one after another.
CREATE TABLE events (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    agent TEXT NOT NULL,
    refs BLOB NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX events_of ON events (agent, place);
