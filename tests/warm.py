"""`taskferry` commands that begin at once: each is forked from a process that has imported the program.

A command spends most of its time on imports, and a daemon or a relay most of a second; the suite begins more
than a thousand. What is decided while Python itself starts (what is imported when, the encoding, the words
that `ps` shows) is tested on processes of their own, which `subprocess` starts.
"""

from __future__ import annotations

import atexit
import functools
import gc
import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, NoReturn

import attrs

from taskferry_apps.demo.stage import Stage

__all__ = ["Ended", "Started", "WarmStage", "run", "start"]

_PROGRAMS: Final = (
    "taskferry_apps.daemon.compose",
    "taskferry_apps.relay.compose",
    # What each daemon imports in its first seconds, be it asked for or not: most of a second.
    "taskferry_apps.mcp.hosting",
)
_LENGTH: Final = struct.Struct("!I")
#: Whoever waits looks again after so long, since others may have read that it ended.
_TURN_S: Final = 0.05


class Started:
    """A command that runs, and how it ended: what of `subprocess.Popen` the tests ask for."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told, "rb", buffering=0)
        self._lock = threading.Lock()
        self.returncode: int | None = None
        self.pid = self._next()

    def poll(self) -> int | None:
        """With what it has ended; None while it runs."""
        # One reads that it has ended while others ask the same, such as whoever follows its log.
        with self._lock:
            if self.returncode is None and select.select([self._told], [], [], 0)[0]:
                self.returncode = self._next()
                self._told.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """With what it ends. Raises TimeoutExpired."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(f"taskferry, process {self.pid}", timeout or 0)
            with suppress(OSError, ValueError):  # others have just read it, and closed it
                select.select([self._told], [], [], min(left, _TURN_S))
        return code

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Any signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _next(self) -> int:
        said = b""
        while not said.endswith(b"\n"):
            more = self._told.read(1)
            if not more:
                raise RuntimeError("the process that commands are forked from has ended")
            said += more
        return int(said)


class _Warm:
    """The process that commands are forked from. It ends with this one, and they with it."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[1],
                # No key press meant for the tests reaches it before they are through with it.
                start_new_session=True,
            )
        self._lock = threading.Lock()

    def start(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> Started:
        hears, tells = os.pipe()
        try:
            body = json.dumps(order).encode()
            with self._lock:
                socket.send_fds(self._orders, [_LENGTH.pack(len(body))], [*descriptors, tells])
                self._orders.sendall(body)
        finally:
            os.close(tells)
        return Started(hears)

    def close(self) -> None:
        self._orders.close()
        self._process.wait()


@functools.cache
def _warm() -> _Warm:
    made = _Warm()
    atexit.register(made.close)
    return made


def start(
    words: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    stdin: int | IO[Any],
    stdout: int | IO[Any],
    stderr: int | IO[Any],
) -> Started:
    """Begin a command in a session of its own, with these files and nothing else open."""
    os.umask(mask := os.umask(0o077))
    order = {"words": list(words), "environment": dict(environment), "folder": str(folder), "umask": mask}
    files = [file if isinstance(file, int) else file.fileno() for file in (stdin, stdout, stderr)]
    return _warm().start(order, files)


@attrs.frozen
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: bytes
    err: bytes


def run(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, *, stdin: bytes, timeout: float
) -> Ended:
    """Run a command to its end. Raises TimeoutExpired, and kills it then."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin)
        given.flush()
        given.seek(0)
        started = start(words, environment, folder, stdin=given, stdout=out, stderr=err)
        try:
            code = started.wait(timeout)
        except BaseException:
            started.kill()
            raise
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read())


class WarmStage(Stage):
    """A stage whose relay and daemons begin at once."""

    def begin(self, words: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> Started:
        """Fork the program."""
        with open(os.devnull, "rb") as nothing:
            return start(words, environment, Path.cwd(), stdin=nothing, stdout=output, stderr=output)


# --- In the process that is forked ------------------------------------------------------------------------


def _serve(orders: socket.socket) -> None:
    """Fork for each order, and tell with what each ends; returns in what was forked, to be the command."""
    wakes, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([orders.fileno(), wakes], [], [])
        if wakes in ready:
            os.read(wakes, 4_096)
            for process, tells in list(running.items()):
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    del running[process]
                    _tell(tells, os.waitstatus_to_exitcode(status))
                    os.close(tells)
        if orders.fileno() in ready:
            head, descriptors, _, _ = socket.recv_fds(orders, _LENGTH.size, 4)
            if not head:
                break
            order = json.loads(_exactly(orders, *_LENGTH.unpack(head)))
            process = os.fork()
            if not process:
                _be(order, descriptors)
            running[process] = descriptors.pop()
            _tell(running[process], process)
            for descriptor in descriptors:
                os.close(descriptor)
    for process in running:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _tell(tells: int, number: int) -> None:
    try:
        os.write(tells, b"%d\n" % number)
    except BrokenPipeError:
        pass  # nobody wants to know


def _exactly(orders: socket.socket, size: int) -> bytes:
    body = b""
    while len(body) < size:
        body += orders.recv(size - len(body))
    return body


def _be(order: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Be the command, from here to its end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order["folder"])
    os.umask(order["umask"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    if os.environ.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _stream(number, getattr(sys, name)))
    sys.argv = ["taskferry", *order["words"]]
    status = 1
    try:
        import_module("taskferry_apps.cli.__main__").main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process ends with it
        traceback.print_exc()
    finally:
        # As Python does at its end: it waits for threads, and this process never gets there by itself.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        # Not to take thousands of modules apart, which were never its own.
        os._exit(status)


def _stream(number: int, before: Any) -> io.TextIOWrapper:
    """A standard stream as Python makes it at its start."""
    unbuffered = number > 0 and bool(os.environ.get("PYTHONUNBUFFERED"))
    return io.TextIOWrapper(
        open(number, "wb" if number else "rb", buffering=0 if unbuffered else -1, closefd=False),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=number == 2,
        write_through=unbuffered,
    )


def _main() -> None:
    # As the program does, before it imports httpx.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    commands = import_module("taskferry_apps.cli.__main__").COMMANDS
    for module in sorted({module for module, _, _ in commands.values()}):
        import_module(f"taskferry_apps.cli.{module}")
    for module in _PROGRAMS:
        import_module(module)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        _serve(orders)


if __name__ == "__main__":
    _main()
