-- What an agent's question asks to send, in full, until it is answered with no, used, or over.
CREATE TABLE proposals (
    n INTEGER PRIMARY KEY,
    approval BLOB NOT NULL UNIQUE,
    content BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX proposals_expiry ON proposals (expires_at);
