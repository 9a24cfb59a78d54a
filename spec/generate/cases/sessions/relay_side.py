"""Transcripts of the relay's end."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.frames import (
    CHALLENGE,
    Transcript,
    auth,
    entry,
    hello,
    open_relay,
    proof,
    ready,
    relay,
)
from spec.generate.kit import NOW, Map, Value, enc, fixed
from spec.generate.parcels import LAPTOP, PHONE, parcel, sealed
from spec.generate.vector import Json, Vector

OPENING, FRAMES = "session.md#3-opening", "session.md#2-frames"
WINDOWS, ALIVE, CALLS = "session.md#4-windows", "session.md#6-keep-alive", "session.md#8-calls"
PARCEL = parcel(sealed())


def send(batch: int, count: int = 1) -> bytes:
    """A batch of one parcel several times."""
    return enc([5, batch, [PARCEL] * count])


def proving(transcript: Transcript, greeting: bytes) -> Transcript:
    """A relay's end that has sent its challenge."""
    return transcript.hears(greeting, frames=[CHALLENGE.hex()])


def openings() -> Iterator[Vector]:
    """From hello to ready, or not."""
    yield open_relay().vector("relay_opens", "hello, challenge, auth, ready", OPENING)
    started: Map = {
        "id": fixed("id", 16),
        "prev": fixed("prev", 16),
        "run": fixed("run", 16),
        "take_over": True,
    }
    greeting = hello(instance=started)
    transcript = proving(relay(), greeting).hears(auth(proof(greeting)), events=["auth-requested"])
    yield transcript.says(ready()).vector("relay_instance", "a daemon says which start of which store it is",
                                          "session.md#10-instances")  # fmt: skip
    greeting = hello()
    wrong = hello(origin="wss://mallory.example:443")
    transcript = proving(relay(), wrong).breaks(auth(proof(wrong)), "wrong-origin")
    yield transcript.vector("relay_wrong_origin", "the daemon dialled somebody else", OPENING, "wrong-origin")
    other = hello(transport="longpoll")
    transcript = proving(relay(), other).breaks(auth(proof(other)), "bad-proof")
    yield transcript.vector("relay_other_transport", "made for another transport", OPENING, "bad-proof")
    proofs = (
        ("other_key", "signed by another device", proof(greeting, by=PHONE.id)),
        ("manage_key", "signed by the manage key", proof(greeting, by=LAPTOP.manage)),
        ("other_kind", "signed as an envelope", proof(greeting, kind="envelope")),
        (
            "other_challenge",
            "over another challenge: a proof replayed",
            proof(greeting, challenge=enc([2, {"v": 1, "nonce": bytes(32)}])),
        ),
        ("other_hello", "over another hello", proof(hello(agent="other"))),
        ("nothing", "no proof at all", b""),
    )
    for name, comment, signed in proofs:
        transcript = proving(relay(), greeting).breaks(auth(signed), "bad-proof")
        yield transcript.vector(f"relay_proof_{name}", comment, OPENING, "bad-proof")
    for code, comment in (
        ("name-taken", "another account has the name"),
        ("signup-refused", "the operator takes no new accounts, or none without a ticket"),
        ("unknown-ticket", "the ticket is none of this relay's"),
        ("ticket-used", "another account came in by this ticket"),
        ("expired", "the ticket is over"),
        ("device-gone", "the device was revoked"),
        ("unknown-device", "the account has no such device"),
        ("not-an-extension", "the statements do not extend what the relay holds"),
        ("forked", "the account's log is forked"),
    ):
        transcript = proving(relay(), greeting).hears(auth(proof(greeting)), events=["auth-requested"])
        transcript.says(enc([13, code, "", None]), code=code)
        yield transcript.vector(f"relay_turns_away_{code.replace('-', '_')}", comment, OPENING, code)
    yield from tickets(greeting)
    transcript = relay().waits(
        10_000, frames=[{"number": 13, "code": "timeout"}], events=["timed-out"], code="timeout"
    )
    yield transcript.vector("relay_silence", "no hello within ten seconds", OPENING, "timeout")
    transcript = relay().waits(9_999).hears(greeting, frames=[CHALLENGE.hex()])
    transcript.waits(1, frames=[{"number": 13, "code": "timeout"}], events=["timed-out"], code="timeout")
    yield transcript.vector("relay_slow", "hello in time, ready not", OPENING, "timeout")


