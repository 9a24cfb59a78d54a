"""Running one command: its output within bounds, its progress told, and nothing of it left in the end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

import attrs
import trio

from . import keeper
from .disk import excess_of, watch_size
from .progress import Lines, Progress, progress_in
from .text import tail

__all__ = ["Command", "Ended", "Limits", "ProgressFrom", "run", "spelled"]

#: After the keeper has ended, nobody writes any more; on systems where a process can escape it, somebody may.
_DRAIN_S: Final = 5.0
_PIECE: Final = 65_536
_QUOTED: Final = 1_500
#: Whoever writes past the size that a file may have.
_CUT_OFF: Final = str(signal.SIGXFSZ.value)


@attrs.frozen
class Limits:
    """What a command may take."""

    time_s: float
    output_bytes: int
    """Of standard output and standard error together."""
    grace_s: float
    """Between SIGTERM and SIGKILL."""
    disk_bytes: int
    """Of each file that it writes, and of all in its folder together."""


class ProgressFrom(Enum):
    """Which lines are reports of progress."""

    PREFIX = "prefix"
    STDERR = "stderr"
    NONE = "none"


@attrs.frozen
class Command:
    """What is run, and how."""

    words: Sequence[str]
    limits: Limits
    progress: ProgressFrom = ProgressFrom.PREFIX


@attrs.frozen
class Ended:
    """How a command ended: `reason` is empty where it ended well, else it says what was wrong."""

    reason: str
    is_stopped: bool = False
    """Whether the caller wanted it to stop."""
    is_too_large: bool = False
    """Whether its folder has more than it may have."""


@attrs.define
class _Output:
    """Where output goes, and how much of it there was."""

    command: Command
    report: Callable[[Progress], None]
    fault: str = ""
    """Why the command must stop because of what it writes."""
    is_faulty: trio.Event = attrs.field(factory=trio.Event)
    is_too_large: bool = False
    _count: int = 0

    def overfill(self, why: str) -> None:
        """Too much is on the disk."""
        self.is_too_large = True
        self._stop(f"The command was stopped: {why}.")

    async def pump(self, stream: trio.abc.ReceiveStream, sink: BinaryIO, is_bare: bool) -> None:
        """Write a stream down to its end; beyond the limit it is read and forgotten."""
        lines = Lines()
        async with stream:
            while piece := await stream.receive_some(_PIECE):
                self._count += len(piece)
                if self._count > self.command.limits.output_bytes:
                    most = f"{self.command.limits.output_bytes:,}"
                    self._stop(f"The command was stopped: it wrote more than {most} bytes of output.")
                elif not self.fault:
                    self._keep(lines.feed(bytes(piece)), sink, is_bare)
        if not self.fault:
            self._keep(lines.end(), sink, is_bare)

    def _keep(self, lines: list[tuple[bytes, bool]], sink: BinaryIO, is_bare: bool) -> None:
        for line, is_start in lines:
            found = None
            if is_start and self.command.progress is not ProgressFrom.NONE:
                found = progress_in(line, is_bare=is_bare)
            if found is not None:
                self.report(found)
            if found is None or is_bare:
                try:
                    sink.write(line)
                    sink.flush()
                except OSError as error:
                    self._stop(f"The command was stopped: its output cannot be kept: {error.strerror}.")

    def _stop(self, why: str) -> None:
        self.fault = self.fault or why
        self.is_faulty.set()


async def run(
    command: Command,
    folder: Path,
    environment: Mapping[str, str],
    *,
    lock: int,
    report: Callable[[Progress], None],
    stop: trio.Event,
) -> Ended:
    """Run `command` in `folder` until it has ended; `stop` ends it. Cancelled, it ends it, too.

    Its input is `in/stdin.md`; `stdout` and `stderr.log` in `folder` receive its output. `lock` is a
    descriptor that stays open as long as anything of the command lives. Raises OSError.
    """
    output = _Output(command, report)
    most = command.limits.disk_bytes
    ours, theirs = socket.socketpair()
    with ours, (folder / "stdout").open("xb") as out, (folder / "stderr.log").open("xb") as err:
        with theirs, (folder / "in" / "stdin.md").open("rb") as given:
            process = await trio.lowlevel.open_process(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    keeper.__file__,
                    str(theirs.fileno()),
                    str(most),
                    *command.words,
                ],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=environment,
                pass_fds=(theirs.fileno(), lock),
                start_new_session=True,
            )
        assert process.stdout is not None  # noqa: S101 - asked for above
        assert process.stderr is not None  # noqa: S101
        is_bare = command.progress is ProgressFrom.STDERR
        async with trio.open_nursery() as pumps:
            pumps.start_soon(output.pump, process.stdout, out, False)
            pumps.start_soon(output.pump, process.stderr, err, is_bare)
            try:
                async with trio.open_nursery() as beside:
                    beside.start_soon(watch_size, folder, most, output.overfill)
                    why = await _until_over(process, output, stop)
                    beside.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await _end(process, ours, command.limits.grace_s)
            pumps.cancel_scope.deadline = trio.current_time() + _DRAIN_S
        told = _said(ours)
    if stop.is_set():
        return Ended("It was taken back.", is_stopped=True)
    is_cut_off = told.get("signal") == _CUT_OFF
    if not is_cut_off and (excess := await trio.to_thread.run_sync(excess_of, folder, most)):
        output.overfill(excess)
    # Whoever was cut off may have been seen with too much at the same time.
    why = _verdict(told, most) if is_cut_off else why or output.fault or _verdict(told, most)
    return Ended(_quoting(why, folder), is_too_large=is_cut_off or output.is_too_large)


async def _until_over(process: trio.Process, output: _Output, stop: trio.Event) -> str:
    """Wait until the command has ended, or is to be ended; why, where that is by its own fault."""
    time_s = output.command.limits.time_s
    why = f"The command was stopped: it ran longer than {spelled(time_s)}."
    with trio.move_on_after(time_s):
        async with trio.open_nursery() as nursery:
            for waited in (process.wait, stop.wait, output.is_faulty.wait):
                nursery.start_soon(_cancel_after, waited, nursery.cancel_scope)
        why = output.fault
    return why


async def _cancel_after(wait: Callable[[], Awaitable[object]], scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()


async def _end(process: trio.Process, link: socket.socket, grace_s: float) -> None:
    """End the command if it runs, with its keeper; returns when both are gone."""
    try:
        link.send(f"stop {grace_s}\n".encode())
    except OSError:
        pass  # it has ended
    with trio.move_on_after(grace_s + _DRAIN_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    pid = _said(link, is_kept=True).get("started")
    if process.returncode != 0 and pid is not None:
        # Somebody has ended the keeper. What it kept must not outlive it.
        try:
            os.killpg(int(pid), signal.SIGKILL)
        except OSError:
            pass


def _said(link: socket.socket, *, is_kept: bool = False) -> dict[str, str]:
    """What the keeper has said: a word, and the rest of its line."""
    link.setblocking(False)
    try:
        lines = link.recv(4_096, socket.MSG_PEEK if is_kept else 0).decode(errors="replace").splitlines()
    except OSError:
        return {}
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}


def _verdict(told: Mapping[str, str], most: int) -> str:
    """What was wrong with an end; empty for a good one."""
    if "exit" in told:
        return "" if told["exit"] == "0" else f"The command ended with exit code {told['exit']}."
    if told.get("signal") == _CUT_OFF:
        return f"The command was stopped: it wrote a file of more than {most:,} bytes."
    if "signal" in told:
        try:
            name = signal.Signals(int(told["signal"])).name
        except ValueError:
            name = f"signal {told['signal']}"
        return f"The command was killed by {name}."
    if "missing" in told:
        return f"The command cannot be run: {told['missing']}."
    return "The command's keeper was ended by somebody else."


def _quoting(why: str, folder: Path) -> str:
    """The reason with the end of what the command said about it."""
    if not why:
        return ""
    for name, shown in (("stderr.log", "standard error"), ("stdout", "standard output")):
        said = tail(_last_bytes(folder / name), _QUOTED)
        if said:
            return f"{why} The end of its {shown}:\n{said}"
    return why


def _last_bytes(path: Path) -> bytes:
    """The end of a plain file; nothing of what a command has put in its place, which may lead elsewhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            return b""
        os.lseek(descriptor, max(0, found.st_size - 4 * _QUOTED), os.SEEK_SET)
        return os.read(descriptor, 4 * _QUOTED)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def spelled(seconds: float) -> str:
    """A length of time in words."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
