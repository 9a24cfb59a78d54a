-- The programs that act as our agents, what each has in hand, and what is known of who is there.

CREATE TABLE runtimes (
    id BLOB PRIMARY KEY,
    agent TEXT NOT NULL,
    program TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    since INTEGER NOT NULL,
    bound_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX runtimes_of ON runtimes (agent, bound_at);

-- `unit` is a task, or a message that belongs to none; `runtime` is empty once it was given back.
CREATE TABLE leases (
    unit BLOB NOT NULL,
    agent TEXT NOT NULL,
    runtime BLOB NOT NULL,
    fence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (unit, agent)
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_of ON leases (runtime);
CREATE INDEX leases_by_age ON leases (at);

-- When somebody last acted as each agent of ours.
CREATE TABLE agents_seen (
    agent TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a peer's daemon has last said of whether it tells what becomes of mail there, and when its agent ran.
CREATE TABLE peer_words (
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    tells INTEGER NOT NULL,
    seen_at INTEGER,
    said_at INTEGER NOT NULL,
    PRIMARY KEY (mine, peer)
) STRICT, WITHOUT ROWID;

-- The latest mark of which an inbound message's sender was told, or is to be: 1 offered, 2 read, 3 processed.
ALTER TABLE messages ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