def tickets(greeting: bytes) -> Iterator[Vector]:
    """What an account that is new shows, and what no relay takes for it."""
    shown = auth(proof(greeting), ticket="tft_" + "A" * 32)
    transcript = proving(relay(), greeting).hears(shown, events=["auth-requested"]).says(ready())
    yield transcript.vector("relay_sees_ticket", "a ticket beside the proof", OPENING)
    longest = auth(proof(greeting), ticket="~" * 128)
    transcript = proving(relay(), greeting).hears(longest, events=["auth-requested"])
    yield transcript.vector("relay_sees_longest_ticket", "128 characters", FRAMES)
    wrong: tuple[tuple[str, str, Value, str], ...] = (
        ("empty", "a ticket of no characters", "", "bad-value"),
        ("too_long", "a ticket of 129 characters", "A" * 129, "bad-value"),
        ("with_space", "a ticket with a space in it", "A B", "bad-value"),
        ("not_ascii", "a ticket beyond ASCII", "\u0430bc", "bad-value"),
        ("bytes", "a ticket as bytes", b"ticket", "wrong-type"),
        ("null", "null where a field is left out", None, "wrong-type"),
    )
    for name, comment, value, code in wrong:
        transcript = proving(relay(), greeting).breaks(auth(proof(greeting), ticket=value), code)
        yield transcript.vector(f"relay_ticket_{name}", comment, FRAMES, code)
    transcript = proving(relay(), greeting).breaks(auth(proof(greeting), admission="A"), "unknown-field")
    yield transcript.vector(
        "relay_auth_unknown_field", "auth with a field of its own", FRAMES, "unknown-field"
    )


def turns() -> Iterator[Vector]:
    """Frames out of their turn, and things that are no frames."""
    greeting = hello()
    for name, frame in (
        ("auth", auth(proof(greeting))),
        ("send", send(0)),
        ("ack", enc([8, 0])),
        ("call", enc([9, 0, "presence.get", {"agents": []}])),
        ("ping", enc([11, 1])),
        ("challenge", CHALLENGE),
        ("ready", ready()),
        ("unknown_number", enc([99])),
    ):
        transcript = relay().breaks(frame, "unexpected-frame")
        yield transcript.vector(
            f"relay_first_{name}", f"{name} where hello belongs", OPENING, "unexpected-frame"
        )
    transcript = proving(relay(), greeting).breaks(greeting, "unexpected-frame")
    yield transcript.vector("relay_hello_twice", "hello twice", OPENING, "unexpected-frame")
    transcript = open_relay().breaks(auth(proof(greeting)), "unexpected-frame")
    yield transcript.vector("relay_auth_when_open", "auth in an open session", OPENING, "unexpected-frame")
    transcript = open_relay().breaks(enc([6, 0, [[0, 1]]]), "unexpected-frame")
    yield transcript.vector(
        "relay_hears_result", "a frame that only a relay sends", FRAMES, "unexpected-frame"
    )
    transcript = relay().breaks(greeting + b"\0", "malformed")
    yield transcript.vector("relay_trailing_byte", "a byte after the frame", FRAMES, "malformed")
    transcript = relay().breaks(enc([1, {"v": 1, "nonce": bytes(32)}]), "missing-field")
    yield transcript.vector("relay_hello_short", "hello without most of its fields", FRAMES, "missing-field")
    transcript = relay().breaks(hello(offered=["longpoll"]), "bad-value")
    comment = "the transport in use is not among those offered"
    yield transcript.vector("relay_hello_offered", comment, OPENING, "bad-value")
    transcript = relay().breaks(hello(window=[0, 1000]), "bad-value")
    yield transcript.vector("relay_hello_window", "a window of no entries", FRAMES, "bad-value")
    instance: Map = {"id": fixed("id", 16), "prev": None, "run": fixed("run", 16), "take_over": False}
    for name, comment, other, code in (
        ("short", "an instance of 15 bytes", {"id": bytes(15)}, "bad-value"),
        ("more", "an instance with a further field", {"at": NOW}, "unknown-field"),
        ("flag", "a number in place of true or false", {"take_over": 1}, "wrong-type"),
    ):
        transcript = relay().breaks(hello(instance={**instance, **other}), code)
        yield transcript.vector(f"relay_instance_{name}", comment, FRAMES, code)
    transcript = relay().breaks(hello(v=2), "unknown-version")
    yield transcript.vector("relay_hello_version", "a version from the future", FRAMES, "unknown-version")


