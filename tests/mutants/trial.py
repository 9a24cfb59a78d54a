"""Put one fault into a copy of `src`, and run the tests until one fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from .mutant import SOURCE, TREE, Mutant, mutated
from .table import WIDER

__all__ = ["Verdict", "copied_source", "try_out"]

_LATE = "no end within"
#: What pytest says where a marker has left out every test of the paths.
_NONE_RAN = 5
_QUICK = "not slow and not journey and not examples and not programs and not browser"
#: A mutant's own tests may be long stories.
_OWN = "not slow and not examples and not programs and not browser"


@attrs.frozen
class Verdict:
    """What became of a mutant. `by` is the test that failed, or why none could say."""

    mutant: Mutant
    killed: bool
    by: str
    seconds: float

    def report(self) -> dict[str, object]:
        """It as JSON."""
        return {
            "name": self.mutant.name,
            "file": self.mutant.file,
            "promise": self.mutant.promise,
            "layer": self.mutant.layer,
            "killed": self.killed,
            "by": self.by,
            "survives": self.mutant.survives,
            "seconds": round(self.seconds, 1),
        }


@contextmanager
def copied_source(folder: Path) -> Iterator[Path]:
    """A copy of `src` below `folder`, times of files kept so that what was compiled is not compiled again."""
    copy = folder / "src"
    shutil.copytree(SOURCE, copy)
    # Some tests run as nobody, who has to be able to read it.
    folder.chmod(0o755)
    yield copy


def try_out(mutant: Mutant, copy: Path, *, seconds: float, wider: bool = True) -> Verdict:
    """Whether some test notices the fault in the copy. The file is put back afterwards.

    Tests that fail without the fault, too, and a run that goes on beyond `seconds`, decide nothing, and do
    not count as noticed. Raises Stale.
    """
    path = copy / mutant.file
    whole = path.read_bytes()
    began = time.monotonic()
    asked = ((mutant.tests, _OWN), *(((WIDER[mutant.layer], _QUICK),) if wider else ()))
    for tests, markers in asked:
        without = _without_fault(tests, markers, copy, seconds)
        if without:
            return Verdict(
                mutant, False, f"fails without the fault, too: {without}", time.monotonic() - began
            )
    path.write_text(mutated(mutant))
    try:
        for tests, markers in asked:
            by = _first_failure(tests, markers, copy, seconds)
            if by:
                late = by.startswith(_LATE)
                return Verdict(mutant, not late, by, time.monotonic() - began)
    finally:
        path.write_bytes(whole)
    return Verdict(mutant, False, "", time.monotonic() - began)


_sound: dict[tuple[tuple[str, ...], str], str] = {}


def _without_fault(tests: tuple[str, ...], markers: str, copy: Path, seconds: float) -> str:
    """The test that fails on the code as it is; empty if all pass. Found once for each set of tests."""
    if (tests, markers) not in _sound:
        _sound[tests, markers] = _first_failure(tests, markers, copy, seconds)
    return _sound[tests, markers]


def _first_failure(tests: tuple[str, ...], markers: str, copy: Path, seconds: float) -> str:
    """The first test that fails, or why the tests could not run; empty if all pass."""
    environment = {
        **os.environ,
        # Before what the environment has installed: this copy is what programs and tests import.
        "PYTHONPATH": str(copy),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy.parent / "hypothesis"),
        "PYTEST_ADDOPTS": "",
    }
    command = [
        "-m",
        "pytest",
        "-x",
        "-q",
        "--no-header",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-m",
        markers,
        *tests,
    ]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=TREE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"{_LATE} {seconds:.0f} s"
    if process.returncode in (0, _NONE_RAN):
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+(?:\[.*?\])?)", said, re.MULTILINE)
    return found[1] if found else f"exit code {process.returncode}: {said.strip()[-200:]}"
