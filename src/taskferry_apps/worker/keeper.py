"""Runs one command, and leaves nothing of it behind: started by the worker as a program of its own.

Arguments: the descriptor of a socket to the worker, the bytes that a file may have, and the command. It says
`started PID` there, and then `exit N` or `signal N`; or `missing WHY`. The worker's `stop SECONDS` ends the
command: SIGTERM, and SIGKILL after so long. When the worker is gone, however that came, everything is killed
at once. Whatever lock it is given, it holds open, so that nobody takes the worker's place before.

Only the standard library is imported: this starts in a few milliseconds, in isolation from the environment.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time

__all__ = ["main"]

_PR_SET_CHILD_SUBREAPER = 36
#: How long a look takes for processes that are killed and not gone yet.
_LOOK_S = 0.02


def main() -> None:
    """Keep one command until it has ended, with all that it started."""
    link = socket.socket(fileno=int(sys.argv[1]))
    _adopt_orphans()
    # Everything that is started from here on inherits it, and nobody but root can lift it.
    _bound_files(int(sys.argv[2]))
    wake, bell = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        # Not waited for by Popen: what this adopted ends in any order.
        child = subprocess.Popen(sys.argv[3:], start_new_session=True)  # noqa: S603 - the owner's own command
    except OSError as error:
        link.sendall(f"missing {error.strerror}\n".encode())
        return
    link.sendall(f"started {child.pid}\n".encode())
    # A writer's end of the pipes that stayed here would keep them open for the worker.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    status = _watch(child.pid, link, wake)
    _end_all(child.pid)
    child.returncode = 0  # waited for here
    told = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
    try:
        link.sendall(f"{told}\n".encode())
    except OSError:
        pass  # nobody listens any more


def _adopt_orphans() -> None:
    """On Linux, what the command starts and leaves becomes a child of this process, and ends with it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _bound_files(most: int) -> None:
    """No file may grow beyond, nor beyond what was allowed before."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _watch(child: int, link: socket.socket, wake: int) -> int:
    """The command's status, once it has ended or was ended."""
    deadline: float | None = None
    watched = [wake, link.fileno()]
    while True:
        status = _reaped(child)
        if status is not None:
            return status
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if wake in ready:
            os.read(wake, 4096)
        if link.fileno() in ready:
            words = _heard(link)
            if not words:
                watched = [wake]
                deadline = time.monotonic()
            elif deadline is None:
                _signal(child, signal.SIGTERM)
                deadline = time.monotonic() + float(words[-1])
        if deadline is not None and time.monotonic() >= deadline:
            _signal(child, signal.SIGKILL)
            deadline = None if watched == [wake] else time.monotonic() + 3600


def _heard(link: socket.socket) -> list[str]:
    """What the worker says; nothing once it is gone."""
    try:
        return link.recv(64).decode(errors="replace").split()
    except OSError:
        # A worker that was killed has not read what it was told, which breaks the link instead of ending it.
        return []


def _reaped(child: int) -> int | None:
    """Collect whoever has ended; the command's status if it is among them."""
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if found == 0:
            return None
        if found == child:
            return status


def _end_all(group: int) -> None:
    """Kill the command's group, and on Linux all that it has left elsewhere.

    What may not be killed, as a program that runs as another user, is left; nobody waits for it.
    """
    _signal(group, signal.SIGKILL)
    while True:
        orphans = _children()
        left = [orphan for orphan in orphans if not _killed(orphan)]
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                if left and left == orphans:
                    return
                time.sleep(_LOOK_S)
        except ChildProcessError:
            return


def _killed(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


def _children() -> list[int]:
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


if __name__ == "__main__":
    main()