def traffic() -> Iterator[Vector]:
    """An open session."""
    transcript = open_relay().hears(send(0, 2), events=["parcels-received"])
    result: list[Value] = [6, 0, [[0, 7], [1, "not-connected", {}]]]
    transcript.says(enc(result)).hears(send(1), events=["parcels-received"]).says(enc([6, 1, [[0, 8]]]))
    yield transcript.vector("relay_send_and_result", "two batches and what became of them", WINDOWS)
    transcript = open_relay().hears(send(0, 4), events=["parcels-received"])
    yield transcript.vector("relay_window_met", "exactly as many parcels as the window has", WINDOWS)
    transcript = open_relay().breaks(send(0, 5), "window-exceeded")
    yield transcript.vector(
        "relay_window_entries", "five parcels in a window of four", WINDOWS, "window-exceeded"
    )
    transcript = (
        open_relay().hears(send(0, 3), events=["parcels-received"]).breaks(send(1, 2), "window-exceeded")
    )
    yield transcript.vector(
        "relay_window_in_flight", "three without a result, and two more", WINDOWS, "window-exceeded"
    )
    transcript = open_relay().hears(send(0, 4), events=["parcels-received"])
    transcript.says(enc([6, 0, [[0, n] for n in range(4)]])).hears(send(1, 4), events=["parcels-received"])
    yield transcript.vector("relay_window_refilled", "a result gives the window back", WINDOWS)
    large = enc([5, 0, [[fixed("large", 120_000), [[bytes(32), bytes(80)]]]]])
    transcript = open_relay().hears(large, events=["parcels-received"])
    yield transcript.vector(
        "relay_one_is_always_allowed", "one parcel may exceed the bytes of the window", WINDOWS
    )
    deliver = enc([7, [entry(1), entry(5)]])
    transcript = open_relay().says(deliver).hears(enc([8, 5]), events=["acked"])
    yield transcript.vector("relay_delivers", "two entries, offsets not dense, one ack", WINDOWS)
    transcript = (
        open_relay().says(deliver).hears(enc([8, 1]), events=["acked"]).hears(enc([8, 5]), events=["acked"])
    )
    yield transcript.vector("relay_acked_in_part", "the first, then both", WINDOWS)
    transcript = open_relay().says(deliver).breaks(enc([8, 6]), "bad-value")
    yield transcript.vector(
        "relay_ack_beyond", "an ack above what was delivered", "session.md#5-cursors", "bad-value"
    )
    notice: list[Value] = [
        7,
        [[3, 1, {"kind": "undeliverable", "hash": fixed("an envelope"), "code": "expired"}]],
    ]
    transcript = open_relay().says(enc(notice)).hears(enc([8, 3]), events=["acked"])
    yield transcript.vector("relay_notice", "an envelope expired undelivered", FRAMES)
    for code, comment in (
        ("replaced", "the device has come by another way"),
        ("other-instance", "the device runs elsewhere"),
        ("shutting-down", "the relay stops"),
    ):
        transcript = open_relay().says(enc([13, code, "", None]), code=code)
        yield transcript.vector(f"relay_says_{code.replace('-', '_')}", comment, FRAMES, code)


