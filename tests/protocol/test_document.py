"""The library's page: its examples run as they stand, and the names that it mentions exist."""

import re
from importlib import import_module
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_examples_run_as_they_stand():
    """Whoever copies the examples, one after another, has a program that works."""
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(examples) == 3
    names: dict[str, object] = {"__name__": "example"}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)


def test_each_name_of_the_table_is_there():
    """A row names modules, and behind a colon what they have."""
    rows = re.findall(r"^\|[^|]+\|([^|]*`[^|]*)\|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 5
    for row in rows:
        for part in row.split(";"):
            modules, _, names = part.partition(":")
            found = [import_module(f"taskferry_protocol.{name}") for name in re.findall(r"`(\w+)`", modules)]
            for name in re.findall(r"`(\w+)`", names):
                assert any(hasattr(module, name) for module in found), f"{name} is in none of {modules}"
