"""The rules of layout that no other tool checks."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))

# The whole world of the protocol, besides the standard library; import contracts narrow the library down.
PROTOCOL_MAY_IMPORT = {"attr", "attrs", "cbor2", "nacl", "taskferry_protocol"}

# At this length a file holds a second subject.
LONGEST_FILE_LINES = 400


def name(path: Path) -> str:
    """Name a file by its path in the repository."""
    return str(path.relative_to(ROOT))


def imported_packages(path: Path) -> Iterator[str]:
    """Yield the top-level package of each import in a file; relative imports stay inside and are left out."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "src" / "taskferry_protocol").rglob("*.py")), ids=name)
def test_protocol_imports_only_what_its_layer_allows(path):
    """A protocol module imports the standard library, attrs, cbor2, PyNaCl and itself, and nothing else."""
    allowed = PROTOCOL_MAY_IMPORT | sys.stdlib_module_names
    assert set(imported_packages(path)) <= allowed


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_source_file_has_one_subject(path):
    """No source file is long enough to hold two subjects, or named so that anything would fit into it."""
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_FILE_LINES
    assert path.stem not in {"utils", "util", "helpers", "helper", "manager", "misc", "common"}


@pytest.mark.parametrize("package", sorted((ROOT / "src").glob("taskferry_*")), ids=name)
def test_package_is_typed(package):
    """Each of the packages tells type checkers that it carries its types."""
    assert (package / "py.typed").is_file()


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_lock_pins_every_file_and_names_no_host(lock):
    """A lock pins versions and hashes, and leaves it to the installer where files come from."""
    text = lock.read_text("utf-8")
    requirements = re.findall(r"^[A-Za-z0-9].*$", text, re.MULTILINE)
    assert requirements
    assert all(re.match(r"[A-Za-z0-9._\[\]-]+==\S+.* \\$", line) for line in requirements)
    assert len(re.findall(r" \\\n    --hash=sha256:[0-9a-f]{64}", text)) >= len(requirements)
    assert not re.search(r"://|^\s*(--index|--extra-index|--find-links|-i |-f )", text, re.MULTILINE)


def test_the_source_distribution_holds_the_whole_house():
    """Every folder of the repository, so that whoever unpacks it can check, test and measure."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = set(settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    left_out = {".github"}  # where one hosting place looks for its settings
    named = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not named:
        pytest.skip("this is no clone")
    folders = {path.split("/")[0] for path in named if "/" in path}
    assert {f"/{folder}" for folder in folders - left_out} <= included
