"""The second reading of the specification, in JavaScript."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SPEC = Path(__file__).parents[2] / "spec"
IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}


def test_javascript_agrees_with_every_vector_that_it_reads():
    """`node spec/check.mjs` passes all that it reads, and it reads most of them."""
    node = shutil.which("node")
    if node is None or not (SPEC / "node_modules").is_dir():
        missing = "node, or spec/node_modules (npm ci --prefix spec), is not there"
        if IN_CI:
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run([node, "check.mjs"], cwd=SPEC, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed, left = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
    assert failed == 0
    assert passed > 6 * left


def test_javascript_lock_pins_packages_and_names_no_host():
    """The lock pins each package by its hash and leaves it to the installer where files come from."""
    text = (SPEC / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert "://" not in text
    assert text.count('"integrity"') >= 2
