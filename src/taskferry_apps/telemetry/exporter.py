"""Sends spans and numbers to a collector for as long as the program runs, whatever the collector does.

What cannot be sent is dropped, counted, and said once in the log; the program never waits for any of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import attrs
import httpx
import trio

from taskferry_transports.backoff import LONGEST, delay

from .. import system
from ..logs import get_logger
from .posting import DEADLINE_S, NotTaken, Target, open_client, post
from .spans import BATCH, Spans
from .standing import QUIET_S, Standing

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["METRICS_PATH", "TRACES_PATH", "Exporter", "Pace"]

TRACES_PATH: Final = "/v1/traces"
METRICS_PATH: Final = "/v1/metrics"
#: How often the same spans are offered.
TRIES: Final = 3

_LOG = get_logger()

Collect = Callable[[], Awaitable[Iterable["Metric"]]]
"""Gathers the numbers as they stand."""


@attrs.frozen
class Pace:
    """How often spans and numbers are sent, and how long a request and the last words may take; seconds."""

    spans_s: float = 5.0
    numbers_s: float = 60.0
    deadline_s: float = DEADLINE_S
    finish_s: float = 2.0


class Exporter:
    """Runs beside the program; `spans` is filled by it, and `collect` asked for its numbers."""

    def __init__(
        self,
        target: Target,
        program: Mapping[str, str],
        spans: Spans,
        collect: Collect,
        pace: Pace | None = None,
    ) -> None:
        self._target = target
        self._program = program
        self._spans = spans
        self._collect = collect
        self._pace = pace or Pace()
        self._since = time.time_ns()
        self._client: httpx.AsyncClient | None = None
        self.spans = spans.export
        """How the export of spans stands."""
        self.numbers = Standing("numbers")
        """How the export of numbers stands; a set of all of them counts as one."""

    @property
    def url(self) -> str:
        """Where it sends to, without the path."""
        return self._target.origin

    @property
    def dropped(self) -> int:
        """Spans that were made and are lost."""
        return self._spans.lost

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled. Raises OSError at once where the authorities' file cannot be used."""
        async with open_client(self._target) as self._client, trio.open_nursery() as nursery:
            nursery.start_soon(self._guarded, self._send_spans)
            nursery.start_soon(self._guarded, self._send_numbers)
            task_status.started()

    async def finish(self) -> None:
        """Send what waits, if that is soon done: the program stops."""
        with trio.move_on_after(self._pace.finish_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guarded, self._send_last_spans)
                nursery.start_soon(self._guarded, self._send_once)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the runner's one boundary: no export harms the program
            _LOG.error("telemetry failed and has stopped", reason=type(error).__name__)

    # --- spans

    async def _send_spans(self) -> None:
        while True:
            with trio.move_on_after(self._pace.spans_s):
                await self._spans.many()
            while len(self._spans):
                await self._send_batch(TRIES)
                if len(self._spans) < BATCH:
                    break

    async def _send_last_spans(self) -> None:
        while len(self._spans):
            await self._send_batch(1)

    async def _send_batch(self, tries: int) -> None:
        from .encoding import encode_spans, rejected_spans

        batch = self._spans.take()
        body = await trio.to_thread.run_sync(encode_spans, batch, self._program, system.entropy)
        standing, sent = self.spans, 0
        try:
            for _ in range(tries):
                try:
                    answer = await self._post(TRACES_PATH, body)
                    lost = max(0, min(len(batch), _rejected(rejected_spans, answer)))
                except NotTaken as failure:
                    self._failed(standing, failure)
                    if tries > 1:
                        await self._pause(standing, failure)
                    if not failure.passing:
                        return
                    continue
                sent = len(batch) - lost
                self._took(standing, lost)
                return
        finally:
            # Whatever ended this, nobody offers them again.
            standing.sent += sent
            standing.dropped += len(batch) - sent

    async def _pause(self, standing: Standing, failure: NotTaken) -> None:
        asked = None if failure.wait_s is None else min(failure.wait_s, LONGEST)
        await trio.sleep(delay(standing.failures, system.jitter(), retry_after=asked))

    # --- numbers

    async def _send_numbers(self) -> None:
        while True:
            await trio.sleep(self._pace.numbers_s)
            await self._send_once()

    async def _send_once(self) -> None:
        from .encoding import encode_numbers, rejected_numbers

        families = list(await self._collect())
        body = await trio.to_thread.run_sync(
            encode_numbers, families, self._program, self._since, time.time_ns()
        )
        standing = self.numbers
        try:
            lost = _rejected(rejected_numbers, await self._post(METRICS_PATH, body))
        except NotTaken as failure:
            standing.dropped += 1
            self._failed(standing, failure)
        else:
            standing.sent += 1
            self._took(standing, lost)

    # --- how it went

    async def _post(self, path: str, body: bytes) -> bytes:
        if self._client is None:
            raise NotTaken("it was not asked yet")
        return await post(self._client, self._target, path, body, self._pace.deadline_s)

    def _failed(self, standing: Standing, failure: Exception) -> None:
        standing.failures += 1
        standing.failure = str(failure)
        now = trio.current_time()
        if not standing.said and now - standing.warned_at >= QUIET_S:
            standing.said, standing.warned_at = True, now
            _LOG.warning("telemetry is not taken", kind=standing.kind, url=self.url, reason=standing.failure)

    def _took(self, standing: Standing, lost: int) -> None:
        if lost:
            self._failed(standing, NotTaken("it says that it did not keep all of it"))
            return
        if standing.said:
            _LOG.info("telemetry is taken again", kind=standing.kind, url=self.url, count=standing.dropped)
        standing.said, standing.failure, standing.failures = False, "", 0


def _rejected(read: Callable[[bytes], int], answer: bytes) -> int:
    try:
        return read(answer)
    except ValueError:
        raise NotTaken("it answered as no collector does") from None
