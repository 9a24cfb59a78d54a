"""Reading fields: which fault is told, and how it is named (spec/taskferry.md section 2)."""

import pytest

from taskferry_protocol.ids import AccountId, AgentRef, Hash, LogPosition
from taskferry_protocol.shape import (
    MapReader,
    as_agent,
    as_array,
    as_bytes,
    as_pair,
    as_position,
    as_text,
    as_uint,
    check_ascending,
    has_controls,
)

from .owners import Refused


def test_unknown_keys_are_told_before_missing_ones_and_types():
    """A closed map says first what does not belong."""
    with Refused("wrong-type", "x"):
        MapReader([], "x", ("a",))
    with Refused("unknown-field", "x.z"):
        MapReader({"z": 1}, "x", ("a",), ("b",))
    with Refused("missing-field", "x.a"):
        MapReader({"b": 1}, "x", ("a",), ("b",))
    with Refused("missing-field", "a"):
        MapReader({}, "", ("a",))


def test_open_map_keeps_what_it_does_not_know():
    """Inside sealed content, unknown keys survive."""
    reader = MapReader.open({"a": 1, "z": [2]}, "x", ("a",))
    assert reader.extra(("a",)) == {"z": [2]}
    assert "z" in reader
    assert "b" not in reader
    with Refused("missing-field", "x.b"):
        MapReader.open({"a": 1}, "x", ("b",))
    with Refused("wrong-type", "x"):
        MapReader.open(None, "x", ())


def test_fields_come_out_typed():
    """One reader for each sort of field."""
    reader = MapReader(
        {
            "array": [1],
            "boolean": True,
            "bytes": b"abc",
            "hash": bytes(32),
            "name": "ann",
            "none": None,
            "position": [3, bytes(32)],
            "agent": [bytes(32), "coder"],
            "text": "é",
            "time": 5,
            "uint": 7,
        },
        "",
        ("uint",),
        ("array", "boolean", "bytes", "hash", "name", "none", "position", "agent", "text", "time"),
    )
    assert reader.array("array", most=1) == [1]
    assert reader.boolean("boolean") is True
    assert reader.bytes("bytes", most=3) == b"abc"
    assert reader.hash("hash") == bytes(32)
    assert reader.name("name") == "ann"
    assert reader.position("position") == LogPosition(3, Hash(bytes(32)))
    assert reader.agent("agent") == AgentRef(AccountId(bytes(32)), "coder")
    assert reader.text("text", most=2) == "é"
    assert (reader.time("time"), reader.uint("uint")) == (5, 7)
    assert reader.nullable("none", as_uint) is None
    assert reader.nullable("uint", as_uint) == reader.read("uint", as_uint) == reader.value("uint") == 7


@pytest.mark.parametrize(
    ("read", "value", "code"),
    [
        (as_uint, True, "wrong-type"),
        (as_uint, "1", "wrong-type"),
        (as_uint, -1, "bad-value"),
        (lambda value, field: as_uint(value, field, low=2, high=3), 4, "bad-value"),
        (as_bytes, "x", "wrong-type"),
        (lambda value, field: as_bytes(value, field, size=2), b"x", "bad-value"),
        (lambda value, field: as_bytes(value, field, most=2), b"xxx", "bad-value"),
        (lambda value, field: as_text(value, field, most=2), b"x", "wrong-type"),
        (lambda value, field: as_text(value, field, most=1), "é", "bad-value"),
        (lambda value, field: as_text(value, field, least=1, most=2), "", "bad-value"),
        (lambda value, field: as_array(value, field, most=1), {}, "wrong-type"),
        (lambda value, field: as_array(value, field, most=1), [1, 2], "too-many"),
        (lambda value, field: as_array(value, field, least=1, most=1), [], "bad-value"),
        (as_pair, b"xx", "wrong-type"),
        (as_pair, [1, 2, 3], "bad-value"),
        (as_position, [0, bytes(32)], "bad-value"),
        (as_position, [1, bytes(31)], "bad-value"),
        (as_position, [bytes(32), 1], "wrong-type"),
        (as_agent, [bytes(31), "a"], "bad-value"),
        (as_agent, [bytes(32), None], "wrong-type"),
        (as_agent, [bytes(32), ""], "bad-value"),
        (lambda value, field: MapReader({"x": value}, "", ("x",)).boolean("x"), 1, "wrong-type"),
        (lambda value, field: MapReader({"x": value}, "", ("x",)).name("x"), 1, "wrong-type"),
        (lambda value, field: MapReader({"x": value}, "", ("x",)).name("x"), "x\n", "bad-value"),
        (lambda value, field: MapReader({"x": value}, "", ("x",)).time("x"), 2**53, "bad-value"),
    ],
)
def test_wrong_values_are_named_with_their_field(read, value, code):
    """Another type is told apart from a value out of range and from too many."""
    with Refused(code, "x"):
        read(value, "x")


def test_ascending_means_sorted_and_unique():
    """Empty and single lists are, doubles are not."""
    for items in ([], [b"a"], [b"a", b"aa", b"b"]):
        check_ascending(items, "x")
    for items in ([b"b", b"a"], [b"a", b"a"]):
        with Refused("not-canonical", "x"):
            check_ascending(items, "x")


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1f", "\x7f", "\x80", "\x9f"])
def test_control_characters(character):
    """C0, DEL and C1 are; their neighbours are not."""
    assert has_controls(f"a{character}b")
    assert not has_controls(" ~\xa0é")
