"""What a button has made and no list shows again: kept in memory for the one browser that pressed it.

A page that is loaded anew, or loads itself, shows it again for ten minutes; then, or once the owner has
taken it, it is gone. It stands in no address and on no disk.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs
import trio

__all__ = ["Once"]

KEPT_S: Final = 600.0
#: More than anybody makes in ten minutes; the oldest go.
MOST: Final = 16


@attrs.frozen
class _Kept:
    value: object = attrs.field(repr=False)
    until: float


class Once:
    """Values by session and name."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def keep(self, session: str, name: str, value: object) -> None:
        """Show this to the session whose secret that is, for a while."""
        self._kept[session, name] = _Kept(value, trio.current_time() + KEPT_S)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def held(self, session: str, name: str) -> object | None:
        """What was kept, None if it is gone or another session's."""
        now = trio.current_time()
        for key in [key for key, kept in self._kept.items() if kept.until <= now]:
            del self._kept[key]
        found = self._kept.get((session, name))
        return found.value if found is not None else None

    def drop(self, session: str, name: str) -> None:
        """Forget it."""
        self._kept.pop((session, name), None)
