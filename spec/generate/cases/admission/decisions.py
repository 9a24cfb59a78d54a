"""What a relay lets in, from facts alone: ada/lead sends to bob/coder, with one thing different each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spec.generate.identity import Device, Log
from spec.generate.kit import DAY, NOW, Box, Map, Value, enc, fixed, tampered
from spec.generate.pacts import grant
from spec.generate.parcels import (
    ADA,
    BOB,
    CODER,
    DESKTOP,
    LAPTOP,
    LEAD,
    PHONE,
    Built,
    content,
    header,
    parcel,
    sealed,
    wraps,
)
from spec.generate.vector import ACCEPT, Json, Vector, hexes

GRANT = grant()
MINUTE = 60_000


def known(log: Log) -> Json:
    """An account that the relay knows."""
    return {"statements": hexes(log.statements), "held": False}


def held(log: Log) -> Json:
    """An account whose log is forked."""
    return {"statements": hexes(log.statements), "held": True}


def suspended(log: Log) -> Json:
    """An account that the relay's operator has suspended."""
    return {"statements": hexes(log.statements), "held": False, "suspended": True}


def facts(**other: Json) -> Mapping[str, Json]:
    """What the relay knows when everything is in order: the two are connected and Bob's grant is in force."""
    return {
        "session": {"account": ADA.account.hex(), "device": LAPTOP.id.public.hex()},
        "accounts": [known(ADA), known(BOB)],
        "connected": True,
        "grant": GRANT.hex(),
        "acquainted": True,
        "contacts": {"there": 0, "back": 0},
        "sent_at": [],
        "full": [],
        "before": [],
        **other,
    }


def case(
    name: str,
    comment: str,
    expect: str,
    offered: Value,
    known_facts: Mapping[str, Json] | None = None,
    decoded: Json = None,
    now: int = NOW,
) -> Vector:
    """One parcel and what the relay knows."""
    members: dict[str, Json] = {
        "spec": "session.md#7-admission",
        "comment": comment,
        "kind": "admission",
        "now_ms": now,
        "facts": known_facts or facts(),
        "input": enc(offered).hex(),
        "expect": expect,
    }
    if decoded is not None:
        members["decoded"] = decoded
    return Vector("admission", name, members)


def entries(*devices: Device) -> Json:
    """For whom an accepted parcel makes entries."""
    return {"entries": sorted(device.id.public.hex() for device in devices)}


def of(cls: str, **other: Value) -> Built:
    """An envelope of a class; what is inside does not matter here."""
    return sealed(header(class_=cls, **other))


def to_device(device: Device) -> Map:
    """A header from Ada's laptop for one device of hers."""
    to: list[Value] = [ADA.account, f"~{device.id.public.hex()}"]
    return header(class_="account", from_=[ADA.account, ""], to=to, to_log=ADA.position())


TABLET = Device("ada tablet")
WITH_TABLET = ADA.branch().add_device(TABLET)
BOTH = entries(DESKTOP, PHONE)
STRANGERS = facts(connected=False, grant=None, acquainted=False)


