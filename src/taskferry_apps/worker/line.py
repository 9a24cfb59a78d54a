"""A worker's line to its daemon: it waits while the daemon is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from taskferry_transports.backoff import delay

from ..client.async_client import AsyncClient
from ..client.errors import DaemonAway, NotReady, Refused, TaskFerryError, TooFast
from ..client.plans import Doing
from ..system import jitter
from .telling import Tell, Told, What

__all__ = ["Line", "is_fault"]

T = TypeVar("T")

#: How often one request is sent to a daemon that fails at it: the fault may be in what it asks for.
_FAULTS: Final = 5


def is_fault(error: TaskFerryError) -> bool:
    """Whether the daemon failed, so that the same request may go well another time."""
    return isinstance(error, Refused) and error.status >= 500


class Line:
    """Carries requests out, again and again while that helps. Several tasks may use it at once.

    `find_url` gives the daemon's address, which may be another after its restart.
    """

    def __init__(self, agent: str, token: str, find_url: Callable[[], str], tell: Tell) -> None:
        self.agent = agent
        self._tell = tell
        self._client = AsyncClient(agent, url=find_url, token=token, patience=0.0)
        self._away_since: float | None = None

    async def aclose(self) -> None:
        """Close it."""
        await self._client.aclose()

    async def do(self, make: Callable[[], Doing[T]]) -> T:
        """What the request gives that `make` describes, each time the same, with a key of its own.

        Waits for a daemon that is away, and has patience with one that fails at it a few times. Raises what
        else the daemon refuses.
        """
        attempt = faults = 0
        while True:
            began = trio.current_time()
            try:
                outcome = await self._client.do(make())
            except (DaemonAway, NotReady, TooFast) as error:
                attempt += 1
                self._say_away(error)
                await trio.sleep(delay(attempt, jitter(), retry_after=getattr(error, "retry_after", None)))
                continue
            except Refused as error:
                faults += 1
                if not is_fault(error) or faults == _FAULTS:
                    raise
                await trio.sleep(delay(faults, jitter()))
                continue
            # What was asked before it was away says nothing of now: a daemon that stops answers what waits.
            if self._away_since is not None and began > self._away_since:
                self._away_since = None
                self._tell(Told(What.BACK, words="The daemon answers again."))
            return outcome

    async def once(self, make: Callable[[], Doing[T]]) -> T:
        """The same, with nothing sent again. Raises DaemonAway, too."""
        return await self._client.do_once(make())

    def _say_away(self, error: TaskFerryError) -> None:
        if self._away_since is None and not isinstance(error, TooFast):
            self._away_since = trio.current_time()
            self._tell(Told(What.AWAY, words=f"{error.message} Waiting for it."))
