-- Those who are about to join. Of tickets and of the codes in mailed links only SHA-256 is kept, of e-mail
-- addresses a keyed digest. A used ticket stays with its account, so that a second use can be told.

CREATE TABLE tickets (
    digest BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    email BLOB NOT NULL,
    note TEXT NOT NULL,
    account INTEGER REFERENCES accounts (n),
    used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_named ON tickets (name, expires_at) WHERE account IS NULL;
CREATE INDEX tickets_expiry ON tickets (expires_at) WHERE account IS NULL;
CREATE INDEX tickets_email ON tickets (email) WHERE email <> x'';

CREATE TABLE applications (
    digest BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    email BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX applications_expiry ON applications (expires_at);
