"""Long tasks that somebody looked at lately, folded: whoever looks again pays for what is new.

Nothing in here is the truth: what is held counts only while the store holds the same events.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from taskferry_protocol.ids import DeviceId, Hash

from .bounds import BOUNDS
from .core import Core
from .taskbook import Held, load_task

__all__ = ["LastLooks"]

MOST_EVENTS: Final = BOUNDS.looks_held
MOST_BYTES: Final = BOUNDS.looks_held_bytes
#: A shorter task costs less than is worth keeping.
LEAST_EVENTS: Final = 100


class LastLooks:
    """The tasks that were looked at last."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Hash, DeviceId], Held] = OrderedDict()

    async def load(self, core: Core, task: Hash) -> Held:
        """As `load_task`."""
        key = (task, core.device)
        found = await load_task(core, task, known=self._held.get(key))
        self._held.pop(key, None)
        if len(found.events) >= LEAST_EVENTS and _fits([found]):
            self._held[key] = found
            while not _fits(self._held.values()):
                self._held.popitem(last=False)
        return found


def _fits(held: Collection[Held]) -> bool:
    """Whether so much may be held."""
    records = [record for one in held for record in one.records.values()]
    return len(records) <= MOST_EVENTS and sum(len(record.content) for record in records) <= MOST_BYTES
