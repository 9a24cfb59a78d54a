"""Every kind of entry of both audit logs, as its owner or operator reads it."""

from __future__ import annotations

import time

import pytest

from taskferry_apps import audit_words
from taskferry_apps.audit_words import audit_sentence
from taskferry_apps.cli import relay_audit_words
from taskferry_apps.cli.relay_audit_words import relay_sentence
from taskferry_protocol.audit import AuditKind, RelayAuditKind

ID = "3f9c01ab" + "0" * 56
SOON = int(time.time() * 1000) + 3 * 86_400_000 + 60_000
AGO = SOON - 4 * 86_400_000 - 43_200_000
WITH = {"mine": "writer", "connection": ID[:16]}
GRANT = {
    "version": 2, "classes": "message task", "rate_per_minute": 60, "largest_bytes": 262_144,
    "auto_trigger": "no", "human_gate": "yes", "task_budget": 20, "largest_artifact": 262_144,
}  # fmt: skip
BOB = "@bob/reader"

OWNERS = [
    (
        "set_up",
        "@alice",
        {"device": ID, "account": ID, "relay": "https://r.example", "by": "name"},
        "The account @alice was set up here, for the relay https://r.example.",
    ),
    (
        "set_up",
        "@alice",
        {"device": ID, "account": ID, "relay": "https://r.example", "by": "ticket"},
        "The account @alice was set up here, for the relay https://r.example, with a ticket.",
    ),
    (
        "set_up",
        "@alice",
        {"relay": "https://r.example", "by": "another ticket"},
        "The set-up of @alice at https://r.example was tried with another ticket.",
    ),
    (
        "set_up",
        "@alice",
        {"device": ID, "statement": 1},
        "The account log of @alice began, with device 3f9c01ab.",
    ),
    (
        "sign_in",
        "https://r.example",
        {"device": ID[:16], "transport": "websocket", "again": 3},
        "This machine had a session with the relay https://r.example, by websocket."
        " Again 3 times within the hour.",
    ),
    ("sign_in", "browser", {"page": "/connect/x"}, "A browser was let in to your pages (/connect/x)."),
    ("agent_changed", "writer", {"devices": 1, "statement": 2}, "Agent writer is served by 1 device."),
    ("agent_changed", "writer", {"devices": 0, "statement": 3}, "Agent writer was withdrawn."),
    (
        "breaker_changed",
        "@alice/requester",
        {"mine": "writer", "limits": "hops=4 messages-a-day=30"},
        "You set when breakers trip between writer and @alice/requester: hops 4 and messages a day 30.",
    ),
    (
        "breaker_changed",
        "@alice/requester",
        {"mine": "writer", "limits": ""},
        "You let breakers trip as usual between writer and @alice/requester.",
    ),
    (
        "card_changed",
        "writer",
        {"version": 3, "changed": "display_name tagline", "visibility": "public"},
        "You changed the card of writer: display name and tagline (version 3).",
    ),
    (
        "card_changed",
        "writer",
        {"version": 4, "visibility": "public", "by": "another device"},
        "Another machine of yours changed the card of writer (version 4).",
    ),
    (
        "connection_asked",
        BOB,
        {**WITH, "by": "owner"},
        "You asked @bob/reader to be connected with writer (3f9c01ab).",
    ),
    (
        "connection_asked",
        BOB,
        {**WITH, "by": "local program"},
        "A program of writer asked @bob/reader to be connected with writer (3f9c01ab).",
    ),
    (
        "connection_asked",
        BOB,
        {**WITH, "by": "peer"},
        "@bob/reader asked to be connected with writer (3f9c01ab).",
    ),
    (
        "connection_accepted",
        BOB,
        {**WITH, "by": "peer"},
        "@bob/reader accepted to be connected with writer (3f9c01ab).",
    ),
    (
        "connection_accepted",
        BOB,
        {**WITH, "by": f"rule {ID[:16]}"},
        "By your rule 3f9c01ab, this machine accepted @bob/reader to be connected with writer (3f9c01ab).",
    ),
    (
        "connection_accepted",
        BOB,
        {**WITH, "by": "invite"},
        "By an invite of yours, this machine accepted @bob/reader to be connected with writer (3f9c01ab).",
    ),
    ("connection_declined", BOB, {**WITH, "by": "owner"}, "You declined @bob/reader for writer (3f9c01ab)."),
    ("connection_declined", BOB, {**WITH, "by": "peer"}, "@bob/reader declined writer (3f9c01ab)."),
    (
        "connection_revoked",
        BOB,
        {**WITH, "by": "owner"},
        "You ended the connection of @bob/reader with writer (3f9c01ab).",
    ),
    (
        "connection_revoked",
        BOB,
        {**WITH, "by": "peer"},
        "@bob/reader ended the connection with writer (3f9c01ab).",
    ),
    ("connection_blocked", BOB, {**WITH, "by": "owner"}, "You blocked @bob/reader for writer (3f9c01ab)."),
    (
        "connection_blocked",
        BOB,
        {**WITH, "by": "another device"},
        "Another machine of yours blocked @bob/reader for writer (3f9c01ab).",
    ),
    (
        "connection_unblocked",
        BOB,
        {**WITH, "by": "another device"},
        "Another machine of yours unblocked @bob/reader for writer (3f9c01ab).",
    ),
    (
        "connection_unblocked",
        BOB,
        {**WITH, "by": "owner"},
        "You unblocked @bob/reader for writer (3f9c01ab).",
    ),
    (
        "grant",
        BOB,
        {**WITH, **GRANT, "by": "owner"},
        "You allow @bob/reader to send writer messages and tasks (version 2): 60 envelopes a minute,"
        " 256 KiB each, 20 tasks open at once, each waits for you first.",
    ),
    (
        "permission_changed",
        BOB,
        {**WITH, **GRANT, "by": "peer", "human_gate": "no", "until": SOON},
        "@bob/reader allows writer to send it messages and tasks (version 2): 60 envelopes a minute,"
        " 256 KiB each, 20 tasks open at once, none waits (no human gate), ending in 3 d.",
    ),
    (
        "permission_changed",
        BOB,
        {**WITH, **GRANT, "by": "owner", "classes": ""},
        "You allow @bob/reader to send writer nothing (version 2).",
    ),
    (
        "approval",
        BOB,
        {"what": "task", "task": ID[:16], "mine": "writer", "by": "owner"},
        "You let through task 3f9c01ab of @bob/reader to writer.",
    ),
    (
        "approval",
        BOB,
        {"what": "task", "task": ID[:16], "mine": "writer", "by": ID},
        "By your rule 3f9c01ab, this machine let through task 3f9c01ab of @bob/reader to writer.",
    ),
    (
        "approval",
        "@alice/writer",
        {"what": "paid-calls", "question": ID[:16], "by": "owner"},
        "You allowed @alice/writer: paid calls (question 3f9c01ab).",
    ),
    (
        "denial",
        "@alice/writer",
        {"what": "shell", "by": "policy"},
        "By what you decided ahead, this machine forbade @alice/writer: shell.",
    ),
    (
        "denial",
        BOB,
        {"what": "task", "task": ID[:16], "mine": "writer", "by": "another device"},
        "Another machine of yours turned away task 3f9c01ab of @bob/reader to writer.",
    ),
    (
        "refusal",
        BOB,
        {"code": "not-permitted", "mine": "writer", "class": "task", "again": 1},
        "Refused mail of class task from @bob/reader to writer: not permitted. Again once within the hour.",
    ),
    ("refusal", "unknown sender", {"code": "malformed"}, "Refused mail of an unknown sender: malformed."),
    (
        "refusal",
        "writer",
        {"code": "owner-only", "asked": "POST /gates/release", "by": "local program"},
        "A program of writer asked for what only you may do (POST /gates/release), and was refused.",
    ),
    (
        "refusal",
        "others",
        {"again": 40},
        "Refusal: others like it, too many to write down one by one. Again 40 times within the hour.",
    ),
    (
        "rule_changed",
        "@bob/*",
        {"rule": ID[:16], "mine": "", "did": "made", "tasks_per_day": 3, "by": "owner"},
        "You made the rule 3f9c01ab: @bob/* is accepted for all agents, 3 tasks a day pass the gate.",
    ),
    (
        "rule_changed",
        "@bob/*",
        {"rule": ID[:16], "mine": "writer", "did": "removed", "tasks_per_day": 3},
        "You removed the rule 3f9c01ab about @bob/* for writer.",
    ),
    (
        "gate_changed",
        "@alice/writer",
        {"mode": "guarded", "by": "owner"},
        "You set the mode of @alice/writer to guarded.",
    ),
    (
        "gate_changed",
        "@alice/writer",
        {"action": "local-files", "policy": "never", "by": "owner"},
        "You decided ahead what @alice/writer may do: local files, never.",
    ),
    ("key_rotated", "laptop", {"device": ID}, "Device laptop (3f9c01ab) has a fresh encryption key."),
    ("device_added", "laptop", {"device": ID}, "Device laptop (3f9c01ab) was added to the account."),
    ("device_revoked", "laptop", {"device": ID}, "Device laptop (3f9c01ab) was put out of the account."),
    ("device_revoked", "", {"device": ID, "retired": 1}, "Device 3f9c01ab left the account by itself."),
    ("device_renamed", "kitchen", {"device": ID}, "You named a device kitchen (3f9c01ab)."),
    (
        "recovery_changed",
        "recovery key",
        {"statement": 4},
        "The account has a new recovery phrase; the one before counts for it no longer.",
    ),
    (
        "recovered",
        "account",
        {"devices": 1},
        "The account was recovered; every device that was not kept is put out.",
    ),
    ("renamed", "@ada", {"statement": 5}, "The account is called @ada from now on."),
    (
        "trust_changed",
        BOB,
        {"to": "verified", "account": ID, "by": "owner"},
        "You have compared the safety code with @bob/reader: verified.",
    ),
    (
        "trust_changed",
        BOB,
        {"to": "not verified", "why": "another code"},
        "The safety code typed in for @bob/reader was another one: not verified.",
    ),
    (
        "trust_changed",
        BOB,
        {"trust": "pinned", "by": "invite"},
        "@bob/reader is pinned: it came through an invite of yours for one.",
    ),
    (
        "identity_changed",
        "@bob",
        {"what": "second_claim", "account": ID, "other": ID},
        "The identity of @bob is in question: another account claims its name.",
    ),
    (
        "peer_devices",
        "@bob",
        {"add_device": 2, "recover": 1, "length": 9},
        "The account log of @bob went on: devices added: 2, recoveries: 1.",
    ),
    ("alarm", "The quarantine is full.", {}, "Alarm: The quarantine is full."),
    (
        "alarm",
        "The quarantine is full.",
        {"dismissed": "yes"},
        "You dismissed an alarm: The quarantine is full.",
    ),
    (
        "credential_made",
        "writer",
        {"id": ID[:16], "label": ""},
        "You made a credential for programs of writer (3f9c01ab).",
    ),
    ("credential_revoked", "writer", {"id": ID[:16]}, "You ended a credential of writer (3f9c01ab)."),
    (
        "invite_made",
        ID[:32],
        {"mine": "writer", "uses": 1, "until": SOON, "accepts": "no", "by": "owner"},
        "You made an invite to writer for one request, ending in 3 d (3f9c01ab).",
    ),
    (
        "invite_revoked",
        ID[:32],
        {"mine": "writer", "by": "owner"},
        "You withdrew an invite to writer (3f9c01ab).",
    ),
    (
        "invite_used",
        BOB,
        {"invite": ID[:32], "mine": "writer", "by": "peer"},
        "@bob/reader came through your invite to writer (3f9c01ab).",
    ),
    (
        "export",
        f"task {ID[:16]}",
        {"by": "local program"},
        "A program exported the history of task 3f9c01ab.",
    ),
    ("export", "audit log", {}, "You exported the audit log."),
    ("manage_key", "account key", {"what": "unlocked"}, "The account's key was unlocked."),
    (
        "backup",
        "this machine",
        {"bytes": 2_097_152, "lock": "recovery"},
        "You made a backup of this machine, 2 MiB, which the recovery phrase opens.",
    ),
    (
        "restored",
        "this machine",
        {"made_at": AGO, "device": "a new one"},
        "This machine was restored from a backup made 1 d ago, as a new device.",
    ),
    (
        "shortened",
        "audit log",
        {"from": 1, "upto": 1000, "hash": "00" * 32},
        "Entries 1 to 1000 went, too old or too many.",
    ),
    (
        "connection_regained",
        BOB,
        {**WITH, "shown_by": "relay"},
        "The connection of writer with @bob/reader came back from the relay (3f9c01ab).",
    ),
    (
        "breaker",
        BOB,
        {"mine": "writer", "code": "same-words"},
        "A breaker stands between writer and @bob/reader: the same was said over and over.",
    ),
    (
        "approval",
        BOB,
        {"mine": "writer", "what": "stop", "code": "same-words", "held": 3},
        "You let through what a breaker held of @bob/reader for writer.",
    ),
    (
        "gate_changed",
        "@alice/writer",
        {"by": "owner", "tells": "nothing"},
        "You set what senders are told of mail to @alice/writer: nothing.",
    ),
]

