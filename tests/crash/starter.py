"""Programs that begin at once: a process that has imported all of them is forked for each start.

To import a program takes a second of a core, and trials begin thousands. `python -m tests.crash.starter`
reads orders from its input, a line of JSON each, and answers each with a line.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

__all__ = ["Starter"]

#: What the programs need when they run, and would otherwise import one by one.
_MODULES: Final = (
    "taskferry_apps.cli.__main__",
    "taskferry_apps.cli.relay",
    "taskferry_apps.cli.up",
    "taskferry_apps.daemon.compose",
    "taskferry_apps.relay.compose",
)


class Starter:
    """Starts programs that end with it. May be used from several threads.

    With `preload`, programs have that library loaded before all others, as the system's linker does it.
    """

    def __init__(self, preload: Path | None = None) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKFERRY_")}
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.starter"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._lock = threading.Lock()

    def start(self, words: Sequence[str], log: Path, failing: tuple[Path, Path] | None = None) -> int:
        """Run `taskferry` with these words, its output appended to `log`; the process's id.

        `failing` is for the preloaded library: where it reads what is to fail, and the folder.
        """
        asked = [str(path) for path in failing or ()]
        return self._order({"do": "start", "words": list(words), "log": str(log), "failing": asked})

    def poll(self, process: int) -> int | None:
        """With what a process has ended, as Popen says it; None if it runs."""
        status = self._order({"do": "poll", "process": process})
        return None if status == _RUNS else status

    def wait(self, process: int) -> int:
        """With what a process ends."""
        return self._order({"do": "wait", "process": process})

    def kill(self, *processes: int) -> None:
        """SIGKILL to all, and the end of them."""
        for process in processes:
            os.kill(process, signal.SIGKILL)
        for process in processes:
            self.wait(process)

    def close(self) -> None:
        """End, and with it what still runs."""
        self._process.communicate()

    def _order(self, order: dict[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


_RUNS: Final = 1_000


def _serve() -> None:
    for module in _MODULES:
        __import__(module)
    # Or what is forked would look through all of it for cycles, and copy it meanwhile.
    gc.collect()
    gc.freeze()
    running: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        match order["do"]:
            case "start":
                answer = os.fork()
                if not answer:
                    _run(order["words"], order["log"], order["failing"])
                running.add(answer)
            case "poll" | "wait" as word:
                process, status = os.waitpid(order["process"], os.WNOHANG if word == "poll" else 0)
                answer = os.waitstatus_to_exitcode(status) if process else _RUNS
                running.discard(process)
            case other:
                raise ValueError(other)
        print(answer, flush=True)
    for process in running:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _run(words: list[str], log: str, failing: list[str]) -> NoReturn:
    """Be the program, from here to its end."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in ((0, nothing), (1, output), (2, output)):
        os.dup2(descriptor, number)
    os.closerange(3, 64)
    sys.argv = ["taskferry", *words]
    status = 1
    try:
        if failing and ctypes.CDLL(None).failing_writes_use(*(path.encode() for path in failing)):
            raise OSError("the library does not find its orders")
        from taskferry_apps.cli.__main__ import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process ends with it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