def accepted() -> Iterator[Vector]:
    """Parcels that are let in."""
    yield case("message", "a message between connected agents", ACCEPT, parcel(sealed()), decoded=BOTH)
    yield case("task", "a task", ACCEPT, parcel(of("task")), decoded=BOTH)
    only = parcel(sealed(), [DESKTOP.enc])
    yield case(
        "recipient_only", "no copy for the sender's other device", ACCEPT, only, decoded=entries(DESKTOP)
    )
    early = sealed(header(log=ADA.position(1)))
    yield case(
        "earlier_position", "an earlier position of the sender's log", ACCEPT, parcel(early), decoded=BOTH
    )
    behind = sealed(header(to_log=BOB.position(1)))
    comment = "sealed for an older log of the recipient, with the right wraps all the same"
    yield case("to_log_behind", comment, ACCEPT, parcel(behind), decoded=BOTH)
    yield case("receipt", "a receipt between connected agents", ACCEPT, parcel(of("receipt")), decoded=BOTH)
    waiting = facts(connected=False, grant=None, acquainted=False, contacts={"there": 0, "back": 1})
    yield case(
        "receipt_in_contact",
        "a receipt for a request under way",
        ACCEPT,
        parcel(of("receipt")),
        waiting,
        BOTH,
    )
    asks = parcel(of("connection"))
    yield case("contact_first", "a stranger's first request", ACCEPT, asks, STRANGERS, BOTH)
    third = facts(connected=False, grant=None, acquainted=False, contacts={"there": 2, "back": 0})
    yield case("contact_third", "the third without an answer", ACCEPT, asks, third, BOTH)
    yield case(
        "contact_connected",
        "connected agents may go on",
        ACCEPT,
        asks,
        facts(contacts={"there": 9, "back": 0}),
        BOTH,
    )
    to_bob = sealed(header(class_="account", from_=[ADA.account, ""], to=[BOB.account, ""]))
    yield case("account", "news of a log for connected owners", ACCEPT, parcel(to_bob), decoded=BOTH)
    own = sealed(
        header(class_="account", from_=[ADA.account, ""], to=[ADA.account, ""], to_log=ADA.position())
    )
    alone = facts(connected=False, grant=None, acquainted=False)
    comment = "news for an owner's other devices; the sending device is left out"
    yield case("account_own", comment, ACCEPT, parcel(own, [PHONE.enc]), alone, entries(PHONE))
    one = sealed(to_device(PHONE))
    comment = "for one of an owner's devices: a third one gets nothing"
    three = facts(connected=False, grant=None, acquainted=False, accounts=[known(WITH_TABLET), known(BOB)])
    yield case("account_own_device", comment, ACCEPT, parcel(one, [PHONE.enc]), three, entries(PHONE))
    within = sealed(header(to=LEAD, to_log=ADA.position()))
    comment = "an account's own agents need no connection"
    yield case(
        "same_account",
        comment,
        ACCEPT,
        parcel(within, [LAPTOP.enc, PHONE.enc]),
        alone,
        entries(LAPTOP, PHONE),
    )
    rotated = BOB.branch()
    rotated.at = NOW - 29 * DAY
    rotated.rotate(rotated.first, Box("bob laptop enc 2"))
    comment = "sealed for a key that was replaced 29 days ago"
    yield case(
        "former_key", comment, ACCEPT, parcel(sealed()), facts(accounts=[known(ADA), known(rotated)]), BOTH
    )
    slow = grant(rate=3)
    apart = facts(grant=slow.hex(), sent_at=[NOW - MINUTE] * 3)
    yield case(
        "rate_after_a_minute",
        "three a minute, the last three a minute ago",
        ACCEPT,
        parcel(sealed()),
        apart,
        BOTH,
    )
    again = {**STRANGERS, "before": [sealed().raw.hex()]}
    comment = "accepted before, and so again, although the connection is gone"
    yield case("duplicate", comment, ACCEPT, parcel(sealed()), again, BOTH)
    crowded = facts(full=[PHONE.id.public.hex()])
    comment = "the mailbox of the sender's own other device is full: its copy is left out"
    yield case("own_mailbox_full", comment, ACCEPT, parcel(sealed()), crowded, entries(DESKTOP))