RELAYS = [
    (
        "started",
        "http://127.0.0.1:1",
        {"state": "ticket"},
        "The relay started at http://127.0.0.1:1; new accounts need a ticket.",
    ),
    (
        "restored",
        "database",
        {"from": "an older copy"},
        "The database is an older copy: a new generation began, and senders offer again.",
    ),
    (
        "mail_failed",
        "mail",
        {"reason": "the server refused", "then": "given up"},
        "A mail was not sent: the server refused; given up.",
    ),
    (
        "mail_failed",
        "mail",
        {"reason": "the relay stopped", "lost": 3},
        "3 mails were not sent: the relay stopped.",
    ),
    ("account_taken", "@alice", {"account": ID}, "@alice joined (account 3f9c01ab)."),
    ("name_claimed", "@ada", {"account": ID}, "@ada is the name of account 3f9c01ab from now on."),
    ("device_added", "@alice", {"account": ID, "device": ID}, "@alice added device 3f9c01ab."),
    ("device_revoked", "@alice", {"account": ID, "device": ID}, "Device 3f9c01ab of @alice was put out."),
    ("recovery_changed", "@alice", {"account": ID}, "@alice has a new recovery key."),
    ("recovered", "@alice", {"account": ID, "devices": 1}, "@alice recovered the account."),
    (
        "sign_in",
        "@alice",
        {"device": ID, "again": 2},
        "@alice had a session, with device 3f9c01ab. Again 2 times within the hour.",
    ),
    (
        "refusal",
        "session",
        {"code": "bad-signature", "address": "192.0.2.1"},
        "A session from 192.0.2.1 was refused: bad signature.",
    ),
    (
        "refusal",
        "envelope",
        {"code": "no-grant", "account": ID},
        "An envelope of account 3f9c01ab was refused: no grant.",
    ),
    ("refusal", "others", {}, "Refusal: others like it, too many to write down one by one."),
    (
        "account_held",
        "@alice",
        {"account": ID},
        "@alice is held: its keys have signed two histories (account 3f9c01ab).",
    ),
    (
        "hold_lifted",
        "@alice",
        {"account": ID},
        "@alice is held no longer: it was recovered (account 3f9c01ab).",
    ),
    (
        "suspended",
        "@alice",
        {"account": ID, "by": "page", "reason": "spam."},
        "You suspended @alice (account 3f9c01ab): spam.",
    ),
    ("released", "@alice", {"account": ID, "by": "page"}, "You released @alice (account 3f9c01ab)."),
    (
        "operator_sign_in",
        "browser",
        {},
        "A browser was let into the operator's pages by a one-time link.",
    ),
    (
        "evidence",
        "equivocation",
        {"account": ID, "device": ID},
        "Evidence was kept against account 3f9c01ab, device 3f9c01ab: equivocation.",
    ),
    (
        "ticket_made",
        "any name",
        {"ticket": ID[:16], "by": "operator"},
        "Ticket 3f9c01ab for any name was made by the operator.",
    ),
    (
        "ticket_used",
        "@alice",
        {"ticket": ID[:16], "by": ID},
        "Ticket 3f9c01ab for @alice was used by account 3f9c01ab.",
    ),
    (
        "ticket_revoked",
        "any name",
        {"ticket": ID[:16], "by": "operator"},
        "Ticket 3f9c01ab for any name was withdrawn by the operator.",
    ),
]


