-- Accounts that the operator has suspended, and a number that rises with every change, for who has the list.
CREATE TABLE suspensions (
    account INTEGER PRIMARY KEY REFERENCES accounts (n),
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE suspensions_version (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    n INTEGER NOT NULL
) STRICT;

INSERT INTO suspensions_version (one, n) VALUES (1, 0);

-- One-time links into the operator's pages: of each only SHA-256 is kept.
CREATE TABLE sign_ins (
    digest BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Public agents in the order in which they were first listed, and the words by which they are found.
CREATE TABLE directory (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    agent INTEGER NOT NULL UNIQUE REFERENCES agents (n),
    version INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE directory_words (
    word TEXT NOT NULL,
    n INTEGER NOT NULL REFERENCES directory (n),
    PRIMARY KEY (word, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX directory_words_of ON directory_words (n);

-- Whose a mailbox is.
CREATE INDEX account_keys_key ON account_keys (key);
