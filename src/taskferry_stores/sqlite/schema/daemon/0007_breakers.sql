-- Breakers: what two agents exchanged lately, and what stands stopped until the owner has looked.

ALTER TABLE gates ADD COLUMN why TEXT NOT NULL DEFAULT '';

-- The last day's only, and nothing from before a person last decided about the two.
CREATE TABLE exchanges (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    inbound INTEGER NOT NULL,
    talk INTEGER NOT NULL,
    words BLOB
) STRICT;

CREATE INDEX exchanges_between ON exchanges (mine, peer, at);

CREATE TABLE breakers (
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    code TEXT NOT NULL,
    tripped_at INTEGER,
    held INTEGER NOT NULL,
    size INTEGER NOT NULL,
    latched INTEGER NOT NULL,
    refused_until INTEGER,
    looked_at INTEGER,
    PRIMARY KEY (mine, peer)
) STRICT, WITHOUT ROWID;

CREATE INDEX breakers_tripped ON breakers (tripped_at) WHERE code <> '';

CREATE INDEX messages_stopped ON messages (mine, peer, n) WHERE direction = 'in' AND inbox = 'stopped';
