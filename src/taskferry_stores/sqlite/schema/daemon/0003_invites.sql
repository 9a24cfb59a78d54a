-- What an invite lets come about by itself, and what was found of the one that a request named.
ALTER TABLE invites ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE invites ADD COLUMN accepts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invites ADD COLUMN permissions TEXT NOT NULL DEFAULT '';
ALTER TABLE connections ADD COLUMN invite_state TEXT NOT NULL DEFAULT '';
