"""A handoff that verifies, and ones that were tampered with or leave something out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spec.generate.handoff import Handoff, exported, kept
from spec.generate.identity import Device
from spec.generate.kit import Map, Value, enc, fixed, tampered
from spec.generate.pacts import REQUEST as ASKED
from spec.generate.pacts import accept
from spec.generate.parcels import ADA, BOB, CODER, DESKTOP, LAPTOP, LEAD, PHONE
from spec.generate.vector import ACCEPT, Json, Vector

SECTION = "tasks.md#4-the-handoff-export"


def case(name: str, comment: str, expect: str, raw: bytes, decoded: Json = None) -> Vector:
    """One export."""
    members: dict[str, Json] = {"spec": SECTION, "comment": comment, "kind": "handoff", "input": raw.hex()}
    members["expect"] = expect
    if decoded is not None:
        members["decoded"] = decoded
    return Vector("export", name, members)


def shown(handoff: Handoff, state: str, gaps: Json = ()) -> Json:
    """What a verifier prints of it."""
    accounts: Json = sorted([ADA.account.hex(), BOB.account.hex()])
    return {"task": handoff.task.hex(), "accounts": accounts, "state": state, "gaps": gaps}


def accepted() -> Iterator[Vector]:
    """Exports that verify."""
    told = Handoff().tell()
    yield case("whole", "a task with a revision, completed", ACCEPT, exported(told), shown(told, "completed"))
    bare = exported(told, lambda members: {**members, "connection": [], "receipts": []})
    yield case("bare", "without connection and receipts", ACCEPT, bare, shown(told, "completed"))
    cut = exported(told, events=told.events()[:-1])
    comment = "the last submission left out: the completion waits for it"
    yield case("gap", comment, ACCEPT, cut, shown(told, "revision_requested", [["worker", 2]]))
    early = exported(told, events=[told.events()[0]])
    yield case("request_only", "nothing but the request", ACCEPT, early, shown(told, "sent"))
    later = ADA.branch().revoke(LAPTOP, PHONE.manage)
    kept_log = exported(told, logs=(later, BOB))
    comment = "the requester's device was revoked later: its events stay provable where they quote the log"
    yield case("revoked_later", comment, ACCEPT, kept_log, shown(told, "completed"))


def with_events(handoff: Handoff, at: int, change: Sequence[bytes]) -> bytes:
    """The export with one pair of envelope and K replaced."""
    pairs = kept(handoff.events())
    pairs[at] = list(change)
    return exported(handoff, lambda members: {**members, "events": pairs})


def tampering() -> Iterator[Vector]:
    """One thing changed each."""
    told = Handoff().tell()
    last = told.events()[-1]

    def member(name: str, comment: str, code: str, **other: Value) -> Vector:
        return case(name, comment, code, exported(told, lambda members: {**members, **other}))

    yield member("format_2", "a later format", "unknown-version", format="taskferry-handoff/2")
    yield member("more", "a member that is not known", "unknown-field", notes="trust me")
    yield member("task_short", "a task id of 31 bytes", "bad-value", task=bytes(31))
    yield member("other_task", "it says that it is another task", "unknown-task", task=fixed("another task"))
    yield member("no_events", "no events", "bad-value", events=[])
    missing = exported(told, lambda members: {key: members[key] for key in members if key != "logs"})
    yield case("without_logs", "no logs", "missing-field", missing)
    yield case("trailing", "a byte after it", "malformed", exported(told) + b"\0")
    yield case(
        "wrong_key",
        "another K beside an envelope",
        "bad-commit",
        with_events(told, -1, [last.raw, fixed("K")]),
    )
    signature = [tampered(last.raw), last.key]
    yield case(
        "signature",
        "one bit of an envelope's signature changed",
        "bad-signature",
        with_events(told, -1, signature),
    )
    logs = [tampered(ADA.statements[0]), *ADA.statements[1:]]
    altered: Map = {ADA.account.hex(): logs, BOB.account.hex(): list(BOB.statements)}
    yield member("log_altered", "one bit of a statement's signature changed", "bad-signature", logs=altered)
    yield case("log_missing", "no log of the worker's owner", "unknown-account", exported(told, logs=(ADA,)))
    swapped: Map = {ADA.account.hex(): list(BOB.statements), BOB.account.hex(): list(BOB.statements)}
    yield member("log_under_other_id", "another account's log under an id", "wrong-account", logs=swapped)


def strangers() -> Iterator[Vector]:
    """Events that do not belong, or whose signer did not stand where it says."""
    handoff = Handoff().tell()
    handoff.add("worker", "task_seen", {}, task=fixed("another task"))
    comment = "an event whose link names another task"
    yield case("event_of_other_task", comment, "unknown-task", exported(handoff))
    handoff = Handoff().tell()
    handoff.add("worker", "task_seen", {}, log=[2, bytes(32)])
    comment = "an event that quotes a head which the log does not have"
    yield case("log_elsewhere", comment, "not-an-extension", exported(handoff))
    handoff = Handoff().tell()
    handoff.add("worker", "task_seen", {}, by=Device("mallory laptop").id)
    yield case("stranger", "an event signed by a device of nobody's", "unknown-device", exported(handoff))
    handoff = Handoff().tell()
    handoff.add("worker", "task_seen", {}, sender=[BOB.account, "writer"])
    yield case(
        "not_serving",
        "an event for an agent that its device does not serve",
        "unknown-agent",
        exported(handoff),
    )
    other = accept(ADA.manage, by=LEAD, peer=CODER, log=ADA.position())
    pair = exported(Handoff().tell(), lambda members: {**members, "connection": [ASKED, other]})
    yield case("own_connection", "a request that its own maker accepted", "own-request", pair)
    none = Handoff().tell()
    said = exported(none, lambda members: {**members, "receipts": kept([none.events()[0]])})
    yield case("receipt_is_none", "an event among the receipts", "class-mismatch", said)
    gone = BOB.branch().add_device(Device("bob tablet")).revoke(DESKTOP, Device("bob tablet").manage)
    handoff = Handoff().tell()
    handoff.add("worker", "task_seen", {}, log=gone.position())
    late = exported(handoff, logs=(ADA, gone))
    yield case(
        "revoked_before", "an event that quotes the log in which its device was gone", "device-gone", late
    )
    yield case("not_an_export", "a list in place of the map", "wrong-type", enc([1]))


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (accepted, tampering, strangers):
        yield from family()
