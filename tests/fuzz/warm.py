"""Processes that have a family of targets loaded and instrumented, and run one round after another."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .families import module_of

__all__ = ["WarmProcesses"]

_TREE = Path(__file__).parents[2]


class _Warm:
    """One of them: for one round at a time."""

    def __init__(self, module: str, said: Path) -> None:
        self._said = said
        with said.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.one", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=_TREE,
            )

    def run(self, target: str, options: Sequence[str]) -> tuple[int, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said = self._said.with_suffix(".round")
        wanted = {"target": target, "options": options, "said": str(said)}
        try:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
        except (OSError, ValueError):
            # It ended without an answer: what it said itself tells why.
            return self._process.wait() or 1, self._said.read_text(errors="replace")
        return code, said.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class WarmProcesses:
    """As many as threads ask at once, of each family; they end with the block."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Warm]] = {}
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory()
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for idle in self._idle.values():
            for process in idle:
                process.close()
        self._folder.cleanup()

    def run(self, target: str, options: Sequence[str]) -> tuple[int, str]:
        """One round with libFuzzer's options: its exit code, and what it said."""
        module, _ = module_of(target)
        with self._lock:
            idle = self._idle.setdefault(module, [])
            process = idle.pop() if idle else None
            self._made += process is None
            said = Path(self._folder.name) / str(self._made)
        process = process or _Warm(module, said)
        code, words = process.run(target, options)
        if process.is_running:
            with self._lock:
                idle.append(process)
        return code, words
