-- Searches and figures over all that is kept.

-- The words of messages, one row a message, by its number. Words come folded and apart from each other, so the
-- tokenizer splits at spaces alone; marks, which begin with a character that no word has, say whose they are.
-- The text itself is not kept here once more.
CREATE VIRTUAL TABLE search USING fts5 (
    words, content = '', columnsize = 0, detail = none, prefix = '2 3 4 5', tokenize = 'ascii'
);

-- Messages below `below` have not been taken into what this step adds; no row once all have.
CREATE TABLE history_fill (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    below INTEGER NOT NULL
) STRICT;

INSERT INTO history_fill (one, below) SELECT 1, max(n) + 1 FROM messages HAVING max(n) IS NOT NULL;

-- Conversations; `last` is the message that was stored last.
CREATE TABLE talks (
    mine INTEGER NOT NULL REFERENCES agents (n),
    peer INTEGER NOT NULL REFERENCES agents (n),
    conv BLOB NOT NULL,
    last INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (mine, peer, conv)
) STRICT, WITHOUT ROWID;

CREATE INDEX talks_by_last ON talks (last);
CREATE INDEX talks_of ON talks (mine, last);
CREATE INDEX talks_with ON talks (peer, last);

-- By quarters of an hour, and by hours once more: `span` is which, in milliseconds.
CREATE TABLE traffic (
    span INTEGER NOT NULL,
    at INTEGER NOT NULL,
    mine INTEGER NOT NULL REFERENCES agents (n),
    messages_sent INTEGER NOT NULL,
    messages_received INTEGER NOT NULL,
    events_sent INTEGER NOT NULL,
    events_received INTEGER NOT NULL,
    PRIMARY KEY (span, at, mine)
) STRICT, WITHOUT ROWID;

-- Only what is unread, so small.
CREATE INDEX messages_unread ON messages (n) WHERE direction = 'in' AND inbox = 'unread';
CREATE INDEX messages_unread_in_talk ON messages (mine, peer, conv) WHERE direction = 'in' AND inbox = 'unread';
CREATE INDEX messages_unread_in_task ON messages (task, mine) WHERE direction = 'in' AND inbox = 'unread';

CREATE INDEX tasks_open ON tasks (mine, role, state) WHERE open;

DROP INDEX tasks_in_state;
CREATE INDEX tasks_in_state ON tasks (state, role, updated_at, task);
CREATE INDEX tasks_of_in_state ON tasks (mine, state, role, updated_at, task);
CREATE INDEX tasks_with_in_state ON tasks (peer, state, role, updated_at, task, mine);
