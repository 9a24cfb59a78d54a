"""The examples, each with its framework, on real daemons and a real relay: no network, no model's key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.stage import ROOT, Pair, a_pair

pytestmark = pytest.mark.examples

EXAMPLES = ROOT / "examples"
PYTHON = ROOT / ".venv-examples" / "bin" / "python"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two connected agents."""
    if not PYTHON.exists() and "CI" not in os.environ:
        pytest.skip("the frameworks are not installed: make test-examples")
    with a_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def test_an_assistant_asks_and_a_worker_of_another_framework_answers(pair: Pair, tmp_path: Path) -> None:
    """Pydantic AI's tool hands a task over, smolagents' tools do it, and the result comes back as data."""
    ask, work = str(EXAMPLES / "ask_with_pydantic_ai.py"), str(EXAMPLES / "work_with_smolagents.py")
    python = str(PYTHON)
    with pair.running("bob", work, folder=tmp_path, python=python):
        for title in ("Report on ferries", "Another one"):
            told = pair.run("alice", ask, "@bob/writer", title, folder=tmp_path, python=python)
            words = len(title.split())
            assert told == (
                f"Done. What @bob/writer wrote, as data:\n{title}: {words} words, and all of them read.\n"
            )
    with pair.alice.client() as alice:
        tasks = alice.get("/tasks")["tasks"]
    assert isinstance(tasks, list)
    assert [task["state"] for task in tasks] == ["completed", "completed"]


def test_every_example_is_tried() -> None:
    """A program in the folder that no test starts would rot."""
    text = Path(__file__).read_text("utf-8")
    assert all(path.name in text for path in EXAMPLES.glob("*.py"))
