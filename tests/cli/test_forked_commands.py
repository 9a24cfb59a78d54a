"""How tests hear that a forked command has ended."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests import warm


def test_several_threads_may_ask_at_once_whether_a_command_has_ended() -> None:
    """A stage follows its programs' logs in threads, which ask as well."""
    told: list[int | None] = []
    with open(os.devnull, "r+b") as nothing:
        words, around = ["--version"], dict(os.environ)
        started = warm.start(words, around, Path.cwd(), stdin=nothing, stdout=nothing, stderr=nothing)
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        while (code := started.poll()) is None:
            pass
        told.append(code)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    together.wait()
    assert started.wait(20) == 0
    for thread in threads:
        thread.join()
    assert told == [0, 0, 0]
