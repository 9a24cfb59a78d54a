"""Copies of a database from before an update go after a fortnight in which the program has run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_stores.sqlite.former import former_copies, remove_former

from .amounts import bytes_in_words
from .logs import get_logger

__all__ = ["KEPT_MS", "remove_in_time", "told_copies"]

#: Long enough to notice what an update broke; whoever needs it longer copies it elsewhere.
KEPT_MS: Final = 14 * DAY_MS
#: A program that does not run for so long may need its copy.
FIRST_S: Final = 3_600.0

_LOG = get_logger()


async def remove_in_time(database: Path, now: Callable[[], Instant]) -> None:
    """Remove each once its time is over, until cancelled."""
    while True:
        await trio.sleep(FIRST_S)
        before = (now() - KEPT_MS) / 1_000
        for path in await trio.to_thread.run_sync(remove_former, database, before):
            _LOG.info("the copy of the database from before an update is removed", file=path.name)


def told_copies(database: Path) -> Iterator[str]:
    """Those that are there, in sentences for their owner."""
    try:
        found = former_copies(database)
    except OSError:
        return
    for copy in found:
        goes = datetime.fromtimestamp(copy.made_at + KEPT_MS / 1_000, UTC)
        size = bytes_in_words(copy.size)
        yield (
            f"{copy.path} ({size}) is the database as it was before an update; it holds what that held, and "
            f"goes by itself after {goes:%Y-%m-%d}."
        )
