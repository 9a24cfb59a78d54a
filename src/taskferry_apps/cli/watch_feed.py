"""The daemon's feed over its restarts: followed, waited for, and gone on with where it broke off."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Iterator

import click

from ..local_client import ApiError, DaemonUnreachable, JsonObject, LocalClient
from .daemon_link import failure_of

__all__ = ["follow"]

_FIRST_S = 0.1
_LONGEST_S = 5.0
_UNAVAILABLE = 503
_STDOUT = 1


def follow(
    find: Callable[[], LocalClient], after: int | None, agent: str, *, wake: bool, runtime: str = ""
) -> Iterator[tuple[int, JsonObject | None]]:
    """Places and events as `LocalClient.follow` gives them, for as long as somebody reads our output.

    `find` gives a client of the daemon as it is to be found now. While no daemon answers it says so once, on
    standard error, and tries again. Raises CommandFailed if refused.
    """
    wait, away = _FIRST_S, False
    while _has_reader():
        why = ""
        try:
            # Looked for anew each time: a daemon may come back at another address.
            with find() as daemon:
                feed = daemon.follow(after=after, agent=agent or None, wake=wake, runtime=runtime or None)
                for place, event in feed:
                    after = place
                    # Whoever follows stands for an agent that runs: not once its host was killed.
                    if not _has_reader():
                        return
                    yield place, event
                    if away:
                        click.echo("taskferry: the daemon answers again.", err=True)
                    wait, away = _FIRST_S, False
            why = "The daemon has stopped."
        except DaemonUnreachable as error:
            why = str(error)
        except ApiError as error:
            if error.status != _UNAVAILABLE or error.code == "not-set-up":
                raise failure_of(error) from None
            why = str(error)
        if not away:
            click.echo(f"taskferry: {why} Waiting for it.", err=True)
            away = True
        time.sleep(wait * random.uniform(0.5, 1.0))
        wait = min(_LONGEST_S, 2 * wait)


def _has_reader() -> bool:
    """Whether somebody may read standard output: not where its pipe has lost the other end."""
    poll = select.poll()
    poll.register(_STDOUT, 0)
    return not any(told & (select.POLLERR | select.POLLHUP) for _, told in poll.poll(0))
