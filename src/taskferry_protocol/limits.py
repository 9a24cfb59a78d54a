"""Every bound of the protocol, with its reason (spec/taskferry.md section 5). Imports nothing."""

from __future__ import annotations

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
DAY_MS: Final = 24 * 60 * MINUTE_MS

#: One frame is held whole in memory on each side of a session.
FRAME_BYTES: Final = 1_048_576
#: Several envelopes fit in a frame; what is larger is a blob.
ENVELOPE_BYTES: Final = 262_144
#: No stack can be exhausted by nesting.
CBOR_DEPTH: Final = 12
#: Each item costs its reader a hundred times its byte: a frame of empty maps would hold a relay for seconds.
CBOR_ITEMS: Final = 32_768
#: Devices of two owners.
WRAPS: Final = 64
#: A batch, not a backlog: parcels in a `send`, entries in a `deliver`.
BATCH: Final = 256
#: The largest `recover` with all devices fits.
STATEMENT_BYTES: Final = 8_192
#: Of 32 devices that rotate their keys, 17 years.
STATEMENTS: Final = 4_096
#: The last places of a log in which no device rotates its key: whoever stole one could fill it otherwise,
#: and nothing could be said any more that puts it out.
MANAGED_STATEMENTS: Final = 512
#: The last places of a log in which the recovery key alone signs, for the same reason: a device may be stolen
#: that manages.
RECOVERY_STATEMENTS: Final = 64
#: Active devices of an account.
DEVICES: Final = 32
#: Agents of an account.
AGENTS: Final = 64
#: A card is a description, not a document.
CARD_BYTES: Final = 8_192
#: Former encryption keys are erased after this long, so nothing sealed may live longer.
LIFETIME_MS: Final = 30 * DAY_MS
#: How far ahead of our clock another's may be.
SKEW_MS: Final = 5 * MINUTE_MS
#: What was seen is remembered past the longest lifetime.
SEEN_MS: Final = LIFETIME_MS + 2 * SKEW_MS
#: So many messages have led to each other at most: loops end.
HOPS: Final = 16
#: The last messages that led to one are named in it: enough to see a loop of that many.
CAUSES: Final = 8
#: Breakers (docs/breakers.md). Messages and new tasks between two agents in ten minutes without a person:
#: more than anybody reads; a batch of a hundred tasks passes.
PAIR_TALK: Final = 120
#: The same in a day: one every two and a half minutes, round the clock.
PAIR_TALK_A_DAY: Final = 600
#: Events of tasks between two agents in ten minutes: what the usual grant, 60 a minute, lets one side send.
PAIR_EVENTS: Final = 600
#: The same in a day: one every half a minute, round the clock.
PAIR_EVENTS_A_DAY: Final = 3_000
#: How often the same may be said between two agents in an hour: polite repetition, not a loop.
SAME_WORDS: Final = 5
#: Messages of a task whose request sets no budget: a note a minute for two working days, and the work.
TASK_BUDGET: Final = 1_000
#: Parts of a message, task or version: each is shown and saved by itself.
PARTS: Final = 32
#: A title is a line.
TITLE_CHARS: Final = 200
#: A brief, a note, a reason, a message's text.
TEXT_BYTES: Final = 65_536
#: The text or JSON of one part: leaves room for the rest of an envelope.
PART_TEXT_BYTES: Final = 196_608
#: Reasons, or requirements, of one message: more are a brief.
REASONS: Final = 32
#: A reason is a paragraph.
REASON_BYTES: Final = 2_048
#: A stranger's note stays small.
CONTACT_NOTE_BYTES: Final = 1_024
#: What one receipt speaks of: a batch.
RECEIPT_ITEMS: Final = 256
#: A link that lies about is found some day: three months are long enough for a conference or a course.
INVITE_LIFETIME_MS: Final = 90 * DAY_MS
#: More people than that are not invited one by one.
INVITE_USES: Final = 1_000
#: Invites of an account that a relay keeps at a time.
INVITES: Final = 64
#: An invite statement is a few hundred bytes.
INVITE_BYTES: Final = 1_024
#: Envelopes of class `connection` from one agent to another that has never answered.
CONTACTS: Final = 3
#: Envelopes of class `receipt` a minute between agents that are in contact and not connected.
CONTACT_RECEIPTS: Final = 12
#: Envelopes a minute that no grant names, from one agent to another that it is connected with: receipts, more
#: talk about the connection, news of a log.
SERVICE_RATE: Final = 600
#: The Padmé floor: a short answer looks like any other.
PADDED_FLOOR_BYTES: Final = 256
#: Times stay below 2^53 so that every language's numbers hold them.
TIME_LIMIT: Final = 2**53
#: What CBOR's plain integers hold.
UINT_LIMIT: Final = 2**64
#: A mailbox's offsets stay below 2^53 likewise, which databases hold, too.
OFFSET_LIMIT: Final = 2**53
#: How long two machines have to be linked: an owner at both keyboards needs two, a guesser has one try.
LINKING_MS: Final = 10 * MINUTE_MS
#: The largest letter between them is a device record.
LINKING_LETTER_BYTES: Final = 2_048
#: Calls of a session that are open at a time.
CALLS: Final = 16
#: How long a session may take to come to `ready`.
HANDSHAKE_MS: Final = 10 * SECOND_MS
#: Before `ready` nobody has proved anything: frames of the opening are small.
OPENING_BYTES: Final = 4_096
#: CBOR items of an `auth`, which may be as long as any frame: the statements in it are bytes.
AUTH_ITEMS: Final = 512
#: Silence before a ping: under the 30 to 60 s after which home routers forget a connection.
PING_AFTER_MS: Final = 10 * SECOND_MS
#: Silence before a session is over: two pings and their way.
DEAD_AFTER_MS: Final = 25 * SECOND_MS
#: What may be under way on a session without a result or an acknowledgement.
WINDOW_ENTRIES: Final = 1_024
#: The same in bytes.
WINDOW_BYTES: Final = 4 * FRAME_BYTES
