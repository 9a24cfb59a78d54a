"""Transcripts of the daemon's end."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.frames import (
    CHALLENGE,
    GENERATION,
    auth,
    client,
    entry,
    hello,
    open_client,
    proof,
    ready,
)
from spec.generate.kit import Value, enc, fixed
from spec.generate.parcels import parcel, sealed
from spec.generate.vector import Vector

OPENING, FRAMES, WINDOWS = "session.md#3-opening", "session.md#2-frames", "session.md#4-windows"
CURSORS, ALIVE, CALLS = "session.md#5-cursors", "session.md#6-keep-alive", "session.md#8-calls"
PARCEL = parcel(sealed())


def send(batch: int, count: int = 1) -> bytes:
    """A batch of one parcel several times."""
    return enc([5, batch, [PARCEL] * count])


def openings() -> Iterator[Vector]:
    """From hello to ready, or not."""
    yield open_client().vector("client_opens", "the proof is over both frames as sent", OPENING)
    cursor: list[Value] = [GENERATION, 41]
    greeting = hello(cursor=cursor)
    transcript = client(cursor=cursor).hears(CHALLENGE, frames=[auth(proof(greeting)).hex()])
    transcript.hears(ready(next_offset=42), events=["ready"])
    yield transcript.vector("client_continues", "the relay knows the cursor's generation", CURSORS)
    other: list[Value] = [fixed("older generation", 16), 41]
    greeting = hello(cursor=other)
    transcript = client(cursor=other).hears(CHALLENGE, frames=[auth(proof(greeting)).hex()])
    transcript.hears(ready(), events=["ready"])
    yield transcript.vector("client_starts_over", "another generation: the mailbox from its start", CURSORS)
    ticket = "tft_" + "A" * 32
    transcript = client().shows(ticket).hears(CHALLENGE, frames=[auth(proof(hello()), ticket=ticket).hex()])
    transcript.hears(ready(), events=["ready"])
    yield transcript.vector("client_shows_ticket", "a ticket beside the proof", OPENING)
    transcript = client().breaks(ready(), "unexpected-frame")
    yield transcript.vector("client_ready_first", "ready without a challenge", OPENING, "unexpected-frame")
    transcript = open_client().breaks(CHALLENGE, "unexpected-frame")
    yield transcript.vector(
        "client_challenge_again", "a challenge in an open session", OPENING, "unexpected-frame"
    )
    transcript = open_client().breaks(enc([8, 1]), "unexpected-frame")
    yield transcript.vector(
        "client_hears_ack", "a frame that only a daemon sends", FRAMES, "unexpected-frame"
    )
    transcript = client().breaks(enc([2, {"v": 1, "nonce": bytes(31)}]), "bad-value")
    yield transcript.vector("client_short_nonce", "a challenge of 31 bytes", FRAMES, "bad-value")
    for code in (
        "wrong-origin",
        "bad-proof",
        "name-taken",
        "signup-refused",
        "device-gone",
        "replaced",
        "other-instance",
        "shutting-down",
        "window-exceeded",
        "internal",
    ):
        transcript = open_client().hears(enc([13, code, "", None]), events=["went-away"], code=code)
        name = f"client_told_{code.replace('-', '_')}"
        yield transcript.vector(name, f"the relay ends the session: {code}", FRAMES, code)


def traffic() -> Iterator[Vector]:
    """An open session."""
    transcript = open_client().says(send(0, 2), events=["batch-sent"])
    result: list[Value] = [6, 0, [[0, 7], [1, "stale-log", {"from": 2, "statements": [b"statement"]}]]]
    transcript.hears(enc(result), events=["result-received"]).says(send(1), events=["batch-sent"])
    yield transcript.vector("client_sends", "a batch, its result, another batch", WINDOWS)
    transcript = open_client().breaks(enc([6, 0, [[0, 1]]]), "unknown-batch")
    yield transcript.vector("client_result_of_nothing", "a result for no batch", FRAMES, "unknown-batch")
    transcript = open_client().says(send(0), events=["batch-sent"])
    transcript.hears(enc([6, 0, [[0, 1]]]), events=["result-received"]).breaks(
        enc([6, 0, [[0, 1]]]), "unknown-batch"
    )
    yield transcript.vector("client_result_twice", "a second result for one batch", FRAMES, "unknown-batch")
    transcript = (
        open_client().says(send(0, 2), events=["batch-sent"]).breaks(enc([6, 0, [[0, 1]]]), "bad-value")
    )
    yield transcript.vector("client_result_short", "one outcome for two parcels", FRAMES, "bad-value")
    transcript = open_client().hears(enc([7, [entry(1), entry(9)]]), events=["delivered"]).says(enc([8, 9]))
    yield transcript.vector("client_delivered", "two entries and one ack", WINDOWS)
    transcript = open_client().breaks(enc([7, [entry(2), entry(2)]]), "bad-value")
    yield transcript.vector("client_same_offset", "two entries at one offset", CURSORS, "bad-value")
    transcript = (
        open_client()
        .hears(enc([7, [entry(5)]]), events=["delivered"])
        .breaks(enc([7, [entry(4)]]), "bad-value")
    )
    yield transcript.vector(
        "client_offset_falls", "an offset below one that was delivered", CURSORS, "bad-value"
    )
    transcript = open_client().breaks(enc([7, [entry(n) for n in range(1, 6)]]), "window-exceeded")
    yield transcript.vector(
        "client_window_entries", "five entries in a window of four", WINDOWS, "window-exceeded"
    )
    transcript = open_client().hears(enc([7, [entry(1), entry(2), entry(3)]]), events=["delivered"])
    transcript.says(enc([8, 2])).hears(enc([7, [entry(4), entry(5)]]), events=["delivered"])
    transcript = open_client().hears(enc([7, [entry(1), entry(2), entry(3)]]), events=["delivered"])
    transcript.breaks(enc([7, [entry(4), entry(5)]]), "window-exceeded")
    yield transcript.vector(
        "client_window_unacked", "three unacknowledged, and two more", WINDOWS, "window-exceeded"
    )
    question = enc([9, 0, "account.get", {"name": "bob", "from": 0}])
    answer = enc([10, 0, [0, {"account": fixed("account"), "from": 0, "statements": []}]])
    transcript = open_client().says(question, events=["call-sent"]).hears(answer, events=["reply-received"])
    yield transcript.vector("client_calls", "a question and its answer", CALLS)
    transcript = open_client().says(question, events=["call-sent"])
    transcript.hears(enc([10, 0, [1, "unknown-account", {}]]), events=["reply-received"])
    yield transcript.vector("client_call_refused", "a question refused", CALLS)


def silence() -> Iterator[Vector]:
    """Keep-alive."""
    transcript = open_client().waits(10_000, frames=[enc([11, 1]).hex()])
    transcript.hears(enc([12, 1])).waits(9_999).waits(1, frames=[enc([11, 2]).hex()])
    yield transcript.vector("client_pings", "a pong gives ten more seconds", ALIVE)
    transcript = open_client().waits(10_000, frames=[enc([11, 1]).hex()])
    transcript.waits(15_000, frames=[{"number": 13, "code": "timeout"}], events=["timed-out"], code="timeout")
    yield transcript.vector("client_gives_up", "nothing for twenty-five seconds", ALIVE, "timeout")
    transcript = open_client().breaks(enc([12, 1]), "bad-value")
    yield transcript.vector("client_pong_unasked", "a pong without a ping", ALIVE, "bad-value")


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (openings, traffic, silence):
        yield from family()
