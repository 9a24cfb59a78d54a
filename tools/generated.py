"""Files that a module writes into the repository; `--check` holds them against what it would write."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["run"]

ROOT = Path(__file__).resolve().parents[1]


def run(module: str, wanted: Mapping[Path, str], stray: Sequence[Path] = ()) -> int:
    """Write each wanted file and remove the stray ones; the exit code. `module` is named in messages."""
    match sys.argv[1:]:
        case []:
            return _write(wanted, stray)
        case ["--check"]:
            return _check(module, wanted, stray)
        case _:
            print(f"usage: python -m {module} [--check]", file=sys.stderr)
            return 2


def _check(module: str, wanted: Mapping[Path, str], stray: Sequence[Path]) -> int:
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in [*stale, *stray]:
        print(f"{path.relative_to(ROOT)} is out of date: run `python -m {module}`")
    return 1 if stale or stray else 0


def _write(wanted: Mapping[Path, str], stray: Sequence[Path]) -> int:
    for path in stray:
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0
