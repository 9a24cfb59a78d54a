"""Whole programs whose writes fail: a sample in CI; `make disk` is all of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .preload import NoCompiler, Writes, build
from .trial import run_trial


def build_or_skip(folder: Path) -> None:
    """Skip where nothing can be loaded into a program; CI has a compiler."""
    try:
        build(folder)
    except NoCompiler as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("operation", "target", "how", "first", "every", "most"),
    [
        ("set-up", "alice", Writes.ERROR, 4, 9, 2),
        ("talk", "alice", Writes.ERROR, 11, 19, 2),
        ("talk", "relay", Writes.FULL, 5, 17, 2),
    ],
)
def test_what_is_done_while_writes_fail_is_done_once(
    tmp_path: Path, operation: str, target: str, how: Writes, first: int, every: int, most: int
) -> None:
    """Some calls fail: who met them says so, comes up again, and in the end all is there, once."""
    build_or_skip(tmp_path)
    outcome = run_trial(tmp_path, operation, target, how, first=first, every=every, most=most)
    assert outcome.cases >= 1


def test_without_a_compiler_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no cc, whoever asks is told so."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(NoCompiler, match="cc"):
        build(tmp_path)
