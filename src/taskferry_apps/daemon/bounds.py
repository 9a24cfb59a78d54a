"""Every limit of a daemon beside those of the protocol and of the breakers, each with its reason.

Most are fixed: whoever sends and whoever asks here is one owner's peer or program, and no owner gains by
another number. How long records are kept is set by `TASKFERRY_CLIENT_LIMITS`; when breakers trip is set apart
from these (docs/breakers.md). Modules take their numbers from here; `docs/limits.md` is made of this table.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from taskferry_protocol.limits import DAY_MS, MINUTE_MS

from ..limit_table import Of, Unit, changed_by, described, fixed, settable

__all__ = ["BOUNDS", "DaemonBounds", "read_bounds", "written_bounds"]

_MIB: Final = 1_048_576
_COUNT, _BYTES, _MS = Unit.COUNT, Unit.BYTES, Unit.MS


@attrs.frozen(kw_only=True)
class DaemonBounds:
    """A daemon's limits."""

    # --- what others send

    quarantine_items: int = fixed(Of.PEERS, 1_000, _COUNT, "Set aside: more than an owner will ever look at.")
    quarantine_bytes: int = fixed(
        Of.PEERS, 32 * _MIB, _BYTES, "The same: a hundred of the largest envelopes."
    )
    unsigned_bytes: int = fixed(
        Of.PEERS, 1_024, _BYTES, "Kept of what nobody has signed: as far as it may tell a person what it was."
    )
    barred_items: int = fixed(
        Of.PEERS,
        200,
        _COUNT,
        "Words in tasks of one connection that come back when more is allowed: those then on their way.",
    )
    barred_bytes: int = fixed(Of.PEERS, 4 * _MIB, _BYTES, "The same in bytes.")
    held_items: int = fixed(
        Of.PEERS,
        200,
        _COUNT,
        "Held of one pair at a time once a breaker has tripped; talk beyond it is set aside.",
    )
    held_bytes: int = fixed(Of.PEERS, 4 * _MIB, _BYTES, "The same in bytes.")
    unbegun_tasks: int = fixed(
        Of.PEERS, 32, _COUNT, "Tasks of one peer of which only later events have come: more are no accident."
    )
    task_events: int = fixed(
        Of.PEERS,
        10_000,
        _COUNT,
        "Of one task, whatever its budget: every event is folded again with each that comes.",
    )
    task_events_spare: int = fixed(
        Of.PEERS, 64, _COUNT, "Beyond what a task's budget comes to: what ends it, and forks."
    )
    task_bytes: int = fixed(
        Of.PEERS,
        64 * _MIB,
        _BYTES,
        "Of one task: all of it is read with each event, in a third of a second.",
    )
    task_word_bytes: int = fixed(
        Of.PEERS, 4_096, _BYTES, "Of an event that counts beyond that: what ends a task, and a reason."
    )
    task_events_late: int = fixed(
        Of.PEERS,
        64,
        _COUNT,
        "Confirmations that wait to be placed; nobody signs more before anything else comes.",
    )
    alarms: int = fixed(Of.PEERS, 32, _COUNT, "The newest; each is in the feed and in the evidence, too.")
    agents_told: int = fixed(
        Of.PEERS, 256, _COUNT, "Agents of the account's other devices, those that were withdrawn among them."
    )
    requests: int = fixed(
        Of.PEERS,
        1_000,
        _COUNT,
        "Requests for connections that wait for the owner or were taken back, a month each: more than "
        "anybody reads.",
    )
    requests_of_account: int = fixed(
        Of.PEERS, 32, _COUNT, "Of one account: no stranger, with however many agents, keeps all others out."
    )
    accused_strangers: int = fixed(
        Of.PEERS,
        64,
        _COUNT,
        "Strangers kept though their requests are over, as they are held, in question or accused, each with "
        "a log of 2 MiB at most; the oldest go first.",
    )
    regained: int = fixed(
        Of.PEERS,
        4_096,
        _COUNT,
        "Connections that a relay may show after a recovery or a restore: more than any owner has.",
    )

    stranger_log_bytes: int = fixed(
        Of.PEERS,
        2 * _MIB,
        _BYTES,
        "Of the log of an account not known here that asks for a connection: more than all key rotations.",
    )

    # --- programs of this machine

    connections: int = fixed(
        Of.PROGRAMS, 512, _COUNT, "To the local port, event streams and requests that wait among them."
    )
    requests_of_one: int = fixed(
        Of.PROGRAMS,
        64,
        _COUNT,
        "Under way with one agent's credential, streams and waiting ones among them.",
    )
    requests_at_work: int = fixed(
        Of.PROGRAMS,
        4,
        _COUNT,
        "Of those, worked on at a time: nobody waits behind one program's many.",
    )
    body_bytes: int = fixed(
        Of.PROGRAMS, _MIB, _BYTES, "Of a request: more than any text, and room for how JSON writes it."
    )
    body_with_files_bytes: int = fixed(
        Of.PROGRAMS, 2 * _MIB, _BYTES, "The largest attachments in base64, and as much again for text."
    )
    json_depth: int = fixed(
        Of.PROGRAMS,
        32,
        _COUNT,
        "Deep enough for any artifact that people describe, far from any parser's stack.",
    )
    messages_at_once: int = fixed(
        Of.PROGRAMS, 256, _COUNT, "In one request: some tens of milliseconds of sealing, and four commits."
    )
    questions: int = fixed(
        Of.PROGRAMS, 32, _COUNT, "Of one agent that wait for the owner: who has more to answer answers none."
    )
    question_rate: int = fixed(Of.PROGRAMS, 30, Unit.PER_MINUTE, "Of one agent, answered ahead or not.")
    wakers: int = fixed(Of.PROGRAMS, 32, _COUNT, "Each is looked at whenever something comes.")
    rules: int = fixed(Of.PROGRAMS, 256, _COUNT, "In force at once: each is looked at with what comes.")
    asked: int = fixed(
        Of.PROGRAMS,
        32,
        _COUNT,
        "Requests to another device that wait: more than anybody types before looking why.",
    )
    events_shown: int = fixed(
        Of.PROGRAMS, 500, _COUNT, "Of a task, the newest, where nobody asks for another number: some 250 KB."
    )
    events_a_page: int = fixed(Of.PROGRAMS, 1_000, _COUNT, "As many as one may ask for at a time.")
    notes_bytes_shown: int = fixed(Of.PROGRAMS, _MIB, _BYTES, "Of what was said with the events of a page.")
    versions_shown: int = fixed(Of.PROGRAMS, 50, _COUNT, "Of a task's work, the newest; others by pages.")
    versions_bytes_shown: int = fixed(
        Of.PROGRAMS, 4 * _MIB, _BYTES, "The same in bytes; one is always shown."
    )
    browsers: int = fixed(Of.PROGRAMS, 32, _COUNT, "Sessions of the dashboard; the oldest goes first.")
    browser_links: int = fixed(Of.PROGRAMS, 16, _COUNT, "One-time links to it, unused.")
    browser_idle_ms: int = fixed(
        Of.PROGRAMS,
        30 * MINUTE_MS,
        _MS,
        "A page that nobody uses is closed before somebody else sits down at it.",
    )
    browser_life_ms: int = fixed(
        Of.PROGRAMS, 12 * 60 * MINUTE_MS, _MS, "And a used one at the end of the day."
    )
    held_links: int = fixed(
        Of.PROGRAMS, 16, _COUNT, "Links that wait to be looked at: a web page may open as many as it likes."
    )
    proofs: int = fixed(Of.PROGRAMS, 64, _COUNT, "Answers about proofs that are kept: those of open pages.")

    # --- the disk

    audit_entries: int = settable(
        Of.DISK,
        100_000,
        _COUNT,
        "Kept of the audit log, some 30 MB. The oldest go a thousand at a time, and an entry says so.",
        (10_000, 200_000),
    )
    audit_days: int = settable(
        Of.DISK,
        1_100,
        Unit.DAYS,
        "The same in time: what was decided three years ago is still there to be shown.",
        (30, 10_000),
    )
    traffic_days: int = settable(
        Of.DISK,
        400,
        Unit.DAYS,
        "How long what was sent and received is counted by quarters of an hour: a year, and its beginning.",
        (7, 10_000),
    )
    requests_kept_ms: int = fixed(
        Of.DISK,
        31 * DAY_MS,
        _MS,
        "How long requests of peers that nobody answered are listed afterwards: an answer may be on its way.",
    )
    feed_lines: int = fixed(Of.DISK, 10_000, _COUNT, "Of the feed, for followers who come late.")
    feed_ms: int = fixed(Of.DISK, 30 * DAY_MS, _MS, "The same in time.")
    questions_kept_ms: int = fixed(
        Of.DISK, 7 * DAY_MS, _MS, "How long questions of agents are listed afterwards."
    )
    leases_kept_ms: int = fixed(
        Of.DISK,
        90 * DAY_MS,
        _MS,
        "What nobody has taken for so long has no program that still knows its fence.",
    )

    expired_words: int = fixed(
        Of.DISK, 256, _COUNT, "In tasks, that are brought again: what peers who were long away have missed."
    )
    expired_words_of_account: int = fixed(
        Of.DISK, 128, _COUNT, "To one account: who refuses all as too late leaves room for others."
    )

    # --- memory

    logs_held: int = fixed(Of.MEMORY, 512, _COUNT, "Accounts whose logs are held folded.")
    logs_held_bytes: int = fixed(
        Of.MEMORY, 16 * _MIB, _BYTES, "The same in bytes: a log of the largest statements has 32 MiB."
    )
    looks_held: int = fixed(
        Of.MEMORY, 8_192, _COUNT, "Events of long tasks that are held folded for whoever looks again."
    )
    looks_held_bytes: int = fixed(Of.MEMORY, 4 * _MIB, _BYTES, "The same in bytes of their contents.")
    pairs_held: int = fixed(Of.MEMORY, 512, _COUNT, "Pairs that are held; another one costs a query.")


BOUNDS: Final = DaemonBounds()
"""All of them, as they are where nothing is set."""


def read_bounds(text: str) -> DaemonBounds:
    """The limits that a text sets: `name=number`, comma-separated.

    Raises ValueError, which completes the sentence "it must be".
    """
    found: dict[str, Any] = changed_by(text, described(DaemonBounds))
    return attrs.evolve(BOUNDS, **found)


def written_bounds(bounds: DaemonBounds) -> str:
    """The text that sets these limits: those that may be set."""
    limits = [limit for limit in described(DaemonBounds).values() if limit.span is not None]
    return ",".join(f"{limit.name}={getattr(bounds, limit.field)}" for limit in limits)
