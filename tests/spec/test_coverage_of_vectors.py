"""What the vectors must cover: every code, every message type, every cell of the task table."""

import json
from collections import Counter
from pathlib import Path

import pytest

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.messages import codec
from taskferry_protocol.tasks import TRANSITIONS, EventType, TaskState
from tests.spec.runners import RUNNERS

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"
ALL = {path: json.loads(path.read_text("utf-8")) for path in sorted(VECTORS.rglob("*.json"))}
CODES = {vector["expect"] for vector in ALL.values()} | {
    step["code"] for vector in ALL.values() for step in vector.get("steps", ()) if "code" in step
}
# Only a running daemon or relay comes to these; `vectors/README.md` says why.
RUNNING_ONLY = {RejectCode.INTERNAL}


@pytest.mark.parametrize("code", sorted(set(RejectCode) - RUNNING_ONLY))
def test_every_code_has_a_vector(code):
    """At least one vector expects the code, or has a step that does."""
    assert code.value in CODES


@pytest.mark.parametrize("name", sorted(codec.BODIES))
def test_every_message_type_has_good_and_bad_vectors(name):
    """Each message type is accepted once and refused several times."""
    expected = Counter(
        vector["expect"] == "accept" for path, vector in ALL.items() if path.stem.startswith(f"{name}_")
    )
    assert expected[True] >= 1
    assert expected[False] >= 2


@pytest.mark.parametrize("event", sorted(set(EventType) - {EventType.TASK_REQUEST}))
@pytest.mark.parametrize("state", list(TaskState))
def test_every_cell_of_the_task_table_has_a_vector(event, state):
    """Some vector brings the event to a task in the state, final states included."""
    assert any(vector.get("cell") == [event.value, state.value] for vector in ALL.values())


def test_table_of_the_code_names_no_event_that_the_table_of_the_text_lacks():
    """Whatever the implementation lets happen stands in a cell that a vector accepts."""
    accepted = {
        tuple(vector["cell"]) for vector in ALL.values() if "cell" in vector and vector["expect"] == "accept"
    }
    assert {(event.value, state.value) for event, row in TRANSITIONS.items() for state in row} <= accepted


def test_there_are_enough_vectors_and_most_are_refusals():
    """The set does not shrink unnoticed."""
    refused = sum(vector["expect"] != "accept" for vector in ALL.values())
    assert len(ALL) >= 300
    assert refused >= 200


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(VECTORS).with_suffix("")))
def test_vector_is_well_formed(path):
    """A vector names its section, says in words what it shows, and has a known kind and a known outcome."""
    vector = ALL[path]
    assert vector["kind"] in RUNNERS
    assert vector["expect"] in {"accept", *RejectCode}
    assert vector["comment"]
    document, _, anchor = vector["spec"].partition("#")
    text = (VECTORS.parent / document).read_text("utf-8")
    headings = {
        line.lstrip("# ").lower().replace(".", "").replace(",", "").replace("`", "").replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert not anchor or anchor in headings
