"""Arguments are read by the tools' own schemas: closed, and with sentences that help a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from taskferry_apps.mcp.catalogue import TOOLS
from taskferry_apps.mcp.schema import BadArgument, read_arguments

CREATE = TOOLS["taskferry_task_create"].takes
GOOD = {"to": "@bob/writer", "title": "t", "brief": "b"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_every_schema_is_closed_and_sound(tool) -> None:
    """Each is JSON Schema, and each object in it refuses members that it does not name."""
    for schema in (tool.takes, tool.gives):
        Draft202012Validator.check_schema(schema)
        _check_closed(schema)


def _check_closed(schema) -> None:
    # What a worker submits as JSON is its own.
    if schema.get("type") == "object" and schema["additionalProperties"] is not True:
        assert schema["additionalProperties"] is False
        assert set(schema.get("required", [])) <= set(schema["properties"])
        for member in schema["properties"].values():
            _check_closed(member)
    if schema.get("type") == "array":
        _check_closed(schema["items"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "must be an object"),
        ({}, "to is missing"),
        ({**GOOD, "too": "x"}, 'no argument "too"; there are: to, title'),
        ({**GOOD, "title": 7}, "title must be a text"),
        ({**GOOD, "title": "x" * 201}, "at most 200"),
        ({**GOOD, "max_revisions": True}, "must be a whole number"),
        ({**GOOD, "max_revisions": -1}, "at least 0"),
        ({**GOOD, "max_revisions": 1.5}, "must be a whole number"),
        ({**GOOD, "deadline_minutes": 99_999}, "at most 43200"),
        ({**GOOD, "requirements": "x"}, "must be a list"),
        ({**GOOD, "requirements": ["x", 1]}, r"requirements\[1\] must be a text"),
        ({**GOOD, "requirements": ["x"] * 33}, "at most 32"),
        ({**GOOD, "brief": "\ud800"}, "surrogate"),
    ],
)
def test_what_does_not_fit_is_named(arguments, words: str) -> None:
    """Which argument, and what would do."""
    with pytest.raises(BadArgument, match=words):
        read_arguments(CREATE, arguments)


def test_null_is_as_left_out() -> None:
    """Hosts that fill in every member with null are understood."""
    args = read_arguments(CREATE, {**GOOD, "files": None})
    assert not args.has("files")
    assert args.texts("files") == []


@given(
    st.sampled_from(list(TOOLS.values())), st.dictionaries(st.text() | st.sampled_from(["id", "task"]), JSON)
)
def test_any_arguments_fit_or_are_refused_in_a_sentence(tool, arguments) -> None:
    """What is let through fits the schema by another's reckoning, too."""
    sentence = "."
    try:
        read = read_arguments(tool.takes, arguments)
    except BadArgument as bad:
        sentence = str(bad)
    else:
        Draft202012Validator(tool.takes).validate(dict(read.given))
    assert sentence.endswith(".")
