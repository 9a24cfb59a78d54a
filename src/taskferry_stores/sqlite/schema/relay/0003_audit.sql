-- The audit log. `kind` is for finding; what counts is `raw`, which names the hash of the entry before it.
CREATE TABLE audit (
    n INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    raw BLOB NOT NULL
) STRICT;

CREATE INDEX audit_of ON audit (kind, n);

-- Where the log begins and ends: one row, so that a tail that was cut off is missed.
CREATE TABLE audit_chain (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    base INTEGER NOT NULL,
    base_hash BLOB NOT NULL,
    head INTEGER NOT NULL,
    head_hash BLOB NOT NULL
) STRICT;
