"""The security model names, for each promise, tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security-model.md"
TESTED = re.compile(r"\]\(\.\./(tests/[\w/]+\.py)(?:#(\w+))?\)")
ROWS = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]


@cache
def named_in(path: Path) -> set[str]:
    """The names of the tests in a file."""
    found = ast.parse(path.read_bytes()).body
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), sorted(set(TESTED.findall(PAGE.read_text("utf-8")))))
def test_a_named_test_exists(file, test):
    """The file is there, and the test is in it."""
    assert test, f"the link to {file} names no test"
    assert test in named_in(ROOT / file)


def test_every_promise_in_a_table_names_a_test():
    """No row under `tested in` goes without."""
    promising = False
    count = 0
    for row in ROWS:
        if "tested in" in row or row.startswith(("| who ", "| it sees")):
            promising = "tested in" in row
        elif promising and not row.startswith("|---"):
            assert TESTED.search(row), row
            count += 1
    assert count > 20
