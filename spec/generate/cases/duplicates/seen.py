"""Envelopes one after the other: new, duplicate, or two faces of one place."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import NOW, Map, Value, fixed
from spec.generate.parcels import ADA, BOB, DESKTOP, LEAD, PHONE, Built, content, header, sealed
from spec.generate.vector import ACCEPT, Vector, hexes, vector

SECTION = "envelope.md#7-duplicates"
WRITER = BOB.branch().set_agent("writer", [DESKTOP])
OTHER_TEXT = content("message", {"text": "Something else.", "parts": []})


def of(label: str = "first", /, **other: Value) -> Map:
    """A header of a class that needs no grant: only what was seen before decides here."""
    return header(label, class_="connection", **other)


def scenarios() -> Iterator[tuple[str, str, list[tuple[Built, str]]]]:
    """Envelopes in order, each with what becomes of it."""
    first = sealed(of())
    same_id = sealed(of(seq=2), OTHER_TEXT)
    same_seq = sealed(of("second"), OTHER_TEXT)
    later = sealed(of("second", seq=2))
    dup = "duplicate"
    bad = "equivocation"
    yield "again", "the same bytes again", [(first, "new"), (first, dup), (first, dup)]
    yield "next", "the next envelope", [(first, "new"), (later, "new")]
    yield "same_id", "other bytes under the same id", [(first, "new"), (same_id, bad)]
    yield "same_seq", "another envelope under the same seq", [(first, "new"), (same_seq, bad)]
    resealed = sealed(of(), key=fixed("another K"))
    yield "resealed", "the same content sealed anew under the same id", [(first, "new"), (resealed, bad)]
    other_to = sealed(of("second", to=[BOB.account, "writer"]))
    yield "same_seq_other_to", "each recipient has a count of its own", [(first, "new"), (other_to, "new")]
    other_device = sealed(of(), by=PHONE.id)
    yield (
        "same_id_other_device",
        "the same id and seq from another device name another envelope",
        [(first, "new"), (other_device, "new")],
    )
    backwards = [(later, "new"), (first, "new")]
    yield "out_of_order", "a lower seq later is late, not wrong", backwards
    yield (
        "evidence_stays",
        "after an equivocation the first still counts",
        [
            (first, "new"),
            (same_id, bad),
            (first, dup),
            (later, "new"),
        ],
    )
    reply = sealed(
        of("reply", from_=[BOB.account, "coder"], to=LEAD, log=BOB.position(), to_log=ADA.position()),
        by=DESKTOP.id,
    )
    yield "other_sender", "another account's envelope with the same seq", [(first, "new"), (reply, "new")]


def vectors() -> Iterator[Vector]:
    """Each scenario; `expect` is the worst outcome in it."""
    for name, comment, steps in scenarios():
        outcomes = [outcome for _, outcome in steps]
        expect = "equivocation" if "equivocation" in outcomes else ACCEPT
        yield vector(
            "duplicates",
            name,
            "duplicates",
            SECTION,
            comment,
            expect,
            now_ms=NOW,
            accounts=[hexes(ADA.statements), hexes(WRITER.statements)],
            input=hexes([built.raw for built, _ in steps]),
            decoded={"outcomes": outcomes},
        )
