"""Every limit of a relay beside those of the protocol, each with its reason, in one place.

What an operator may have a reason to change is set by `TASKFERRY_RELAY_LIMITS`; the rest is fixed, because
another number would break a promise or help nobody. Modules take their numbers from here and have none of
their own; `docs/limits.md` and the operator's page are made of this table.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.limits import DAY_MS, DEVICES, FRAME_BYTES, MINUTE_MS

from ..limit_table import LimitRow, Of, Unit, changed_by, described, fixed, rows_of, settable

__all__ = ["USUAL", "Of", "RelayLimits", "Unit", "limit_rows", "mailbox_limits", "read_limits"]

_MIB: Final = 1_048_576
_GIB: Final = 1_024 * _MIB
_COUNT, _BYTES, _SECONDS, _MS = Unit.COUNT, Unit.BYTES, Unit.SECONDS, Unit.MS


@attrs.frozen(kw_only=True)
class RelayLimits:
    """A relay's limits. 0 means none where a field says so."""

    # --- the network

    connections: int = settable(
        Of.NETWORK,
        8_192,
        _COUNT,
        "Open ones. At 64 KiB an idle one this is half a gibibyte; file descriptors may allow fewer.",
        (16, 1_000_000),
    )
    connections_per_address: int = settable(
        Of.NETWORK,
        256,
        _COUNT,
        "Of one address, for IPv6 of one /64: it may not take every place; an office behind one fits. "
        "This machine's programs and trusted proxies are not counted.",
        (1, 1_000_000),
    )
    sessions_per_address: int = settable(
        Of.NETWORK,
        256,
        _COUNT,
        "Sessions, opening ones among them, of one address or /64, also of one that a trusted proxy names: "
        "the server below counts the proxy as one.",
        (1, 1_000_000),
    )
    longpoll_links: int = settable(
        Of.NETWORK, 4_096, _COUNT, "Open links over HTTP long-poll: two buffers each.", (1, 1_000_000)
    )
    longpoll_links_per_address: int = settable(
        Of.NETWORK, 64, _COUNT, "Of one address or /64, as above.", (1, 1_000_000)
    )
    longpoll_token_s: int = fixed(
        Of.NETWORK, 600, _SECONDS, "A token that nobody used for so long is forgotten."
    )
    longpoll_room_s: int = fixed(
        Of.NETWORK, 5, _SECONDS, "How long an upload waits for a slow link before it is told to come again."
    )
    head_bytes: int = fixed(
        Of.NETWORK, 16_384, _BYTES, "A request's line and headers; browsers and proxies stay under 8 KiB."
    )
    body_bytes: int = fixed(Of.NETWORK, _MIB, _BYTES, "A request's body, where its path allows no less.")
    form_bytes: int = fixed(Of.NETWORK, 8_192, _BYTES, "A form of the sign-up and operator's pages.")
    frame_bytes: int = fixed(
        Of.NETWORK, FRAME_BYTES, _BYTES, "One frame is held whole in memory on each side of a session."
    )
    receive_bytes: int = fixed(
        Of.NETWORK,
        262_144,
        _BYTES,
        "Received frames that wait for a link, each direction; then reading stops.",
    )
    receive_frames: int = fixed(
        Of.NETWORK, 64, _COUNT, "The same in frames, so that tiny ones do not pile up either."
    )
    held_bodies_bytes: int = settable(
        Of.NETWORK,
        64 * _MIB,
        _BYTES,
        "All bodies longer than 64 KiB that are being received, together; past it, reading waits. One "
        "address or /64, also one that a trusted proxy names, may hold a quarter.",
        (2 * _MIB, 64 * _GIB),
    )
    held_frames_bytes: int = settable(
        Of.NETWORK,
        32 * _MIB,
        _BYTES,
        "All WebSocket messages longer than 64 KiB that are being received, together; past it, reading "
        "waits. Anybody may begin one, also before a session; one address a quarter, as above.",
        (2 * _MIB, 64 * _GIB),
    )
    handshake_s: int = fixed(
        Of.NETWORK,
        10,
        _SECONDS,
        "From the first byte to `ready`, to the end of TLS, or of a request's headers.",
    )
    body_s: int = fixed(Of.NETWORK, 30, _SECONDS, "For a whole body: the largest in that time needs 35 kB/s.")
    message_s: int = fixed(
        Of.NETWORK, 30, _SECONDS, "For a WebSocket message longer than 64 KiB, from its first byte."
    )
    idle_s: int = fixed(
        Of.NETWORK, 30, _SECONDS, "Of an HTTP connection between requests; a silent session ends after 25."
    )
    send_s: int = fixed(
        Of.NETWORK,
        30,
        _SECONDS,
        "For each 64 KiB sent: whoever takes less is gone, or holds memory on purpose.",
    )
    handler_s: int = fixed(
        Of.NETWORK,
        30,
        _SECONDS,
        "How long a request may go on once its sender has gone, to store what it had.",
    )

    # --- sessions

    sessions_per_account: int = fixed(
        Of.SESSIONS, DEVICES, _COUNT, "One for each active device; another of the same device ends the first."
    )
    outbox_frames: int = fixed(
        Of.SESSIONS,
        64,
        _COUNT,
        "Frames that wait to be written before the daemon is heard: who does not listen may not talk.",
    )
    outbox_bytes: int = fixed(
        Of.SESSIONS,
        2 * FRAME_BYTES,
        _BYTES,
        "The same in bytes: answers to look-ups are large, and asking for them is cheap.",
    )
    lookups: int = settable(
        Of.SESSIONS,
        600,
        Unit.PER_MINUTE,
        "Accounts, invites, cards, presence and connections that a device may look up, each read from the "
        "disk: one that comes back and asks after all it knows needs less. Of an account: four times that.",
        (1, 1_000_000),
    )
    changes: int = settable(
        Of.SESSIONS,
        6_000,
        Unit.PER_MINUTE,
        "Statements, cards, connections, grants and invites that a device may put, each written to the "
        "disk: one that tells a restored relay everything stays below. Of an account: four times that.",
        (1, 1_000_000),
    )
    visits: int = settable(
        Of.SESSIONS,
        60,
        Unit.PER_HOUR,
        "Of owners who hold a recovery key and no device, from one address; an owner needs one or two.",
        (1, 1_000_000),
    )
    visit_s: int = fixed(Of.SESSIONS, 60, _SECONDS, "How long such a visitor may stay: anybody can be one.")
    goodbye_s: int = fixed(Of.SESSIONS, 2, _SECONDS, "How long a goodbye may take to be written.")

    # --- mail

    sends: int = settable(
        Of.MAIL,
        600_000,
        Unit.PER_MINUTE,
        "Mailbox entries, one for each device that an envelope is for, that one account may cause beside "
        "what recipients grant: what one relay carries. A relay for strangers does well with 6,000.",
        (60, 1_000_000),
    )
    reads: int = settable(
        Of.MAIL,
        30_000,
        Unit.PER_MINUTE,
        "Statements of logs not held, folded for one account, by their length: some 1.3 s of a processor. "
        "One device has half of it: whoever stole it leaves the others enough.",
        (600, 1_000_000),
    )
    waiting: int = fixed(
        Of.MAIL,
        8_192,
        _COUNT,
        "Mailbox entries that wait for the disk, over all links; then links stop reading. One commit's.",
    )
    waiting_of_one: int = fixed(
        Of.MAIL,
        2_048,
        _COUNT,
        "The same of one account, over all its devices: a flood waits for the disk "
        "by itself, and everybody else goes with the next commit.",
    )
    decided_at_once: int = fixed(
        Of.MAIL, 32, _COUNT, "Parcels decided on before other links get their turn: some 3 ms."
    )
    mailbox_entries: int = settable(
        Of.MAIL, 65_536, _COUNT, "Waiting for one device: weeks of a busy one's mail.", (16, 100_000_000)
    )
    mailbox_bytes: int = settable(
        Of.MAIL,
        256 * _MIB,
        _BYTES,
        "The same in bytes. One account alone fills half of it.",
        (_MIB, 1_024 * _GIB),
    )
    account_bytes: int = settable(
        Of.MAIL,
        _GIB,
        _BYTES,
        "Waiting for all devices of one account: each of its n has an n-th of this, and never more than a "
        "mailbox. So one account fills no disk by adding devices.",
        (_MIB, 1_024 * _GIB),
    )
    stranger_entries: int = settable(
        Of.MAIL,
        2_000,
        _COUNT,
        "Up to where those whom the owner does not know may fill a mailbox: no crowd "
        "of them keeps out those whom the owner let in.",
        (16, 100_000_000),
    )
    stranger_bytes: int = settable(Of.MAIL, 32 * _MIB, _BYTES, "The same in bytes.", (_MIB, 1_024 * _GIB))
    page_bytes: int = fixed(
        Of.MAIL,
        3 * FRAME_BYTES // 4,
        _BYTES,
        "Mail read from the disk at a time: a frame, with room around it.",
    )
    tail_entries: int = fixed(
        Of.MAIL,
        1_280,
        _COUNT,
        "New mail that waits in memory for a session: a full window, and a page more; "
        "the rest waits in the store alone.",
    )
    tail_bytes: int = fixed(Of.MAIL, 4 * FRAME_BYTES, _BYTES, "The same in bytes.")
    tails_bytes: int = settable(
        Of.MAIL,
        64 * _MIB,
        _BYTES,
        "The same of all sessions together; who would go beyond reads from the store.",
        (_MIB, 64 * _GIB),
    )

    # --- the disk

    database_bytes: int = settable(
        Of.DISK,
        0,
        _BYTES,
        "The database's file, 0: as large as the disk allows. Once it is full, mail and "
        "new accounts are refused, and what is fetched makes room.",
        (0, 1_024 * _GIB),
        none=True,
    )
    accounts: int = settable(
        Of.DISK,
        100_000,
        _COUNT,
        "Accounts that may begin here: each may hold up to 32 MiB of its own statements and its mail.",
        (1, 1_000_000_000),
    )
    connections_of_account: int = settable(
        Of.DISK,
        10_000,
        _COUNT,
        "Connections of an account that are kept: two make them with nobody's leave. Of two agents, 64 last.",
        (16, 1_000_000_000),
    )
    audit_entries: int = fixed(Of.DISK, 200_000, _COUNT, "Kept of the audit log: a year of a busy relay.")
    audit_ms: int = fixed(Of.DISK, 400 * DAY_MS, _MS, "The same in time.")
    audit_distinct: int = fixed(
        Of.DISK, 256, _COUNT, "Different things of one kind written down in an hour; more are only counted."
    )
    audit_waiting: int = fixed(Of.DISK, 4_096, _COUNT, "Entries that wait while the disk is full.")

    # --- joining

    tickets: int = fixed(Of.JOINING, 16_384, _COUNT, "Tickets that nobody has used yet, and mailed links.")
    mails: int = fixed(
        Of.JOINING, 1_000, Unit.PER_HOUR, "Mails with a link, in all: a mail server's good name."
    )
    mails_to_one: int = fixed(
        Of.JOINING, 3, Unit.PER_HOUR, "To one address, which may not be its owner's wish."
    )
    letters: int = fixed(
        Of.JOINING, 1_024, _COUNT, "Mails held, a kilobyte each: as many as may be sent in an hour."
    )
    hourly_keys: int = fixed(
        Of.JOINING, 65_536, _COUNT, "Networks counted in one hour; further ones wait for the next."
    )
    places: int = fixed(
        Of.JOINING, 512, _COUNT, "Places where two machines meet to be linked, of some 24 KiB at most."
    )
    places_of_one: int = fixed(
        Of.JOINING, 8, _COUNT, "Of one address: a machine needs one at a time; an office has several."
    )
    places_of_site: int = fixed(
        Of.JOINING, 32, _COUNT, "Of a site's network, /24 or /48, whose holder leaves most to everybody else."
    )
    places_of_provider: int = fixed(Of.JOINING, 128, _COUNT, "Of a provider's network, /16 or /32.")
    place_letters: int = fixed(
        Of.JOINING,
        6,
        _COUNT,
        "What one side may leave there: one letter more than it needs, and its word that it gives up.",
    )

    # --- pages

    pages_at_once: int = fixed(
        Of.PAGES, 1, _COUNT, "Pages that read much from the store: one of its readers stays free for mail."
    )
    pages_waiting: int = settable(
        Of.PAGES, 64, _COUNT, "Requests that wait for such a page; more are told to come again.", (1, 100_000)
    )
    page_agents: int = fixed(Of.PAGES, 20, _COUNT, "Agents on a page of the community.")
    page_looks: int = fixed(
        Of.PAGES, 5_000, _COUNT, "Agents that are looked at for one such page: some 20 ms of one reader."
    )
    query_chars: int = fixed(Of.PAGES, 100, _COUNT, "What may be searched for, in characters.")
    snapshot_ms: int = fixed(
        Of.PAGES,
        5_000,
        _MS,
        "The numbers are read anew after this long: a thousand requests cost what one does.",
    )
    operator_links: int = fixed(Of.PAGES, 16, _COUNT, "One-time links to the operator's pages, unused.")
    operator_sessions: int = fixed(Of.PAGES, 16, _COUNT, "Browsers of the operator; the oldest goes first.")
    operator_idle_ms: int = fixed(
        Of.PAGES,
        30 * MINUTE_MS,
        _MS,
        "A page that nobody uses is closed before somebody else sits down at it.",
    )
    operator_life_ms: int = fixed(Of.PAGES, 12 * 60 * MINUTE_MS, _MS, "And a used one at the end of the day.")

    # --- memory

    statements_held_bytes: int = fixed(
        Of.MEMORY,
        48 * _MIB,
        _BYTES,
        "Statements held folded; the least used go first. A quarter is for logs of more than a 32nd of it.",
    )
    routes_held: int = fixed(
        Of.MEMORY, 32_768, _COUNT, "Pairs of agents whose connection, rate and contact are held."
    )
    usages_held: int = fixed(Of.MEMORY, 65_536, _COUNT, "Mailboxes whose fill is held.")
    senders_held: int = fixed(
        Of.MEMORY,
        16_384,
        _COUNT,
        "Accounts whose sends are counted, and devices whose calls; forgotten ones begin full.",
    )
    accused: int = fixed(Of.MEMORY, 10_000, _COUNT, "Accounts remembered for proven equivocation.")
    accused_of_one: int = fixed(Of.MEMORY, 8, _COUNT, "Devices of one of them: their owner answers for all.")
    accusation_bytes: int = fixed(Of.MEMORY, 8 * _MIB, _BYTES, "Proofs of it that wait for room on the disk.")


USUAL: Final = RelayLimits()
"""As they are where nothing is set."""


def read_limits(text: str) -> RelayLimits:
    """The limits that a text sets: `name=number`, comma-separated.

    Raises ValueError, which completes the sentence "it must be".
    """
    found: dict[str, Any] = changed_by(text, described(RelayLimits))
    limits = attrs.evolve(USUAL, **found)
    for smaller, larger in (("stranger_entries", "mailbox_entries"), ("stranger_bytes", "mailbox_bytes")):
        if getattr(limits, smaller) > getattr(limits, larger):
            names = smaller.replace("_", "-"), larger.replace("_", "-")
            raise ValueError(f"such that {names[0]} is at most {names[1]}")
    return limits


def mailbox_limits(limits: RelayLimits) -> MailboxLimits:
    """Those that decide on an envelope."""
    return MailboxLimits(
        limits.mailbox_entries,
        limits.mailbox_bytes,
        limits.stranger_entries,
        limits.stranger_bytes,
        limits.account_bytes,
    )


def limit_rows(limits: RelayLimits, source: str) -> tuple[LimitRow, ...]:
    """All of them as they are now; `source` says where the ones that were changed come from."""
    return rows_of(limits, source)