def calls() -> Iterator[Vector]:
    """Questions."""
    get: Value = [9, 0, "account.get", {"name": "bob", "from": 0}]
    transcript = open_relay().hears(enc(get), events=["call-received"])
    found: Value = [10, 0, [0, {"account": fixed("account"), "from": 0, "statements": []}]]
    transcript.says(enc(found))
    yield transcript.vector("relay_call", "a question and its answer", CALLS)
    for name, params in (
        ("put", {"invite": fixed("an invite")}),
        ("withdraw", {"id": fixed("invite id", 16)}),
        ("get", {"id": fixed("invite id", 16)}),
    ):
        transcript = open_relay().hears(enc([9, 0, f"invite.{name}", params]), events=["call-received"])
        answer: Value = {"invite": fixed("an invite")} if name == "get" else {}
        transcript.says(enc([10, 0, [0, answer]]))
        yield transcript.vector(f"relay_call_invite_{name}", f"invite.{name} and its answer", CALLS)
    transcript = open_relay()
    short: Json = {"number": 10, "id": 0, "code": "bad-value"}
    transcript.hears(enc([9, 0, "invite.get", {"id": bytes(15)}]), frames=[short], code="bad-value")
    yield transcript.vector("relay_call_invite_id_short", "an invite id of 15 bytes", CALLS, "bad-value")
    for code in ("unknown-account", "unknown-agent", "unknown-invite", "unknown-request"):
        transcript = open_relay().hears(enc(get), events=["call-received"])
        transcript.says(enc([10, 0, [1, code, {}]]), code=code)
        yield transcript.vector(
            f"relay_call_{code.replace('-', '_')}", f"a question refused: {code}", CALLS, code
        )
    append: Map = {"from": 3, "statements": [b"a statement"], "offer": True}
    transcript = open_relay().hears(enc([9, 0, "account.append", append]), events=["call-received"])
    transcript.says(enc([10, 0, [0, {"log": [4, fixed("a head")]}]]))
    yield transcript.vector("relay_call_offer", "a statement that its signer has kept nowhere yet", CALLS)
    transcript = open_relay()
    said: Json = {"number": 10, "id": 0, "code": "bad-value"}
    append = {**append, "offer": False}
    transcript.hears(enc([9, 0, "account.append", append]), frames=[said], code="bad-value")
    yield transcript.vector("relay_call_offer_false", "an offer that is none", CALLS, "bad-value")
    transcript = open_relay()
    refused: Json = {"number": 10, "id": 0, "code": "unknown-method"}
    transcript.hears(enc([9, 0, "account.delete", {}]), frames=[refused], code="unknown-method")
    yield transcript.vector("relay_unknown_method", "a method that is not known", CALLS, "unknown-method")
    transcript = open_relay()
    for number in range(16):
        transcript.hears(
            enc([9, number, "account.get", {"name": "bob", "from": 0}]), events=["call-received"]
        )
    transcript.breaks(enc([9, 16, "account.get", {"name": "bob", "from": 0}]), "too-many-calls")
    yield transcript.vector("relay_too_many_calls", "a seventeenth open call", WINDOWS, "too-many-calls")


def silence() -> Iterator[Vector]:
    """Keep-alive."""
    transcript = open_relay().waits(9_999).waits(1, frames=[enc([11, 1]).hex()]).hears(enc([12, 1]))
    yield transcript.vector("relay_pings", "a ping after ten seconds of silence, and its pong", ALIVE)
    transcript = open_relay().waits(10_000, frames=[enc([11, 1]).hex()])
    transcript.waits(15_000, frames=[{"number": 13, "code": "timeout"}], events=["timed-out"], code="timeout")
    yield transcript.vector("relay_gives_up", "nothing for twenty-five seconds", ALIVE, "timeout")
    transcript = open_relay().hears(enc([11, 77]), frames=[enc([12, 77]).hex()])
    yield transcript.vector("relay_answers_ping", "the same number comes back", ALIVE)


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (openings, turns, traffic, calls, silence):
        yield from family()