def parties() -> Iterator[Vector]:
    """Who and where."""
    good = parcel(sealed())
    yield case("expired", "it expires in this millisecond", "expired", good, now=NOW + 7 * DAY)
    yield case("bad_time", "created an hour from now", "bad-time", good, now=NOW - 3_600_000)
    broken = sealed()
    spoilt: list[Value] = [tampered(broken.raw), wraps([DESKTOP.enc])]
    yield case("signature", "one bit of the signature changed", "bad-signature", spoilt)
    yield case(
        "other_device",
        "signed by another device of the account",
        "not-your-device",
        parcel(sealed(by=PHONE.id)),
    )
    posing = sealed(header(from_=CODER, to=LEAD, log=BOB.position(), to_log=ADA.position()))
    yield case(
        "wrong_sender",
        "it says that it comes from Bob",
        "wrong-sender",
        parcel(posing, [LAPTOP.enc, PHONE.enc]),
    )
    yield case(
        "sender_held",
        "the sender's log is forked",
        "account-held",
        good,
        facts(accounts=[held(ADA), known(BOB)]),
    )
    yield case(
        "recipient_held",
        "the recipient's log is forked",
        "account-held",
        good,
        facts(accounts=[known(ADA), held(BOB)]),
    )
    yield case(
        "sender_suspended",
        "the relay's operator has suspended the sender's account",
        "suspended",
        good,
        facts(accounts=[suspended(ADA), known(BOB)]),
    )
    yield case(
        "recipient_suspended",
        "the relay's operator has suspended the recipient's account",
        "suspended",
        good,
        facts(accounts=[known(ADA), suspended(BOB)]),
    )
    revoked = ADA.branch().revoke(LAPTOP, PHONE.manage)
    yield case(
        "device_revoked",
        "the sending device was revoked meanwhile",
        "device-gone",
        good,
        facts(accounts=[known(revoked), known(BOB)]),
    )
    not_serving = sealed(header(from_=[ADA.account, "writer"]))
    yield case(
        "agent_unknown", "an agent that the account does not have", "unknown-agent", parcel(not_serving)
    )
    elsewhere = ADA.branch().set_agent("lead", [PHONE])
    yield case(
        "agent_elsewhere",
        "another device serves the agent",
        "unknown-agent",
        good,
        facts(accounts=[known(elsewhere), known(BOB)]),
    )
    yield case(
        "account_unknown",
        "an account that is not known here",
        "unknown-recipient",
        good,
        facts(accounts=[known(ADA)]),
    )
    nobody = sealed(header(to=[BOB.account, "nobody"]))
    yield case(
        "recipient_unknown", "an agent that the recipient does not have", "unknown-recipient", parcel(nobody)
    )
    gone = sealed(to_device(Device("ada tablet")))
    comment = "a device that is none of the account's"
    yield case("device_unknown", comment, "unknown-recipient", parcel(gone, [PHONE.enc]))
    channel = sealed(header(to=[fixed("team"), "#general"]))
    yield case(
        "channel", "a channel, which this version does not carry", "unknown-recipient", parcel(channel)
    )
    forged = sealed(header(log=[ADA.length, bytes(32)]))
    yield case(
        "log_elsewhere", "a head that the sender's log does not have", "not-an-extension", parcel(forged)
    )


def addressed() -> Iterator[Vector]:
    """Wraps: for everybody that they must be for, and nobody else."""
    from_two: Json = {"from": 2, "statements": []}
    mine_only = parcel(sealed(), [PHONE.enc])
    yield case(
        "no_wrap_for_recipient",
        "no wrap for the recipient's device",
        "stale-log",
        mine_only,
        decoded=from_two,
    )
    foreign = parcel(sealed(), [DESKTOP.enc, Box("mallory enc")])
    yield case(
        "wrap_for_stranger", "a wrap for a key of neither side", "stale-log", foreign, decoded=from_two
    )
    sender = parcel(sealed(), [DESKTOP.enc, LAPTOP.enc])
    yield case(
        "wrap_for_sender", "a wrap for the sending device itself", "stale-log", sender, decoded=from_two
    )
    tablet = Device("bob tablet")
    grown = BOB.branch().add_device(tablet)
    grown.set_agent("coder", [grown.first, tablet])
    missing = facts(accounts=[known(ADA), known(grown)])
    since: Json = {"from": 2, "statements": hexes(grown.statements[2:])}
    comment = "a device has joined since: its statements come back"
    yield case("device_joined", comment, "stale-log", parcel(sealed()), missing, since)
    rotated = BOB.branch()
    rotated.at = NOW - 31 * DAY
    rotated.rotate(rotated.first, Box("bob laptop enc 2"))
    alone = facts(connected=False, grant=None, acquainted=False, accounts=[known(WITH_TABLET), known(BOB)])
    both = parcel(sealed(to_device(PHONE)), [PHONE.enc, TABLET.enc])
    joined: Json = {"from": ADA.length, "statements": hexes(WITH_TABLET.statements[ADA.length :])}
    comment = "for one device of the owner, and wrapped for another one as well"
    yield case("account_own_device_wraps", comment, "stale-log", both, alone, joined)
    old = facts(accounts=[known(ADA), known(rotated)])
    news: Json = {"from": 2, "statements": hexes(rotated.statements[2:])}
    yield case(
        "old_key", "sealed for a key that was replaced 31 days ago", "stale-log", parcel(sealed()), old, news
    )


