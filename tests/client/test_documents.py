"""The programs in the documents run as they stand there: with real daemons and a real relay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskferry_apps.client import AsyncClient, Client, Job, TaskHandle

from .stage import ROOT, Pair, a_pair

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = (ROOT / "README.md", ROOT / "docs" / "python.md")
README = "one two three\n"


def blocks(page: Path) -> list[str]:
    """The programs that a page shows, in their order."""
    return BLOCK.findall(page.read_text("utf-8"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two connected agents."""
    with a_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (PAGES[0], "It has 3 words.\n"),
        (PAGES[1], "It has 3 words.\n"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_two_programs_of_a_page_hand_work_to_each_other(pair, tmp_path, page, said):
    """The one that asks prints the other's result and ends well; the other goes on."""
    ask, work = (program for program in blocks(page) if "with Client()" in program or "anyio.run" in program)
    (tmp_path / "ask.py").write_text(ask)
    (tmp_path / "work.py").write_text(work)
    for name in ("README.md", "page.md"):
        (tmp_path / name).write_text(README)
    without_a_file = re.sub(r",\s*files=\[[^]]*\]", "", ask)
    assert without_a_file != ask
    (tmp_path / "ask_in_words.py").write_text(without_a_file)
    with pair.running("bob", "work.py", folder=tmp_path):
        assert pair.run("alice", "ask.py", folder=tmp_path) == said
        # What was asked, "Count its words.", has as many.
        assert pair.run("alice", "ask_in_words.py", folder=tmp_path) == said


def test_the_example_of_the_readme_is_short():
    """Ten lines are enough to ask another agent and wait for the result."""
    assert len(blocks(PAGES[0])[0].strip().splitlines()) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_python_and_every_method_exists(page):
    """What a page shows can be compiled, and calls nothing that is not there."""
    for program in blocks(page):
        compile(program, str(page), "exec")
        for name, method in re.findall(r"\b(client|task|job)\.(\w+)\(", program):
            kinds = {"client": (Client, AsyncClient), "task": (TaskHandle,), "job": (Job,)}[name]
            assert all(hasattr(kind, method) for kind in kinds), f"{name}.{method}"


def test_the_table_of_calls_is_whole():
    """Every public method of a client, a task and a job is named on the page."""
    text = PAGES[1].read_text("utf-8")
    plumbing = {"do", "do_once", "drop", "close", "url", "as_owner"}
    for kind in (Client, TaskHandle, Job):
        for name in dir(kind):
            assert name.startswith("_") or name in plumbing or f"`{name}" in text, name
