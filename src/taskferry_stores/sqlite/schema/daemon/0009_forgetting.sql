-- What is forgotten in its time.

-- Requests for connections that their sender took back before anybody here had answered.
ALTER TABLE connections ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;

CREATE INDEX connections_withdrawn ON connections (expires_at) WHERE withdrawn;

CREATE INDEX connections_with ON connections (peer);
CREATE INDEX names_of ON names (account);

-- An envelope that is forgotten is looked for among the events of tasks, none of which is.
CREATE INDEX task_events_by_hash ON task_events (hash);
