-- A relay's truth. Devices and agents have small numbers (`n`) that stand for their 32 bytes in every index.
-- Unsigned integers from outside are kept as signed ones of the same 64 bits.

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The store's own words about itself: `generation`.
CREATE TABLE about (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    length INTEGER NOT NULL,
    head BLOB NOT NULL,
    held TEXT NOT NULL
) STRICT;

CREATE TABLE statements (
    account INTEGER NOT NULL REFERENCES accounts (n),
    seq INTEGER NOT NULL,
    raw BLOB NOT NULL,
    PRIMARY KEY (account, seq)
) STRICT, WITHOUT ROWID;

-- Every key that a log has ever named. Who holds none of them is turned away before the log is read.
CREATE TABLE account_keys (
    account INTEGER NOT NULL REFERENCES accounts (n),
    key BLOB NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;

-- A name belongs to its first account for ever, so rows are only ever added.
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (n)
) STRICT, WITHOUT ROWID;

CREATE INDEX names_of ON names (account);

CREATE TABLE agents (
    n INTEGER PRIMARY KEY,
    account BLOB NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE cards (
    agent INTEGER PRIMARY KEY REFERENCES agents (n),
    version INTEGER NOT NULL,
    public INTEGER NOT NULL,
    raw BLOB NOT NULL
) STRICT;

CREATE TABLE connections (
    n INTEGER PRIMARY KEY,
    request BLOB NOT NULL UNIQUE,
    from_agent INTEGER NOT NULL REFERENCES agents (n),
    to_agent INTEGER NOT NULL REFERENCES agents (n),
    request_raw BLOB NOT NULL,
    accept_raw BLOB NOT NULL,
    end_raw BLOB NOT NULL
) STRICT;

CREATE INDEX connections_between ON connections (from_agent, to_agent) WHERE end_raw = x'';

CREATE TABLE grants (
    n INTEGER PRIMARY KEY,
    connection INTEGER NOT NULL REFERENCES connections (n),
    grantor INTEGER NOT NULL REFERENCES agents (n),
    version INTEGER NOT NULL,
    raw BLOB NOT NULL,
    terms BLOB NOT NULL
) STRICT;

CREATE INDEX grants_of ON grants (connection);

CREATE TABLE contacts (
    from_agent INTEGER NOT NULL REFERENCES agents (n),
    to_agent INTEGER NOT NULL REFERENCES agents (n),
    sent INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    PRIMARY KEY (from_agent, to_agent)
) STRICT, WITHOUT ROWID;

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

-- As a sender, `place` is the number of envelopes accepted from the device. As a mailbox: `last` offset given,
-- `acked` by the device, `swept` up to where acknowledged entries are deleted, `count` and `bytes` that wait.
CREATE TABLE devices (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    place INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0,
    swept INTEGER NOT NULL DEFAULT 0,
    count INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX devices_to_sweep ON devices (n) WHERE swept < acked;

-- Every envelope accepted, for longer than any lives. `receivers` are pairs of device number and offset.
-- The foreign keys of these three tables are left out: their numbers come from this schema's own code, and
-- looking each up again would cost more than the row.
CREATE TABLE seen (
    n INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    id BLOB NOT NULL,
    target INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    place INTEGER NOT NULL,
    at INTEGER NOT NULL,
    receivers BLOB NOT NULL
) STRICT;

-- Ids begin with the time, so new ones meet in the last pages of this index, whoever sends them.
CREATE UNIQUE INDEX seen_id ON seen (id, device);
CREATE UNIQUE INDEX seen_seq ON seen (device, target, seq);

-- An envelope's bytes while some mailbox needs them; `n` is its number in `seen`. `wraps` are, for each receiver,
-- the device's number, a length, and the key wrapped for it: here, in the order of arrival, they cost less to
-- write than scattered over the mailboxes.
CREATE TABLE envelopes (
    n INTEGER PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    wraps BLOB NOT NULL,
    raw BLOB NOT NULL
) STRICT;

CREATE INDEX envelopes_expiry ON envelopes (expires_at);

-- An entry has `envelope`; a notice has `hash` and `code` instead. `size` is what usage counts.
CREATE TABLE mailbox (
    device INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    size INTEGER NOT NULL,
    envelope INTEGER,
    hash BLOB,
    code TEXT,
    PRIMARY KEY (device, offset)
) STRICT, WITHOUT ROWID;
