"""Whether and when a request is sent again. Pure: what went wrong in, seconds out."""

from __future__ import annotations

from typing import Final

from taskferry_transports.backoff import delay

from .address import DaemonStarting, NoDaemon
from .errors import DaemonAway, NotReady, TaskFerryError, TooFast

__all__ = ["wait_before_retry"]

#: Only a person cures these.
_LASTING: Final = frozenset({"not-set-up", "other-instance"})
#: Retries in the moment that a daemon may take, started together with the program, to hold its directory.
_COMING: Final = 2


def wait_before_retry(
    error: TaskFerryError, attempt: int, jitter: float, *, left_s: float, is_known: bool
) -> float | None:
    """Seconds to wait before retry number `attempt` (from 1), None to give up.

    `left_s` is what is left of the caller's patience; a daemon that asks for more than that is not asked
    again. `is_known` says whether the daemon has answered this client before: one that never has is not
    running, and waiting does not start it, unless it is coming this moment.
    """
    match error:
        case DaemonStarting():
            wait = delay(attempt, jitter)
        case DaemonAway() if is_known or (isinstance(error, NoDaemon) and attempt <= _COMING):
            wait = delay(attempt, jitter)
        case TooFast(retry_after=float(asked)):
            wait = delay(attempt, jitter, retry_after=asked)
        case NotReady(code=code) if code not in _LASTING:
            wait = delay(attempt, jitter, retry_after=error.retry_after)
        case _:
            return None
    return wait if wait <= left_s else None
