-- An owner who has lost every device asks for the account's connections, ended ones too.
CREATE INDEX connections_from ON connections (from_agent);
CREATE INDEX connections_to ON connections (to_agent);
