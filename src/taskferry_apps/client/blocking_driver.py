"""Does the steps of plans one after the other, in the thread that calls."""

from __future__ import annotations

import time
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self, TypeVar

from .attachments import read_files
from .blocking_wire import BlockingWire
from .plans import Channel, Clock, Doing, Open, Pause, ReadFeed, ReadFiles, Send, Step, Ties, carried_out
from .standing import Standing

__all__ = ["BlockingDriver"]

T = TypeVar("T")


class BlockingDriver:
    """One daemon, one credential. Use as a context manager, or close it."""

    def __init__(self, standing: Standing, ties: Ties) -> None:
        self.ties = ties
        self._wire = BlockingWire(standing.address, standing.token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The daemon's address; empty while it is not known."""
        return self._wire.url

    def close(self) -> None:
        """Close the connections to the daemon. Calls raise ClientClosed from now on."""
        self._wire.close()

    def do(self, doing: Doing[T]) -> T:
        """Carry out a request or a plan. Raises what it raises, DaemonAway, ClientClosed."""
        return self._through(carried_out(doing, self.ties))

    def do_once(self, doing: Doing[T]) -> T:
        """The same, with no request sent again."""
        return self._through(carried_out(doing, Ties(0.0)))

    def _through(self, plan: Generator[Step, Any, T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    came = self._did(step)
                except Exception as error:  # noqa: BLE001 - a plan decides on what its steps raise
                    step = plan.throw(error)
                else:
                    step = plan.send(came)
        except StopIteration as ended:
            outcome: T = ended.value
            return outcome
        finally:
            plan.close()

    def _did(self, step: Step) -> object:
        match step:
            case Send(request):
                return self._wire.send(request)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Clock():
                return time.monotonic()
            case ReadFiles(paths):
                return read_files(paths)
            case Open(request, channel):
                return self._wire.open(request, channel)
            case ReadFeed(channel):
                return self._wire.read(channel)

    def drop(self, channel: Channel) -> None:
        """Close a feed."""
        self._wire.drop(channel)
