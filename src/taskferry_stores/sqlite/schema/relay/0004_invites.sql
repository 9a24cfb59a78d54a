-- Invites that owners have published, until they are over. The secret of none is here.
CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    agent INTEGER NOT NULL REFERENCES agents (n),
    account BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    raw BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX invites_of ON invites (account, expires_at);
CREATE INDEX invites_expiry ON invites (expires_at);