def permission() -> Iterator[Vector]:
    """Connection, grant, contact, rate, quota, duplicates."""
    for cls in ("message", "task", "artifact", "receipt"):
        yield case(
            f"unconnected_{cls}", f"class {cls} from a stranger", "not-connected", parcel(of(cls)), STRANGERS
        )
    asked = facts(connected=False, grant=None, acquainted=False, contacts={"there": 1, "back": 0})
    yield case(
        "receipt_unasked",
        "a receipt to one who was asked and never wrote",
        "not-connected",
        parcel(of("receipt")),
        asked,
    )
    news = sealed(header(class_="account", from_=[ADA.account, ""], to=[BOB.account, ""]))
    yield case(
        "unconnected_account",
        "news of a log for an owner who is not connected",
        "not-connected",
        parcel(news),
        STRANGERS,
    )
    good = parcel(sealed())
    yield case("no_grant", "connected, and nothing granted", "not-permitted", good, facts(grant=None))
    tasks_only = grant(classes=["task"])
    yield case(
        "class_not_granted",
        "a message where tasks are granted",
        "not-permitted",
        good,
        facts(grant=tasks_only.hex()),
    )
    size = len(sealed().raw)
    small = grant(largest=size - 1)
    yield case(
        "too_large_for_grant", "a byte larger than granted", "not-permitted", good, facts(grant=small.hex())
    )
    fits = grant(largest=size)
    yield case("size_granted", "exactly as large as granted", ACCEPT, good, facts(grant=fits.hex()), BOTH)
    over = grant(until=NOW - 1)
    yield case("grant_over", "the grant has ended", "not-permitted", good, facts(grant=over.hex()))
    three = facts(connected=False, grant=None, acquainted=False, contacts={"there": 3, "back": 0})
    yield case(
        "contact_fourth",
        "a fourth request without an answer",
        "contact-limit",
        parcel(of("connection")),
        three,
    )
    slow = grant(rate=3)
    busy = facts(grant=slow.hex(), sent_at=[NOW] * 3)
    yield case(
        "rate",
        "a fourth in the same millisecond where three a minute are granted",
        "rate-limited",
        good,
        busy,
    )
    never = grant(rate=0)
    yield case("rate_0", "a rate of none", "rate-limited", good, facts(grant=never.hex()))
    crowded = facts(full=[DESKTOP.id.public.hex()])
    yield case("mailbox_full", "the recipient's mailbox is full", "mailbox-full", good, crowded)
    first = sealed()
    same_id = sealed(header(seq=2))
    yield case(
        "same_id",
        "another envelope under the same id",
        "equivocation",
        parcel(same_id),
        facts(before=[first.raw.hex()]),
    )
    same_seq = sealed(header("second"), content("message", {"text": "other", "parts": []}))
    yield case(
        "same_seq",
        "another envelope under the same seq",
        "equivocation",
        parcel(same_seq),
        facts(before=[first.raw.hex()]),
    )
    none: list[Value] = [first.raw, []]
    yield case("no_wraps", "no wraps at all", "bad-value", none)
    twice: list[Value] = [first.raw, wraps([DESKTOP.enc]) * 2]
    yield case("wraps_twice", "one key twice", "not-canonical", twice)


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (accepted, parties, addressed, permission):
        yield from family()
