"""The harness's page: its example runs as it stands."""

import re
from pathlib import Path

import pytest

import taskferry_protocol.harness as harness

PAGE = Path(__file__).parents[2] / "docs" / "harness.md"


def test_example_runs_as_it_stands():
    """Whoever copies the example has a program that works."""
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("name", sorted(harness.__all__))
def test_every_public_name_has_a_docstring(name):
    """A name that is offered says what it promises."""
    assert getattr(harness, name).__doc__
