"""The CDDL of the specification, read by a validator that is not ours, against every vector with a shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cddl_verifier import Validator

SPEC = Path(__file__).parents[2] / "spec"
VECTORS = {path: json.loads(path.read_text("utf-8")) for path in sorted((SPEC / "vectors").rglob("*.json"))}
#: What a shape alone can tell; all else that a vector is refused for stands in the text.
SHAPE_CODES = frozenset({"missing-field", "unknown-field", "unknown-type", "wrong-type"})

Vector = Mapping[str, Any]
Shape = tuple[str, bytes]
"""The name of a rule, and the bytes that should fit it."""


def _signed(text: str, rule: str) -> Iterator[Shape]:
    """A signed structure, and what is in it."""
    data = bytes.fromhex(text)
    yield "signed", data
    structure = cbor2.loads(data)
    yield rule, structure.value[2]


def _one(rule: str) -> Callable[[Vector], Iterator[Shape]]:
    def shapes(vector: Vector) -> Iterator[Shape]:
        yield rule, bytes.fromhex(vector["input"])

    return shapes


def _one_signed(rule: str) -> Callable[[Vector], Iterator[Shape]]:
    return lambda vector: _signed(vector["input"], rule)


def _statements(vector: Vector) -> Iterator[Shape]:
    for text in vector["input"]:
        yield from _signed(text, "statement")


def _grants(vector: Vector) -> Iterator[Shape]:
    for text in vector["grants"]:
        yield from _signed(text, "grant")
    for text in vector["terms"]:
        yield "terms", bytes.fromhex(text)


def _frames(vector: Vector) -> Iterator[Shape]:
    """What a side that keeps the rules says; what it is told may be anything."""
    if "hello" in vector:
        yield "hello", bytes.fromhex(vector["hello"])
    for step in vector["steps"]:
        for frame in step.get("frames", ()):
            # Of frames with a text for people, a vector names number and code alone.
            if isinstance(frame, str):
                yield "frame", bytes.fromhex(frame)
        if "receive" in step and "code" not in step:
            yield "frame", bytes.fromhex(step["receive"])


def _letters(vector: Vector) -> Iterator[Shape]:
    """What either machine writes while one links the other."""
    if "first" in vector:
        yield "letter", bytes.fromhex(vector["first"])
    for step in vector["steps"]:
        if "letter" in step:
            yield "letter", bytes.fromhex(step["letter"])
        for letter in step["out"]:
            yield "letter", bytes.fromhex(letter)


def _backup_header(vector: Vector) -> Iterator[Shape]:
    """The header alone, behind eight bytes that say what it is and its length."""
    data = bytes.fromhex(vector["input"])
    yield "backup-header", data[12 : 12 + int.from_bytes(data[8:12], "big")]


SHAPES: Mapping[str, Callable[[Vector], Iterator[Shape]]] = {
    "account-log": _statements,
    "backup": _backup_header,
    "card": _one_signed("card"),
    "connection-accept": _one_signed("connection-accept"),
    "connection-end": _one_signed("connection-end"),
    "connection-request": _one_signed("connection-request"),
    "cose": _one("signed"),
    "envelope": _one_signed("envelope-payload"),
    "grant": _grants,
    "handoff": _one("handoff"),
    "invite": _one_signed("invite"),
    "link-managing": _letters,
    "link-new": _letters,
    "message": _one("content"),
    "parcel": _one("parcel"),
    "session-client": _frames,
    "session-relay": _frames,
}


@pytest.fixture(scope="module")
def schema() -> Validator:
    """The file as it is published."""
    return Validator((SPEC / "taskferry.cddl").read_text("utf-8"))


def _misfits(schema: Validator, vector: Vector) -> list[str]:
    """Which of a vector's shapes do not fit, and why."""
    found = []
    try:
        for rule, data in SHAPES[vector["kind"]](vector):
            result = schema.validate(data, rule)
            if not result.valid:
                found.append(f"{rule}: {result.format()}")
    except (cbor2.CBORDecodeError, AttributeError, IndexError, TypeError) as error:
        found.append(f"no signed structure: {error!r}")
    return found


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_what_is_accepted_fits_its_shape(schema: Validator, kind: str) -> None:
    """Every accepted vector of the kind; of sessions, every frame that is not itself refused."""
    of_kind = {path.name: vector for path, vector in VECTORS.items() if vector["kind"] == kind}
    accepted = {
        name: vector
        for name, vector in of_kind.items()
        if vector["expect"] == "accept" or kind.startswith("session-")
    }
    assert accepted
    assert not {name: misfits for name, vector in accepted.items() if (misfits := _misfits(schema, vector))}


@pytest.mark.parametrize("kind", sorted(kind for kind in SHAPES if not kind.startswith("session-")))
def test_what_is_refused_for_its_shape_does_not_fit(schema: Validator, kind: str) -> None:
    """A field too few or too many, or of another type: the schema alone tells."""
    refused = {
        path.name: vector
        for path, vector in VECTORS.items()
        if vector["kind"] == kind and vector["expect"] in SHAPE_CODES
    }
    assert not [name for name, vector in refused.items() if not _misfits(schema, vector)]


def test_frames_refused_for_their_shape_do_not_fit(schema: Validator) -> None:
    """The same of what a session is told."""
    told = [
        (path.name, bytes.fromhex(step["receive"]))
        for path, vector in VECTORS.items()
        if vector["kind"].startswith("session-")
        for step in vector["steps"]
        if step.get("code") in SHAPE_CODES and "receive" in step
    ]
    assert told
    assert not [name for name, data in told if schema.validate(data, "frame").valid]