@pytest.mark.parametrize(("kind", "subject", "facts", "told"), OWNERS)
def test_an_owner_reads_sentences(kind: str, subject: str, facts: dict[str, object], told: str) -> None:
    """Words and short ids; who did it comes first."""
    assert audit_sentence(kind, subject, facts) == told


@pytest.mark.parametrize(("kind", "subject", "facts", "told"), RELAYS)
def test_an_operator_reads_sentences(kind: str, subject: str, facts: dict[str, object], told: str) -> None:
    """The same of a relay."""
    assert relay_sentence(kind, subject, facts) == told


def test_every_kind_has_its_words_and_a_case_here() -> None:
    """A new kind of entry is not forgotten."""
    assert set(audit_words._TELLERS) == set(AuditKind) == {kind for kind, *_ in OWNERS}
    assert set(relay_audit_words._TELLERS) == set(RelayAuditKind) == {kind for kind, *_ in RELAYS}


def test_a_kind_of_a_later_version_is_shown_with_what_it_says() -> None:
    """Nothing is left out because nobody has words for it."""
    told = audit_sentence("tea_made", "writer", {"sugar": 2, "who_asked": "bob", "again": 1})
    assert told == "Tea made: writer (sugar 2, who asked bob). Again once within the hour."


@pytest.mark.parametrize("kind", [*AuditKind])
def test_an_entry_with_hardly_anything_in_it_is_told_all_the_same(kind: str) -> None:
    """An older version wrote fewer facts; and nothing that acts on a terminal passes."""
    told = audit_sentence(kind, "\x1b[2Jx", {"by": "\x1b]0;x\x07"})
    assert told
    assert "\x1b" not in told
