"""The daemon's numbers, gathered when somebody asks."""

from __future__ import annotations

from ..relay_answers import Ear
from .core import Core, Watcher
from .link import Link
from .numbers_port import Numbers

__all__ = ["NumbersDesk"]


class NumbersDesk:
    """Reads them."""

    def __init__(self, core: Core, link: Link) -> None:
        self._core = core
        self._link = link

    def tell(self, watcher: Watcher, ear: Ear | None = None) -> None:
        """Have somebody hear of all that is on disk from now on, and of what sessions that begin now ask."""
        self._core.watcher = watcher
        self._core.ear = ear

    async def read(self) -> Numbers:
        """As it is now."""
        store = self._core.store
        names = [agent.name for agent in await store.agents()]
        counts = (await store.inbox_counts(names)).values()
        status = await self._link.status() if self._core.account is not None else None
        refused = self._link.refused
        return Numbers(
            await store.stats(),
            unread=sum(count.unread for count in counts),
            read=sum(count.read for count in counts),
            programs=len(self._core.last_seen),
            transport=status.transport if status is not None else "",
            refused=refused.value if refused is not None else "",
            commits=self._core.commits,
            stopped=bool(self._core.suspended),
        )
