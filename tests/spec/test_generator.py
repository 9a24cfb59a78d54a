"""The generator: what it makes is what is committed, and it shares nothing with what it judges."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATOR = sorted((ROOT / "spec" / "generate").rglob("*.py"))
FORBIDDEN = {"taskferry_protocol", "taskferry_transports", "taskferry_stores", "taskferry_apps", "cbor2"}


def test_committed_vectors_are_what_the_generator_makes():
    """`python -m spec.generate --check` finds no drift."""
    command = [sys.executable, "-m", "spec.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", GENERATOR, ids=lambda path: str(path.relative_to(ROOT)))
def test_generator_imports_nothing_that_it_judges(path):
    """Our packages and their CBOR library stay outside: a bug must not certify itself."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    assert not imported & FORBIDDEN
